/**
 * Binary form of `mend`, a command that only the server makes. v = varint, s = signed: 2n for n >= 0, -2n-1 below.
 *
 *     mend      | count v | kind 1 | item | …
 *     usage     | name 1 | delta s |
 *     inode     | ino v | nlink s | entries s | allocated s | parent v |
 *     segment   | id v | count v | chunkIndex v | delta s | … |
 *     journal   | fileId v | extents s | bytes s |
 *     regions   | ino v | count v | index v | … |
 *     marks, reconnect   | ino v |
 *     xattrs    | ino v | count v | name utf8 | … |
 *     counters  | nextInodeCount v | nextSegment v |
 *     extentBytes   as segment
 */
import type { ByteReader, ByteWriter, InodeNumber } from "@cfs/core";
import { readList, readSegmentId } from "./content-format.ts";
import type { ChunkDelta, Mend, MendItem } from "./mend.ts";
import { usageNames } from "./mend.ts";
import { corrupt, readInodeNumber } from "./record-format.ts";

/** The numbers are on disk: never changed. */
const kinds = [
  "usage",
  "inode",
  "segment",
  "journal",
  "regions",
  "marks",
  "xattrs",
  "counters",
  "reconnect",
  "extentBytes",
] as const satisfies readonly MendItem["kind"][];

function writeSigned(writer: ByteWriter, value: number): ByteWriter {
  return writer.varint(value < 0 ? -2 * value - 1 : 2 * value);
}

function readSigned(reader: ByteReader): number {
  const value = reader.varint();
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function writeDeltas(writer: ByteWriter, deltas: readonly ChunkDelta[]): void {
  writer.varint(deltas.length);
  for (const { chunkIndex, delta } of deltas) writeSigned(writer.varint(chunkIndex), delta);
}

function readDeltas(reader: ByteReader): ChunkDelta[] {
  return readList(reader, reader.varint(), () => ({ chunkIndex: reader.varint(), delta: readSigned(reader) }));
}

function writeItem(writer: ByteWriter, item: MendItem): unknown {
  writer.u8(kinds.indexOf(item.kind));
  switch (item.kind) {
    case "usage":
      return writeSigned(writer.u8(usageNames.indexOf(item.name)), item.delta);
    case "inode":
      writeSigned(writer.varint(item.ino), item.nlinkDelta);
      writeSigned(writer, item.entryDelta);
      return writeSigned(writer, item.allocatedDelta).varint(item.parent);
    case "segment":
      return writeDeltas(writer.varint(item.segment), item.refs);
    case "extentBytes":
      return writeDeltas(writer.varint(item.segment), item.bytes);
    case "journal":
      return writeSigned(writeSigned(writer.varint(item.fileId), item.extentsDelta), item.bytesDelta);
    case "regions":
      writer.varint(item.ino).varint(item.indexes.length);
      for (const index of item.indexes) writer.varint(index);
      return undefined;
    case "marks":
    case "reconnect":
      return writer.varint(item.ino);
    case "xattrs":
      writer.varint(item.ino).varint(item.names.length);
      for (const name of item.names) writer.utf8(name);
      return undefined;
    case "counters":
      return writer.varint(item.nextInodeCount).varint(item.nextSegment);
  }
}

function readInodeItem(reader: ByteReader): MendItem {
  const ino = readInodeNumber(reader);
  const nlinkDelta = readSigned(reader);
  const entryDelta = readSigned(reader);
  const allocatedDelta = readSigned(reader);
  const parent = reader.varint() as InodeNumber | 0;
  return { kind: "inode", ino, nlinkDelta, entryDelta, allocatedDelta, parent };
}

function readItem(reader: ByteReader): MendItem {
  const kind = kinds[reader.u8()] ?? corrupt("a mended thing is of unknown kind");
  switch (kind) {
    case "usage":
      return { kind, name: usageNames[reader.u8()] ?? corrupt("a mended sum is unknown"), delta: readSigned(reader) };
    case "inode":
      return readInodeItem(reader);
    case "segment":
      return { kind, segment: readSegmentId(reader), refs: readDeltas(reader) };
    case "extentBytes":
      return { kind, segment: readSegmentId(reader), bytes: readDeltas(reader) };
    case "journal":
      return { kind, fileId: reader.varint(), extentsDelta: readSigned(reader), bytesDelta: readSigned(reader) };
    case "regions":
      return { kind, ino: readInodeNumber(reader), indexes: readList(reader, reader.varint(), () => reader.varint()) };
    case "marks":
    case "reconnect":
      return { kind, ino: readInodeNumber(reader) };
    case "xattrs":
      return { kind, ino: readInodeNumber(reader), names: readList(reader, reader.varint(), () => reader.utf8()) };
    case "counters":
      return { kind, nextInodeCount: reader.varint(), nextSegment: reader.varint() };
  }
}

export function writeMend(writer: ByteWriter, command: Mend): void {
  writer.varint(command.items.length);
  for (const item of command.items) writeItem(writer, item);
}

export function readMend(reader: ByteReader): Mend {
  return { type: "mend", items: readList(reader, reader.varint(), readItem) };
}
