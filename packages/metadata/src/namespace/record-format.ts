/**
 * Binary form of inodes, directory entries and orphans: the values of keys I, D and O, and the parts of replies on the wire.
 *
 * Inode, version 1 (v = varint, i8 = 8 bytes signed, little-endian):
 *
 *     | version 1 | kind 1 | flags 1 | ino v | generation v | mode 2 | uid v | gid v | nlink v | size v | allocated v | inlineBytes v |
 *     | 4 times (access, change of data, change of inode, birth): sec i8, nsec 4 |
 *     | device: rdev v | directory: parent v, entryCount v | symlink: target |   by kind
 *     | xattr count v, names | inline bytes, if flagged |
 *
 * flags: 1 the content is in extents; 2 the inline bytes are included (always in the store; on the wire when asked for).
 * Dirent: | kind 1 | ino v |. Orphan: | owner's client id |. The kinds' numbers are positions in `fileKinds`.
 * Invariant: a decoder gives a record whose every field is in range, or throws CORRUPT.
 */
import { ByteReader, ByteWriter, CfsError } from "@cfs/core";
import type { ClientId, InodeNumber } from "@cfs/core";
import { fileKinds, inlineBytesMax } from "./records.ts";
import type { Dirent, FileKind, Inode } from "./records.ts";

const inodeVersion = 1;
const flagExtents = 1;
const flagInline = 2;
const noBytes: Uint8Array = new Uint8Array(0);
const noNames: readonly string[] = Object.freeze([]);
const kindNumbers: Readonly<Record<FileKind, number>> = Object.fromEntries(fileKinds.map((kind, index) => [kind, index])) as Record<
  FileKind,
  number
>;
/** One for the process: encoding is synchronous and `take` empties it. */
const shared = new ByteWriter(8192);

export function corrupt(what: string): never {
  throw new CfsError("CORRUPT", what);
}

export function writeKind(writer: ByteWriter, kind: FileKind): void {
  writer.u8(kindNumbers[kind]);
}

export function readKind(reader: ByteReader): FileKind {
  return fileKinds[reader.u8()] ?? corrupt("a file kind is out of range");
}

export function readInodeNumber(reader: ByteReader): InodeNumber {
  const ino = reader.varint();
  if (ino === 0) corrupt("an inode number is 0");
  return ino as InodeNumber;
}

export function readNanoseconds(reader: ByteReader): number {
  const nsec = reader.u32();
  if (nsec >= 1_000_000_000) corrupt("nanoseconds are a second or more");
  return nsec;
}

export function readSeconds(reader: ByteReader): number {
  return reader.i64();
}

/** 32-bit ids of users and groups. */
export function readId(reader: ByteReader): number {
  const id = reader.varint();
  if (id > 0xffff_ffff) corrupt("a user or group id is past 32 bits");
  return id;
}

export function readMode(reader: ByteReader): number {
  const mode = reader.u16();
  if (mode > 0o7777) corrupt("mode bits are out of range");
  return mode;
}

function writeTimes(writer: ByteWriter, inode: Inode): void {
  writer.i64(inode.atimeSec).u32(inode.atimeNsec).i64(inode.mtimeSec).u32(inode.mtimeNsec);
  writer.i64(inode.ctimeSec).u32(inode.ctimeNsec).i64(inode.birthSec).u32(inode.birthNsec);
}

/** Appends an inode; with `withInline` false its inline bytes stay out (the count of them does not). */
export function writeInode(writer: ByteWriter, inode: Inode, withInline: boolean): void {
  const inline = withInline ? inode.inline : null;
  writer.u8(inodeVersion);
  writeKind(writer, inode.kind);
  writer.u8((inode.hasExtents ? flagExtents : 0) | (inline === null ? 0 : flagInline));
  writer.varint(inode.ino).varint(inode.generation).u16(inode.mode).varint(inode.uid).varint(inode.gid).varint(inode.nlink);
  writer.varint(inode.sizeBytes).varint(inode.allocatedBytes).varint(inode.inlineBytes);
  writeTimes(writer, inode);
  if (inode.kind === "directory") writer.varint(inode.parent).varint(inode.entryCount);
  else if (inode.kind === "character" || inode.kind === "block") writer.varint(inode.rdev);
  else if (inode.kind === "symlink") writer.bytes(inode.target ?? noBytes);
  writer.varint(inode.xattrNames.length);
  for (const name of inode.xattrNames) writer.utf8(name);
  if (inline !== null) writer.raw(inline);
}

/** For the store. The inline bytes must be loaded. */
export function encodeInode(inode: Inode): Uint8Array {
  if (inode.inlineBytes > 0 && inode.inline === null) corrupt(`inode ${inode.ino} is without its ${inode.inlineBytes} inline bytes`);
  writeInode(shared, inode, true);
  return shared.take();
}

function readXattrNames(reader: ByteReader): readonly string[] {
  const count = reader.varint();
  if (count === 0) return noNames;
  const names: string[] = [];
  for (let index = 0; index < count; index++) {
    const name = reader.utf8();
    if (index > 0 && name <= (names[index - 1] as string)) corrupt("names of extended attributes are out of order");
    names.push(name);
  }
  return names;
}

function readByKind(reader: ByteReader, inode: Inode): Inode {
  if (inode.kind === "directory") {
    inode.parent = readInodeNumber(reader);
    inode.entryCount = reader.varint();
    return inode;
  }
  if (inode.kind === "character" || inode.kind === "block") return { ...inode, rdev: reader.varint() };
  if (inode.kind === "symlink") return { ...inode, target: Uint8Array.from(reader.bytes()) };
  return inode;
}

/** Reads one inode where the reader stands. The inline bytes are a view of the input, or null when they are not included. */
export function readInode(reader: ByteReader): Inode {
  if (reader.u8() !== inodeVersion) corrupt("an inode record has an unknown version");
  const kind = readKind(reader);
  const flags = reader.u8();
  if (flags > (flagExtents | flagInline)) corrupt("an inode record has unknown flags");
  const fixed: Inode = {
    ino: readInodeNumber(reader),
    generation: reader.varint(),
    kind,
    mode: readMode(reader),
    uid: readId(reader),
    gid: readId(reader),
    nlink: reader.varint(),
    rdev: 0,
    sizeBytes: reader.varint(),
    allocatedBytes: reader.varint(),
    isAllocatedStale: false,
    inlineBytes: reader.varint(),
    atimeSec: readSeconds(reader),
    atimeNsec: readNanoseconds(reader),
    mtimeSec: readSeconds(reader),
    mtimeNsec: readNanoseconds(reader),
    ctimeSec: readSeconds(reader),
    ctimeNsec: readNanoseconds(reader),
    birthSec: readSeconds(reader),
    birthNsec: readNanoseconds(reader),
    parent: 0,
    entryCount: 0,
    target: null,
    inline: null,
    hasExtents: (flags & flagExtents) !== 0,
    xattrNames: noNames,
  };
  const inode = readByKind(reader, fixed);
  inode.xattrNames = readXattrNames(reader);
  if (inode.inlineBytes > inlineBytesMax) corrupt(`inode ${inode.ino} has ${inode.inlineBytes} inline bytes`);
  if (inode.inlineBytes > 0 && (inode.hasExtents || kind !== "file")) corrupt(`inode ${inode.ino} has inline bytes where none can be`);
  if ((flags & flagInline) !== 0) {
    if (inode.inlineBytes === 0) corrupt(`inode ${inode.ino} includes inline bytes but has none`);
    inode.inline = reader.raw(inode.inlineBytes);
  }
  return inode;
}

export function decodeInode(bytes: Uint8Array): Inode {
  const reader = new ByteReader(bytes, "an inode record");
  const inode = readInode(reader);
  reader.end();
  return inode;
}

export function encodeDirent(dirent: Dirent): Uint8Array {
  writeKind(shared, dirent.kind);
  return shared.varint(dirent.ino).take();
}

export function decodeDirent(bytes: Uint8Array): Dirent {
  const reader = new ByteReader(bytes, "a directory entry");
  const kind = readKind(reader);
  const ino = readInodeNumber(reader);
  reader.end();
  return { ino, kind };
}

export function readClientId(reader: ByteReader): ClientId {
  const id = reader.latin1();
  if (!/^[0-9a-f]{32}$/.test(id)) corrupt("a client id is not 32 hex digits");
  return id as ClientId;
}

export function encodeOrphan(owner: ClientId): Uint8Array {
  return shared.latin1(owner).take();
}

export function decodeOrphan(bytes: Uint8Array): ClientId {
  const reader = new ByteReader(bytes, "an orphan record");
  const owner = readClientId(reader);
  reader.end();
  return owner;
}
