/**
 * One page of a directory, filled by Vfs.readDirectory through `take`.
 *
 * fuse_dirent: | ino 8 | cookie 8 | name length 4 | type 4 | name … | padding to 8 |; with attributes, fuse_entry_out before it.
 * Invariant: an entry is there whole or not at all; `inodes` lists exactly those that `take` accepted with a lookup.
 */
import type { InodeNumber } from "@cfs/core";
import type { DirectoryEntry } from "@cfs/vfs";
import { encodeEntry, encodeZeroes, type Presented } from "./encode.ts";
import { direntBytes, entryOutBytes, typeBitsByKind } from "./protocol.ts";

const high = 0x1_0000_0000;
const pooledBytes = 65_536;
const pooledMax = 16;

/** Buffers for pages in flight; larger ones are made for the occasion. */
export class PagePool {
  readonly #free: Buffer[] = [];

  take(lengthBytes: number): Buffer {
    if (lengthBytes > pooledBytes) return Buffer.allocUnsafeSlow((lengthBytes + 7) & ~7);
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(pooledBytes);
  }

  give(buffer: Buffer): void {
    if (buffer.length === pooledBytes && this.#free.length < pooledMax) this.#free.push(buffer);
  }
}

export class DirectoryPage {
  readonly inodes: InodeNumber[] = [];
  readonly #buffer: Buffer;
  readonly #words: Uint32Array;
  readonly #limitBytes: number;
  readonly #withAttributes: boolean;
  readonly #presented: Presented | null;
  readonly #pool: PagePool;
  #lengthBytes = 0;
  #isReleased = false;

  constructor(pool: PagePool, limitBytes: number, withAttributes: boolean, presented: Presented | null) {
    this.#pool = pool;
    this.#buffer = pool.take(limitBytes);
    this.#words = new Uint32Array(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.length >>> 2);
    this.#limitBytes = limitBytes;
    this.#withAttributes = withAttributes;
    this.#presented = presented;
  }

  /** A function of its own, to be handed to the Vfs. False: this entry did not fit. */
  readonly take = (entry: DirectoryEntry): boolean => {
    if (this.#isReleased) return false;
    const { name, ino, cookie, kind } = entry;
    const headBytes = this.#withAttributes ? entryOutBytes : 0;
    const bytes = headBytes + ((direntBytes + name.length + 7) & ~7);
    const begin = this.#lengthBytes;
    if (begin + bytes > this.#limitBytes) return false;
    let at = begin >>> 2;
    if (this.#withAttributes) {
      if (entry.entry === null) {
        // Node number 0: the kernel takes the name alone and counts no lookup.
        encodeZeroes(this.#words, at, entryOutBytes >>> 2);
      } else {
        encodeEntry(this.#words, at, entry.entry, this.#presented);
        this.inodes.push(entry.entry.attributes.ino);
      }
      at += entryOutBytes >>> 2;
    }
    const words = this.#words;
    words[at] = ino >>> 0;
    words[at + 1] = Math.floor(ino / high);
    words[at + 2] = cookie >>> 0;
    words[at + 3] = Math.floor(cookie / high);
    words[at + 4] = name.length;
    words[at + 5] = typeBitsByKind[kind] >>> 12;
    const nameAt = begin + headBytes + direntBytes;
    this.#buffer.write(name, nameAt, "latin1");
    this.#buffer.fill(0, nameAt + name.length, begin + bytes);
    this.#lengthBytes = begin + bytes;
    return true;
  };

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#lengthBytes);
  }

  /** Gives the buffer back; idempotent. */
  readonly release = (): void => {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#pool.give(this.#buffer);
  };
}
