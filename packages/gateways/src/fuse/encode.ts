/**
 * Attributes and entries as the kernel reads them, written at a word index of shared memory.
 *
 * fuse_attr: ino 8, size 8, blocks 8, atime 8, mtime 8, ctime 8, their nanoseconds 4 each, mode, nlink, uid, gid, rdev, blksize,
 * flags (4 each). fuse_entry_out: nodeid 8, generation 8, entry valid 8, attributes valid 8, their nanoseconds 4 each, fuse_attr.
 * fuse_statx is statx(2)'s. Every word of a structure is written, since the memory holds older replies.
 */
import { assert, rootInode, type InodeNumber } from "@cfs/core";
import type { Attributes, Entry } from "@cfs/vfs";
import { rootNodeId, typeBitsByKind } from "./protocol.ts";

const high = 0x1_0000_0000;
const blockBytes = 512;
const ioBytes = 4096;
/** Longest validity told to the kernel: 2^31 seconds; "for ever" is anything above. */
const validMsMax = 2 ** 31 * 1000;

/** All files appear to belong to this user and this group, and what is made or given away is stored as theirs. Null: as it is. */
export interface Presented {
  readonly uid: number | null;
  readonly gid: number | null;
}

export function nodeOf(ino: InodeNumber): number {
  return ino === rootInode ? rootNodeId : ino;
}

function put64(words: Uint32Array, at: number, value: number): void {
  words[at] = value >>> 0;
  words[at + 1] = Math.floor(value / high) >>> 0;
}

export function encodeZeroes(words: Uint32Array, at: number, count: number): void {
  words.fill(0, at, at + count);
}

/** Seconds at `secondsAt` (64 bit), nanoseconds at `nanosecondsAt` (32 bit). */
export function encodeValidity(words: Uint32Array, secondsAt: number, nanosecondsAt: number, validMs: number): void {
  const bounded = validMs > 0 ? Math.min(validMs, validMsMax) : 0;
  const seconds = Math.floor(bounded / 1000);
  put64(words, secondsAt, seconds);
  words[nanosecondsAt] = Math.floor((bounded - seconds * 1000) * 1e6);
}

export function encodeAttributes(words: Uint32Array, at: number, attributes: Attributes, presented: Presented | null): void {
  const { ino, sizeBytes, allocatedBytes, atime, mtime, ctime } = attributes;
  assert(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, "a file size is a safe integer");
  put64(words, at, ino);
  put64(words, at + 2, sizeBytes);
  put64(words, at + 4, Math.ceil(allocatedBytes / blockBytes));
  put64(words, at + 6, atime.sec);
  put64(words, at + 8, mtime.sec);
  put64(words, at + 10, ctime.sec);
  words[at + 12] = atime.nsec;
  words[at + 13] = mtime.nsec;
  words[at + 14] = ctime.nsec;
  words[at + 15] = typeBitsByKind[attributes.kind] | (attributes.mode & 0o7777);
  words[at + 16] = attributes.nlink;
  words[at + 17] = presented?.uid ?? attributes.uid;
  words[at + 18] = presented?.gid ?? attributes.gid;
  words[at + 19] = kernelDevice(attributes.rdev);
  words[at + 20] = ioBytes;
  words[at + 21] = 0;
}

export function encodeEntry(words: Uint32Array, at: number, entry: Entry, presented: Presented | null): void {
  const { attributes, validity } = entry;
  put64(words, at, nodeOf(attributes.ino));
  put64(words, at + 2, attributes.generation);
  encodeValidity(words, at + 4, at + 8, validity.entryMs);
  encodeValidity(words, at + 6, at + 9, validity.attributesMs);
  encodeAttributes(words, at + 10, attributes, presented);
}

/** STATX_BASIC_STATS: everything but the birth time, which cfs does not keep. */
const basicStatistics = 0x7ff;

/** fuse_statx_out: valid 8, its nanoseconds 4, flags 4, spare 16, then statx(2)'s structure of 256 bytes. */
export function encodeStatx(words: Uint32Array, at: number, entry: Entry, presented: Presented | null): void {
  const { attributes, validity } = entry;
  encodeZeroes(words, at, 72);
  encodeValidity(words, at, at + 2, validity.attributesMs);
  const stat = at + 8;
  words[stat] = basicStatistics;
  words[stat + 1] = ioBytes;
  words[stat + 4] = attributes.nlink;
  words[stat + 5] = presented?.uid ?? attributes.uid;
  words[stat + 6] = presented?.gid ?? attributes.gid;
  words[stat + 7] = typeBitsByKind[attributes.kind] | (attributes.mode & 0o7777);
  put64(words, stat + 8, attributes.ino);
  put64(words, stat + 10, attributes.sizeBytes);
  put64(words, stat + 12, Math.ceil(attributes.allocatedBytes / blockBytes));
  // Access 16, birth 20, change 24, modification 28: seconds 8, nanoseconds 4, padding 4.
  put64(words, stat + 16, attributes.atime.sec);
  words[stat + 18] = attributes.atime.nsec;
  put64(words, stat + 24, attributes.ctime.sec);
  words[stat + 26] = attributes.ctime.nsec;
  put64(words, stat + 28, attributes.mtime.sec);
  words[stat + 30] = attributes.mtime.nsec;
  words[stat + 32] = deviceMajor(attributes.rdev);
  words[stat + 33] = deviceMinor(attributes.rdev);
}

function deviceMajor(rdev: number): number {
  return (rdev >>> 8) & 0xfff;
}

function deviceMinor(rdev: number): number {
  return (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
}

/** stat(2)'s st_rdev and the kernel's 32-bit form agree up to major 4095 and minor 1048575, all that Linux has. */
function kernelDevice(rdev: number): number {
  return rdev >>> 0;
}
