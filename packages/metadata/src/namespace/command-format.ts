/**
 * Binary form of commands: what the log stores and what a client sends.
 *
 *     | type number 1 | fields in the order of commands.ts |
 *
 * A type number names a command and the version of its layout: a changed layout takes a new number, old numbers are decoded for ever.
 * v = varint; caller = uid v, gid v, 0 or count+1 of groups v, groups; moment = sec i8, nsec 4; optional fields have a flag bit.
 * Invariant: decode(encode(command)) is the same command; any other input throws CORRUPT. Memory is bounded by the input, and byte
 * fields of a decoded command are views of it: `applyCommand` copies what it keeps.
 */
import { ByteReader, ByteWriter } from "@cfs/core";
import { readChange, readFlags, readName, readOptionalMoment, readWrite, writeChange, writeMoment, writeWrite } from "./command-parts.ts";
import { readServerCommand, writeServerCommand } from "./command-format-server.ts";
import type { Allocate, Command, CopyRange, Link, MakeNode, Rename, SetAttributes, SetXattr, Unlink } from "./commands.ts";
import { corrupt, readId, readInodeNumber, readKind, readMode, writeKind } from "./record-format.ts";

/** On disk and on the wire: never changed, never used again. Server commands begin at 32. */
const typeNumbers = {
  makeNode: 1,
  link: 2,
  unlink: 3,
  rename: 4,
  setAttributes: 5,
  setXattr: 6,
  write: 7,
  allocate: 8,
  copyRange: 9,
  reap: 10,
} as const;
const firstServerType = 32;
const actions = ["reserve", "punch", "zero"] as const;
const shared = new ByteWriter(16_384);

function writeMakeNode(writer: ByteWriter, command: MakeNode): void {
  writer.u8((command.name === null ? 0 : 1) | (command.target === null ? 0 : 2));
  writer.varint(command.parent).varint(command.ino);
  writeKind(writer, command.kind);
  writer.u16(command.mode).u16(command.umask).varint(command.rdev);
  if (command.name !== null) writer.latin1(command.name);
  if (command.target !== null) writer.bytes(command.target);
  writeChange(writer, command);
}

function readMakeNode(reader: ByteReader): MakeNode {
  const flags = readFlags(reader, 3);
  const parent = readInodeNumber(reader);
  const ino = readInodeNumber(reader);
  const kind = readKind(reader);
  const mode = readMode(reader);
  const umask = readMode(reader);
  const rdev = reader.varint();
  const name = (flags & 1) === 0 ? null : readName(reader);
  const target = (flags & 2) === 0 ? null : reader.bytes();
  return { type: "makeNode", parent, name, ino, kind, mode, umask, rdev, target, ...readChange(reader) };
}

function readLink(reader: ByteReader): Link {
  return { type: "link", ino: readInodeNumber(reader), parent: readInodeNumber(reader), name: readName(reader), ...readChange(reader) };
}

function readUnlink(reader: ByteReader): Unlink {
  return {
    type: "unlink",
    directory: readFlags(reader, 1) === 1,
    parent: readInodeNumber(reader),
    name: readName(reader),
    ...readChange(reader),
  };
}

function writeRename(writer: ByteWriter, command: Rename): void {
  writer
    .varint(command.parent)
    .latin1(command.name)
    .varint(command.newParent)
    .latin1(command.newName)
    .varint(command.flags)
    .varint(command.whiteout);
  writeChange(writer, command);
}

function readRename(reader: ByteReader): Rename {
  const parent = readInodeNumber(reader);
  const name = readName(reader);
  const newParent = readInodeNumber(reader);
  const newName = readName(reader);
  const flags = reader.varint();
  const whiteout = reader.varint() as Rename["whiteout"];
  return { type: "rename", parent, name, newParent, newName, flags, whiteout, ...readChange(reader) };
}

function writeSetAttributes(writer: ByteWriter, command: SetAttributes): void {
  const { mode, uid, gid, sizeBytes, atime, mtime, ctime } = command;
  const optional = [mode, uid, gid, sizeBytes, atime, mtime, ctime];
  let flags = (command.isTouch ? 128 : 0) | (command.killSetId ? 256 : 0);
  for (let index = 0; index < optional.length; index++) if (optional[index] !== null) flags |= 1 << index;
  writer.u16(flags).varint(command.ino);
  if (mode !== null) writer.u16(mode);
  if (uid !== null) writer.varint(uid);
  if (gid !== null) writer.varint(gid);
  if (sizeBytes !== null) writer.varint(sizeBytes);
  for (const moment of [atime, mtime, ctime]) if (moment !== null) writeMoment(writer, moment);
  writeChange(writer, command);
}

function readSetAttributes(reader: ByteReader): SetAttributes {
  const flags = reader.u16();
  if (flags > 511) corrupt("a setAttributes command has unknown flags");
  const ino = readInodeNumber(reader);
  const mode = (flags & 1) === 0 ? null : readMode(reader);
  const uid = (flags & 2) === 0 ? null : readId(reader);
  const gid = (flags & 4) === 0 ? null : readId(reader);
  const sizeBytes = (flags & 8) === 0 ? null : reader.varint();
  const atime = readOptionalMoment(reader, (flags & 16) !== 0);
  const mtime = readOptionalMoment(reader, (flags & 32) !== 0);
  const ctime = readOptionalMoment(reader, (flags & 64) !== 0);
  const isTouch = (flags & 128) !== 0;
  const killSetId = (flags & 256) !== 0;
  return { type: "setAttributes", ino, mode, uid, gid, sizeBytes, atime, mtime, ctime, isTouch, killSetId, ...readChange(reader) };
}

function writeSetXattr(writer: ByteWriter, command: SetXattr): void {
  writer
    .u8((command.killSetGid ? 1 : 0) | (command.value === null ? 0 : 2))
    .varint(command.ino)
    .utf8(command.name)
    .varint(command.flags);
  if (command.value !== null) writer.bytes(command.value);
  writeChange(writer, command);
}

function readSetXattr(reader: ByteReader): SetXattr {
  const bits = readFlags(reader, 3);
  const ino = readInodeNumber(reader);
  const name = reader.utf8();
  const flags = reader.varint();
  const value = (bits & 2) === 0 ? null : reader.bytes();
  return { type: "setXattr", ino, name, value, flags, killSetGid: (bits & 1) !== 0, ...readChange(reader) };
}

function writeAllocate(writer: ByteWriter, command: Allocate): void {
  writer
    .u8(actions.indexOf(command.action) | (command.keepSize ? 4 : 0))
    .varint(command.ino)
    .varint(command.offsetBytes)
    .varint(command.lengthBytes);
  writeChange(writer, command);
}

function readAllocate(reader: ByteReader): Allocate {
  const flags = readFlags(reader, 7);
  const action = actions[flags & 3] ?? corrupt("an allocate command has an unknown action");
  const ino = readInodeNumber(reader);
  return {
    type: "allocate",
    ino,
    action,
    keepSize: (flags & 4) !== 0,
    offsetBytes: reader.varint(),
    lengthBytes: reader.varint(),
    ...readChange(reader),
  };
}

function writeCopyRange(writer: ByteWriter, command: CopyRange): void {
  writer
    .varint(command.source)
    .varint(command.sourceOffsetBytes)
    .varint(command.target)
    .varint(command.targetOffsetBytes)
    .varint(command.lengthBytes);
  writeChange(writer, command);
}

function readCopyRange(reader: ByteReader): CopyRange {
  const source = readInodeNumber(reader);
  const sourceOffsetBytes = reader.varint();
  const target = readInodeNumber(reader);
  const targetOffsetBytes = reader.varint();
  return { type: "copyRange", source, sourceOffsetBytes, target, targetOffsetBytes, lengthBytes: reader.varint(), ...readChange(reader) };
}

/** Appends a command to a writer of the caller's. */
export function writeCommand(writer: ByteWriter, command: Command): void {
  switch (command.type) {
    case "makeNode":
      return writeMakeNode(writer.u8(typeNumbers.makeNode), command);
    case "link":
      writer.u8(typeNumbers.link).varint(command.ino).varint(command.parent).latin1(command.name);
      return writeChange(writer, command);
    case "unlink":
      writer
        .u8(typeNumbers.unlink)
        .u8(command.directory ? 1 : 0)
        .varint(command.parent)
        .latin1(command.name);
      return writeChange(writer, command);
    case "rename":
      return writeRename(writer.u8(typeNumbers.rename), command);
    case "setAttributes":
      return writeSetAttributes(writer.u8(typeNumbers.setAttributes), command);
    case "setXattr":
      return writeSetXattr(writer.u8(typeNumbers.setXattr), command);
    case "write":
      return writeWrite(writer.u8(typeNumbers.write), command);
    case "allocate":
      return writeAllocate(writer.u8(typeNumbers.allocate), command);
    case "copyRange":
      return writeCopyRange(writer.u8(typeNumbers.copyRange), command);
    case "reap":
      writer.u8(typeNumbers.reap).varint(command.ino);
      return undefined;
    default:
      return writeServerCommand(writer, command);
  }
}

/** Reads one command where the reader stands. */
export function readCommand(reader: ByteReader): Command {
  const type = reader.u8();
  switch (type) {
    case typeNumbers.makeNode:
      return readMakeNode(reader);
    case typeNumbers.link:
      return readLink(reader);
    case typeNumbers.unlink:
      return readUnlink(reader);
    case typeNumbers.rename:
      return readRename(reader);
    case typeNumbers.setAttributes:
      return readSetAttributes(reader);
    case typeNumbers.setXattr:
      return readSetXattr(reader);
    case typeNumbers.write:
      return readWrite(reader);
    case typeNumbers.allocate:
      return readAllocate(reader);
    case typeNumbers.copyRange:
      return readCopyRange(reader);
    case typeNumbers.reap:
      return { type: "reap", ino: readInodeNumber(reader) };
    default:
      return type < firstServerType ? corrupt(`a command has the unknown type ${type}`) : readServerCommand(reader, type);
  }
}

export function encodeCommand(command: Command): Uint8Array {
  try {
    writeCommand(shared, command);
    return shared.take();
  } catch (reason) {
    shared.take();
    throw reason;
  }
}

export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new ByteReader(bytes, "a command");
  const command = readCommand(reader);
  reader.end();
  return command;
}
