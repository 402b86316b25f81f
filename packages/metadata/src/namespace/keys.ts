/**
 * Keys of the namespace in the ordered key-value store: binary strings, numbers big-endian, so that they sort by number.
 *
 *     I|ino8               inode                          S|segment8     segment
 *     D|dir8|hash8|name    directory entry                J|file4        live counters of a journal file
 *     X|ino8|name          value of an extended attribute G|segment8     dead or thin segment (candidate for the compactor)
 *     E|ino8|region4       extents of one region          C|clientId     session
 *     M|ino8               which regions exist            U              usage sums
 *     O|ino8               orphan: unlinked but open      B              superblock
 *     Z|ino8               content without inode          A              applied log index (written by the driver)
 *     T|ino8               a truncate that goes in steps
 *
 * Invariant: one letter per kind of record, never used for another; every char code is 0 to 255.
 */
import { assert } from "@cfs/core";
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import type { KvKey } from "../kv/ordered-kv.ts";

const twoTo32 = 0x1_0000_0000;

/** A safe non-negative integer as 8 bytes, big-endian. */
function big8(value: number): string {
  const high = Math.floor(value / twoTo32);
  const low = value >>> 0;
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

function big4(value: number): string {
  return String.fromCharCode(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function number4(key: KvKey, at: number): number {
  return key.charCodeAt(at) * 0x100_0000 + ((key.charCodeAt(at + 1) << 16) | (key.charCodeAt(at + 2) << 8) | key.charCodeAt(at + 3));
}

function number8(key: KvKey, at: number): number {
  return number4(key, at) * twoTo32 + number4(key, at + 4);
}

/** Names of extended attributes may hold any text; the key holds its UTF-8 bytes, one per char. */
export function xattrNameBytes(name: string): string {
  // oxlint-disable-next-line no-control-regex
  return /^[\0-\x7f]*$/.test(name) ? name : Buffer.from(name, "utf8").toString("latin1");
}

export const usageKey: KvKey = "U";
export const superblockKey: KvKey = "B";
/** Reserved for the driver: how far the log is applied, written in the same batch as the records. */
export const appliedKey: KvKey = "A";

export function inodeKey(ino: InodeNumber): KvKey {
  return `I${big8(ino)}`;
}

export function direntKey(parent: InodeNumber, hash: number, name: Name): KvKey {
  return `D${big8(parent)}${big8(hash)}${name}`;
}

/** The first key of entries of `parent` whose hash is at least `hash`. */
export function direntKeyFrom(parent: InodeNumber, hash: number): KvKey {
  return `D${big8(parent)}${big8(hash)}`;
}

/** The first key after all entries of `parent`. */
export function direntKeyEnd(parent: InodeNumber): KvKey {
  return `D${big8(parent + 1)}`;
}

export function parseDirentKey(key: KvKey): { parent: InodeNumber; hash: number; name: Name } {
  assert(key.length > 17 && key.startsWith("D"), "a dirent key holds directory, hash and name");
  return { parent: number8(key, 1) as InodeNumber, hash: number8(key, 9), name: key.slice(17) as Name };
}

export function xattrKey(ino: InodeNumber, name: string): KvKey {
  return `X${big8(ino)}${xattrNameBytes(name)}`;
}

export function parseXattrKey(key: KvKey): { ino: InodeNumber; nameBytes: string } {
  return { ino: number8(key, 1) as InodeNumber, nameBytes: key.slice(9) };
}

export function regionKey(ino: InodeNumber, index: number): KvKey {
  return `E${big8(ino)}${big4(index)}`;
}

export function parseRegionKey(key: KvKey): { ino: InodeNumber; index: number } {
  return { ino: number8(key, 1) as InodeNumber, index: number4(key, 9) };
}

export function runsKey(ino: InodeNumber): KvKey {
  return `M${big8(ino)}`;
}

export function orphanKey(ino: InodeNumber): KvKey {
  return `O${big8(ino)}`;
}

export function zombieKey(ino: InodeNumber): KvKey {
  return `Z${big8(ino)}`;
}

export function truncationKey(ino: InodeNumber): KvKey {
  return `T${big8(ino)}`;
}

export function segmentKey(id: SegmentId): KvKey {
  return `S${big8(id)}`;
}

export function candidateKey(id: SegmentId): KvKey {
  return `G${big8(id)}`;
}

export function journalFileKey(fileId: number): KvKey {
  return `J${big4(fileId)}`;
}

export function sessionKey(clientId: ClientId): KvKey {
  return `C${clientId}`;
}

/** The number in a key of a letter and one 8-byte number: I, M, O, Z, T, S, G. */
export function parseNumberKey(key: KvKey): number {
  assert(key.length === 9, "the key is a letter and 8 bytes");
  return number8(key, 1);
}

export function parseJournalFileKey(key: KvKey): number {
  assert(key.length === 5, "the key is a letter and 4 bytes");
  return number4(key, 1);
}

/** All keys of one kind: [letter, next letter). */
export function kindRange(letter: string): { begin: KvKey; end: KvKey } {
  return { begin: letter, end: String.fromCharCode(letter.charCodeAt(0) + 1) };
}

/** The smallest key after `key`. */
export function keyAfter(key: KvKey): KvKey {
  return `${key}\0`;
}
