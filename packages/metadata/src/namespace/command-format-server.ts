/**
 * Binary form of the commands that only a server makes. Type numbers and rules as in command-format.ts; layouts of their parts in
 * content-format.ts (place, chunk, source) and system-format.ts (drive).
 */
import type { ByteReader, ByteWriter } from "@cfs/core";
import { readMoment, readWrite, writeMoment, writeWrite } from "./command-parts.ts";
import type { ClientCommand, Command, Format, NewSegment, Publish, Relocate, Swap, WriteSegment } from "./commands.ts";
import {
  readChunkShape,
  readList,
  readPlace,
  readSegmentId,
  readSource,
  writeChunkShape,
  writePlace,
  writeSource,
} from "./content-format.ts";
import { readMend, writeMend } from "./mend-format.ts";
import { corrupt, readClientId, readId, readInodeNumber } from "./record-format.ts";
import { readDrive, writeDrive } from "./system-format.ts";

export type ServerCommand = Exclude<Command, ClientCommand>;

/** On disk: never changed, never used again. */
const typeNumbers = {
  openSession: 32,
  closeSession: 33,
  grantInodes: 34,
  writeSegment: 35,
  publish: 36,
  relocate: 37,
  dropSegment: 38,
  dropContent: 39,
  setDrive: 40,
  format: 41,
  mend: 42,
  intendTruncate: 43,
} as const;

function writeNewSegment(writer: ByteWriter, segment: NewSegment): void {
  writer.varint(segment.id).u8(segment.k).u8(segment.m).varint(segment.fragmentBytes).varint(segment.segmentBytes);
  writer.varint(segment.places.length);
  for (const place of segment.places) writePlace(writer, place);
  writer.varint(segment.chunks.length);
  // The references of a new segment, always 0, have their place in the format.
  for (const chunk of segment.chunks) writeChunkShape(writer, chunk).varint(0);
}

function readNewSegment(reader: ByteReader): NewSegment {
  const id = readSegmentId(reader);
  const k = reader.u8();
  const m = reader.u8();
  const fragmentBytes = reader.varint();
  const segmentBytes = reader.varint();
  const places = readList(reader, reader.varint(), readPlace);
  const chunks = readList(reader, reader.varint(), () => {
    const shape = readChunkShape(reader);
    if (reader.varint() !== 0) corrupt("a new segment has references");
    return shape;
  });
  return { id, k, m, fragmentBytes, segmentBytes, places, chunks };
}

function writeSwap(writer: ByteWriter, swap: Swap): void {
  writer.varint(swap.ino).varint(swap.offsetBytes).varint(swap.lengthBytes);
  writeSource(writer, swap.from);
  writeSource(writer, swap.to);
}

function readSwap(reader: ByteReader): Swap {
  return {
    ino: readInodeNumber(reader),
    offsetBytes: reader.varint(),
    lengthBytes: reader.varint(),
    from: readSource(reader),
    to: readSource(reader),
  };
}

function writeWriteSegment(writer: ByteWriter, command: WriteSegment): void {
  writeNewSegment(writer, command.segment);
  writer.varint(command.writes.length);
  for (const write of command.writes) writeWrite(writer, write);
}

function readWriteSegment(reader: ByteReader): WriteSegment {
  return { type: "writeSegment", segment: readNewSegment(reader), writes: readList(reader, reader.varint(), readWrite) };
}

function writePublish(writer: ByteWriter, command: Publish): void {
  writeNewSegment(writer, command.segment);
  writer.varint(command.swaps.length);
  for (const swap of command.swaps) writeSwap(writer, swap);
}

function readPublish(reader: ByteReader): Publish {
  return { type: "publish", segment: readNewSegment(reader), swaps: readList(reader, reader.varint(), readSwap) };
}

function writeRelocate(writer: ByteWriter, command: Relocate): void {
  writer.varint(command.segment).u8(command.fragment);
  writePlace(writer, command.from);
  writePlace(writer, command.to);
}

function readRelocate(reader: ByteReader): Relocate {
  return { type: "relocate", segment: readSegmentId(reader), fragment: reader.u8(), from: readPlace(reader), to: readPlace(reader) };
}

function writeFormat(writer: ByteWriter, command: Format): void {
  writer.utf8(command.clusterId).varint(command.drives.length);
  for (const drive of command.drives) writeDrive(writer, drive);
  writer.varint(command.uid).varint(command.gid);
  writeMoment(writer, command.time);
}

function readFormat(reader: ByteReader): Format {
  const clusterId = reader.utf8();
  const drives = readList(reader, reader.varint(), readDrive);
  return { type: "format", clusterId, drives, uid: readId(reader), gid: readId(reader), time: readMoment(reader) };
}

export function writeServerCommand(writer: ByteWriter, command: ServerCommand): void {
  writer.u8(typeNumbers[command.type]);
  switch (command.type) {
    case "openSession":
    case "closeSession":
      writer.latin1(command.clientId);
      return undefined;
    case "grantInodes":
      writer.latin1(command.clientId).varint(command.count);
      return undefined;
    case "writeSegment":
      return writeWriteSegment(writer, command);
    case "publish":
      return writePublish(writer, command);
    case "relocate":
      return writeRelocate(writer, command);
    case "dropSegment":
      writer.varint(command.segment);
      return undefined;
    case "dropContent":
      writer.varint(command.ino).varint(command.regionsMax);
      return undefined;
    case "intendTruncate":
      writer.varint(command.ino).varint(command.sizeBytes === null ? 0 : command.sizeBytes + 1);
      return undefined;
    case "setDrive":
      return writeDrive(writer, command.drive);
    case "format":
      return writeFormat(writer, command);
    case "mend":
      return writeMend(writer, command);
  }
}

export function readServerCommand(reader: ByteReader, type: number): ServerCommand {
  switch (type) {
    case typeNumbers.openSession:
      return { type: "openSession", clientId: readClientId(reader) };
    case typeNumbers.closeSession:
      return { type: "closeSession", clientId: readClientId(reader) };
    case typeNumbers.grantInodes:
      return { type: "grantInodes", clientId: readClientId(reader), count: reader.varint() };
    case typeNumbers.writeSegment:
      return readWriteSegment(reader);
    case typeNumbers.publish:
      return readPublish(reader);
    case typeNumbers.relocate:
      return readRelocate(reader);
    case typeNumbers.dropSegment:
      return { type: "dropSegment", segment: readSegmentId(reader) };
    case typeNumbers.dropContent:
      return { type: "dropContent", ino: readInodeNumber(reader), regionsMax: reader.varint() };
    case typeNumbers.intendTruncate: {
      const ino = readInodeNumber(reader);
      const coded = reader.varint();
      return { type: "intendTruncate", ino, sizeBytes: coded === 0 ? null : coded - 1 };
    }
    case typeNumbers.setDrive:
      return { type: "setDrive", drive: readDrive(reader) };
    case typeNumbers.format:
      return readFormat(reader);
    case typeNumbers.mend:
      return readMend(reader);
    default:
      return corrupt(`a command has the unknown type ${type}`);
  }
}
