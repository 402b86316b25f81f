/**
 * The head of a log entry: who asked for what. Version 1.
 *
 * | version u8 | hasClient u8 | clientId 16 | seq varint | command … |      (clientId and seq only with hasClient 1)
 */
import { ByteReader, ByteWriter, CfsError } from "@cfs/core";
import type { ClientId } from "@cfs/core";
import { decodeCommand, encodeCommand } from "../namespace/command-format.ts";
import type { Command } from "../namespace/commands.ts";

export interface Entry {
  /** Null for commands of the server itself. */
  readonly clientId: ClientId | null;
  /** The client's sequence number; 0 without a client. */
  readonly seq: number;
  readonly command: Command;
}

const entryVersion = 1;
/** One for the process: encoding is synchronous. */
const shared = new ByteWriter(1024);

export function encodeEntry(entry: Entry): Uint8Array {
  const command = encodeCommand(entry.command);
  const writer = shared.begin().u8(entryVersion);
  if (entry.clientId === null) writer.u8(0);
  else writer.u8(1).raw(Buffer.from(entry.clientId, "hex")).varint(entry.seq);
  return writer.raw(command).take();
}

export function decodeEntry(head: Uint8Array): Entry {
  const reader = new ByteReader(head, "log entry");
  const version = reader.u8();
  if (version !== entryVersion)
    throw new CfsError("CORRUPT", `log entry of version ${version}; this program knows version ${entryVersion}`);
  const hasClient = reader.u8() === 1;
  const clientId = hasClient ? (Buffer.from(reader.raw(16)).toString("hex") as ClientId) : null;
  const seq = hasClient ? reader.varint() : 0;
  return { clientId, seq, command: decodeCommand(reader.raw(reader.remaining)) };
}
