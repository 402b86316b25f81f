/**
 * Replies on their way to the kernel: heads are written into the arena, data parts stay where they are, one flush sends all.
 *
 * fuse_out_header: | length 4 | error 4 | unique 8 |, then the fixed part, then the parts.
 * Invariant: every opened reply is sent once, in order, or retracted before the next is opened; buffers of a READ go back to
 * their owner only after the flush that sent them. A reply that the kernel no longer wants (ENOENT) gives back what it handed
 * out: its lookups are forgotten, its open file is released.
 */
import { assert, type InodeNumber } from "@cfs/core";
import type { Entry, OpenFile, ReadResult, Vfs } from "@cfs/vfs";
import type { Device } from "./device.ts";
import { encodeAttributes, encodeEntry, encodeValidity, encodeZeroes, type Presented } from "./encode.ts";
import { errno } from "./errno.ts";
import { attrOutBytes, entryOutBytes, openOutBytes, outHeaderBytes } from "./protocol.ts";

const high = 0x1_0000_0000;
const descriptorWords = 4;
/** UIO_MAXIOV less the head; more parts are joined by a copy. */
const partsMax = 1023;

/** What a reply handed out and gets back when nobody takes it. */
export type HandedOut =
  | { readonly kind: "file"; readonly handle: number }
  | { readonly kind: "directory"; readonly handle: number }
  | { readonly kind: "entries"; readonly inodes: readonly InodeNumber[] };

export interface RepliesParts {
  readonly device: Device;
  readonly vfs: Pick<Vfs, "forget" | "release" | "releaseDirectory">;
  /** A reply that the kernel refused for a reason other than that nobody waits or the mount is gone. */
  readonly onRefused: (uniqueLow: number, uniqueHigh: number, errno: number) => void;
}

export class Replies {
  readonly #device: Device;
  readonly #vfs: RepliesParts["vfs"];
  readonly #onRefused: RepliesParts["onRefused"];
  readonly #presented: Presented | null;
  readonly words: Uint32Array;
  readonly #bytes: Buffer;
  readonly #countMax: number;
  readonly #arenaBegin: number;
  readonly #arenaEnd: number;
  readonly #descriptors: number;
  #parts: Uint8Array[] = [];
  #results: ReadResult[] = [];
  /** Per reply of this flush: an inode to forget, or 0; and rarely more. */
  readonly #lookedUp: Float64Array;
  readonly #handedOut: (HandedOut | null)[];
  #count = 0;
  #cursor: number;
  #partsBefore = 0;
  #resultsBefore = 0;
  #opened = 0;
  #refused = 0;

  constructor(parts: RepliesParts, presented: Presented | null) {
    this.#device = parts.device;
    this.#vfs = parts.vfs;
    this.#onRefused = parts.onRefused;
    this.#presented = presented;
    const { memory, layout } = parts.device;
    this.words = new Uint32Array(memory);
    this.#bytes = Buffer.from(memory);
    this.#countMax = layout.replyCount;
    this.#arenaBegin = layout.arenaOffset;
    this.#arenaEnd = layout.arenaOffset + layout.arenaBytes;
    this.#descriptors = layout.descriptorsOffset >>> 2;
    this.#lookedUp = new Float64Array(layout.replyCount);
    this.#handedOut = Array.from({ length: layout.replyCount }, () => null);
    this.#cursor = this.#arenaBegin;
  }

  /** How many replies were ever opened and not retracted. */
  get opened(): number {
    return this.#opened;
  }

  get waiting(): number {
    return this.#count;
  }

  get refused(): number {
    return this.#refused;
  }

  /** Opens a reply with a fixed part of `bodyBytes` in the arena and `dataBytes` in parts. Gives the word index of the body. */
  open(low: number, upper: number, bodyBytes: number, dataBytes = 0): number {
    const headBytes = outHeaderBytes + bodyBytes;
    if (this.#count === this.#countMax || this.#cursor + headBytes > this.#arenaEnd) this.flush();
    const head = this.#cursor;
    assert(head + headBytes <= this.#arenaEnd, "the head of a reply fits the arena");
    this.#cursor = head + ((headBytes + 7) & ~7);
    this.#partsBefore = this.#parts.length;
    this.#resultsBefore = this.#results.length;
    const descriptor = this.#descriptors + this.#count * descriptorWords;
    const words = this.words;
    words[descriptor] = head;
    words[descriptor + 1] = headBytes;
    words[descriptor + 2] = 0;
    words[descriptor + 3] = 0;
    const at = head >>> 2;
    words[at] = headBytes + dataBytes;
    words[at + 1] = 0;
    words[at + 2] = low;
    words[at + 3] = upper;
    this.#lookedUp[this.#count] = 0;
    this.#handedOut[this.#count] = null;
    this.#count++;
    this.#opened++;
    return at + 4;
  }

  /** Takes the reply opened last back. No flush can have happened since. */
  retract(): void {
    assert(this.#count > 0, "a reply is open");
    this.#count--;
    this.#opened--;
    this.#cursor = this.words[this.#descriptors + this.#count * descriptorWords] as number;
    this.#parts.length = this.#partsBefore;
    for (const result of this.#results.splice(this.#resultsBefore)) result.release();
  }

  empty(low: number, upper: number): void {
    this.open(low, upper, 0);
  }

  /** `number` is a positive errno. */
  error(low: number, upper: number, number: number): void {
    const at = this.open(low, upper, 0);
    this.words[at - 3] = -number >>> 0;
  }

  entry(low: number, upper: number, entry: Entry): void {
    const at = this.open(low, upper, entryOutBytes);
    encodeEntry(this.words, at, entry, this.#presented);
    this.#lookedUp[this.#count - 1] = entry.attributes.ino;
  }

  attributes(low: number, upper: number, entry: Entry): void {
    const at = this.open(low, upper, attrOutBytes);
    encodeValidity(this.words, at, at + 2, entry.validity.attributesMs);
    this.words[at + 3] = 0;
    encodeAttributes(this.words, at + 4, entry.attributes, this.#presented);
  }

  file(low: number, upper: number, file: OpenFile, flags: number, kind: "file" | "directory"): void {
    const at = this.open(low, upper, openOutBytes);
    this.#openOut(at, file, flags);
    this.#handedOut[this.#count - 1] = { kind, handle: file.handle };
  }

  created(low: number, upper: number, entry: Entry, file: OpenFile, flags: number): void {
    const at = this.open(low, upper, entryOutBytes + openOutBytes);
    encodeEntry(this.words, at, entry, this.#presented);
    this.#openOut(at + (entryOutBytes >>> 2), file, flags);
    this.#lookedUp[this.#count - 1] = entry.attributes.ino;
    this.#handedOut[this.#count - 1] = { kind: "file", handle: file.handle };
  }

  #openOut(at: number, file: OpenFile, flags: number): void {
    assert(Number.isSafeInteger(file.handle) && file.handle > 0, "a handle is 1 to 2^53-1");
    this.u64(at, file.handle);
    this.words[at + 2] = flags;
    this.words[at + 3] = 0;
  }

  /** Sends the parts of `result` and releases it after the flush. `lengthMax` is what the kernel asked for. */
  data(low: number, upper: number, result: ReadResult, lengthMax: number): void {
    const length = result.lengthBytes;
    this.open(low, upper, 0, length);
    this.#results.push(result);
    assert(length <= lengthMax, "a read gives no more than was asked for");
    if (length === 0) return;
    let parts = result.parts;
    if (parts.length > partsMax) parts = [Buffer.concat(parts)];
    let sum = 0;
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index] as Uint8Array;
      sum += part.length;
      this.#parts.push(part);
    }
    assert(sum === length, "the parts of a read have its length");
    this.#setParts(parts.length);
  }

  #setParts(count: number): void {
    this.words[this.#descriptors + (this.#count - 1) * descriptorWords + 2] = count;
  }

  /** Small bytes, copied; large ones are sent from where they are and must not change before the flush. */
  bytes(low: number, upper: number, bytes: Uint8Array): void {
    if (bytes.length > 4096) {
      this.open(low, upper, 0, bytes.length);
      this.#parts.push(bytes);
      this.#setParts(1);
      return;
    }
    const at = this.open(low, upper, bytes.length);
    this.#bytes.set(bytes, at * 4);
  }

  /** A page of a directory; `inodes` are forgotten if nobody takes it, `release` is called after the flush. */
  directory(low: number, upper: number, page: Uint8Array, inodes: readonly InodeNumber[], release: () => void): void {
    this.data(low, upper, { lengthBytes: page.length, parts: page.length === 0 ? [] : [page], release }, page.length);
    if (inodes.length > 0) this.#handedOut[this.#count - 1] = { kind: "entries", inodes };
  }

  /** fuse_write_out, fuse_getxattr_out: a u32 and padding. */
  count32(low: number, upper: number, count: number): void {
    const at = this.open(low, upper, 8);
    this.words[at] = count;
    this.words[at + 1] = 0;
  }

  /** fuse_lseek_out, fuse_copy_file_range_out: a u64. */
  count64(low: number, upper: number, count: number): void {
    this.u64(this.open(low, upper, 8), count);
  }

  u64(at: number, value: number): void {
    this.words[at] = value >>> 0;
    this.words[at + 1] = Math.floor(value / high) >>> 0;
  }

  zero(at: number, words: number): void {
    encodeZeroes(this.words, at, words);
  }

  /** Sends everything opened so far. */
  flush(): void {
    const count = this.#count;
    if (count === 0) return;
    const failures = this.#device.flush(count, this.#parts);
    const results = this.#results;
    if (results.length > 0) this.#results = [];
    if (this.#parts.length > 0) this.#parts = [];
    this.#count = 0;
    this.#cursor = this.#arenaBegin;
    if (failures > 0) this.#examine(count);
    for (let index = 0; index < results.length; index++) (results[index] as ReadResult).release();
  }

  /** Looks at what the kernel refused. Copies first: the answers given here use the same descriptors again. */
  #examine(count: number): void {
    const refused: { low: number; upper: number; result: number }[] = [];
    for (let index = 0; index < count; index++) {
      const descriptor = this.#descriptors + index * descriptorWords;
      const result = this.words[descriptor + 3] as number;
      if (result === 0) continue;
      const at = (this.words[descriptor] as number) >>> 2;
      this.#takeBack(index);
      const isError = (this.words[at + 1] as number) !== 0;
      if (!isError && !isExpected(result)) refused.push({ low: this.words[at + 2] as number, upper: this.words[at + 3] as number, result });
    }
    this.#refused += refused.length;
    for (const { low, upper, result } of refused) this.#onRefused(low, upper, result);
  }

  #takeBack(index: number): void {
    const ino = this.#lookedUp[index] as number;
    if (ino !== 0) this.#vfs.forget(ino as InodeNumber, 1);
    const handedOut = this.#handedOut[index];
    if (handedOut) giveBack(this.#vfs, handedOut);
  }
}

/** Nobody waits any more, or the mount is gone: no defect. */
function isExpected(result: number): boolean {
  return (
    result === errno.ENOENT ||
    result === errno.ENODEV ||
    result === errno.EBADF ||
    result === errno.ECONNABORTED ||
    result === errno.ENOTCONN
  );
}

/** Releases what no kernel will ever release. Failures change nothing: the caller of the request is gone. */
export function giveBack(vfs: RepliesParts["vfs"], handedOut: HandedOut): void {
  if (handedOut.kind === "entries") {
    for (const ino of handedOut.inodes) vfs.forget(ino, 1);
  } else if (handedOut.kind === "directory") {
    vfs.releaseDirectory(handedOut.handle);
  } else {
    ignoreFailure(() => vfs.release(handedOut.handle));
  }
}

/** For the release of what a vanished caller opened: there is nobody left to hear of a failure. */
function ignoreFailure(action: () => unknown): void {
  try {
    const result = action();
    if (result instanceof Promise) result.then(undefined, noticeNothing);
  } catch (reason) {
    noticeNothing(reason);
  }
}

function noticeNothing(_reason: unknown): void {}
