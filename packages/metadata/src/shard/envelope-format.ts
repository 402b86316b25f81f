/**
 * The data of a command's entry: the command, and what its payload must be, so that whoever gets entry and payload apart can tell that
 * they belong together. Version 1.
 *
 * | form u8: 1 | command … |      or      | form u8: 2 | payloadBytes varint | crc32c of the payload 4 | command … |
 */
import { ByteReader, ByteWriter, CfsError } from "@cfs/core";
import { entryKinds } from "./group-types.ts";
import type { Entry } from "./group-types.ts";

export interface PayloadHead {
  readonly sizeBytes: number;
  readonly crc: number;
}

export interface CommandEnvelope {
  readonly command: Uint8Array;
  readonly payload: PayloadHead | null;
}

const formPlain = 1;
const formPayload = 2;
/** One for the process: encoding is synchronous. */
const shared = new ByteWriter(1024);

export function encodeEnvelope({ command, payload }: CommandEnvelope): Uint8Array {
  const writer = shared.begin();
  if (payload === null) writer.u8(formPlain);
  else writer.u8(formPayload).varint(payload.sizeBytes).u32(payload.crc);
  return writer.raw(command).take();
}

export function decodeEnvelope(data: Uint8Array): CommandEnvelope {
  const reader = new ByteReader(data, "data of an entry");
  const form = reader.u8();
  if (form !== formPlain && form !== formPayload) throw new CfsError("CORRUPT", `an entry has form ${form}; this program knows 1 and 2`);
  const payload = form === formPayload ? { sizeBytes: reader.varint(), crc: reader.u32() } : null;
  return { command: reader.raw(reader.remaining), payload };
}

/** What the payload of the entry must be; null when it has none. */
export function payloadOf(entry: Entry): PayloadHead | null {
  if (entry.kind !== entryKinds.command || entry.data[0] !== formPayload) return null;
  return decodeEnvelope(entry.data).payload;
}

export function hasPayload(entry: Entry): boolean {
  return entry.kind === entryKinds.command && entry.data[0] === formPayload;
}
