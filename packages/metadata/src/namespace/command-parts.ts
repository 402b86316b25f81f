/**
 * Parts that several commands share, in binary: caller, moment, name, source of a write. Layouts are drawn in command-format.ts.
 *
 *     source of a write   | 0 | bytes |   | 1 |   | 2 | count v | length v, source (content-format.ts) | … |
 */
import type { ByteReader, ByteWriter, Name } from "@cfs/core";
import type { Caller, Moment, Write, WriteSource } from "./commands.ts";
import { readSource, writeSource } from "./content-format.ts";
import { isName } from "./names.ts";
import { corrupt, readId, readInodeNumber, readNanoseconds, readSeconds } from "./record-format.ts";
import type { ExtentSource } from "./records.ts";

type Change = Pick<Write, "caller" | "time">;

export function writeCaller(writer: ByteWriter, caller: Caller): void {
  writer.varint(caller.uid).varint(caller.gid);
  if (caller.groups === null) {
    writer.varint(0);
    return;
  }
  writer.varint(caller.groups.length + 1);
  for (const group of caller.groups) writer.varint(group);
}

export function readCaller(reader: ByteReader): Caller {
  const uid = readId(reader);
  const gid = readId(reader);
  const count = reader.varint();
  if (count === 0) return { uid, gid, groups: null };
  const groups: number[] = [];
  for (let index = 1; index < count; index++) groups.push(readId(reader));
  return { uid, gid, groups };
}

export function writeMoment(writer: ByteWriter, moment: Moment): void {
  writer.i64(moment.sec).u32(moment.nsec);
}

export function readMoment(reader: ByteReader): Moment {
  return { sec: readSeconds(reader), nsec: readNanoseconds(reader) };
}

export function readOptionalMoment(reader: ByteReader, isPresent: boolean): Moment | null {
  return isPresent ? readMoment(reader) : null;
}

export function readName(reader: ByteReader): Name {
  const name = reader.latin1();
  if (!isName(name)) corrupt("a file name is empty, too long, or holds a slash or NUL");
  return name;
}

/** One byte of flags, at most `max`. */
export function readFlags(reader: ByteReader, max: number): number {
  const flags = reader.u8();
  if (flags > max) corrupt(`unknown flags ${flags}`);
  return flags;
}

export function writeSourceOfWrite(writer: ByteWriter, source: WriteSource): void {
  if (source.kind === "inline") {
    writer.u8(0).bytes(source.bytes);
  } else if (source.kind === "payload") {
    writer.u8(1);
  } else {
    writer.u8(2).varint(source.extents.length);
    for (const extent of source.extents) writeSource(writer.varint(extent.lengthBytes), extent.source);
  }
}

export function readSourceOfWrite(reader: ByteReader): WriteSource {
  const kind = reader.u8();
  if (kind === 0) return { kind: "inline", bytes: reader.bytes() };
  if (kind === 1) return { kind: "payload" };
  if (kind !== 2) corrupt("the source of a write is of unknown kind");
  const count = reader.varint();
  const extents: { lengthBytes: number; source: ExtentSource }[] = [];
  for (let index = 0; index < count; index++) extents.push({ lengthBytes: reader.varint(), source: readSource(reader) });
  return { kind: "extents", extents };
}

export function writeChange(writer: ByteWriter, command: Change): void {
  writeCaller(writer, command.caller);
  writeMoment(writer, command.time);
}

export function readChange(reader: ByteReader): Change {
  return { caller: readCaller(reader), time: readMoment(reader) };
}

/** Also part of writeSegment, without its type number. */
export function writeWrite(writer: ByteWriter, command: Write): void {
  writer.u8((command.setTimes ? 1 : 0) | (command.killSetId ? 2 : 0) | (command.spill ? 4 : 0));
  writer.varint(command.ino).varint(command.offsetBytes).varint(command.lengthBytes);
  writeSourceOfWrite(writer, command.source);
  writeChange(writer, command);
}

export function readWrite(reader: ByteReader): Write {
  const flags = readFlags(reader, 7);
  const ino = readInodeNumber(reader);
  const offsetBytes = reader.varint();
  const lengthBytes = reader.varint();
  const source = readSourceOfWrite(reader);
  return {
    type: "write",
    ino,
    offsetBytes,
    lengthBytes,
    source,
    setTimes: (flags & 1) !== 0,
    killSetId: (flags & 2) !== 0,
    spill: (flags & 4) !== 0,
    ...readChange(reader),
  };
}
