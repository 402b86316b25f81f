/**
 * A cursor over requests in the device's memory: moved from slot to slot, so that the hot path allocates nothing.
 *
 * fuse_in_header: | length 4 | opcode 4 | unique 8 | nodeid 8 | uid 4 | gid 4 | pid 4 | extension words 2 | padding 2 |
 * Invariant: nothing outside the request is ever read; what the kernel could not have sent is a CfsError, never a crash.
 * 64-bit fields are two u32 reads. `unique` stays two words: bit 63 marks a request that was sent again.
 */
import { CfsError, rootInode, type InodeNumber, type Name } from "@cfs/core";
import { inHeaderBytes, rootNodeId } from "./protocol.ts";

const high = 0x1_0000_0000;
const highSafeMax = 0x1f_ffff;
const nameBytesMax = 255;
const inodeMin = 65_536;

export class Request {
  readonly #words: Uint32Array;
  readonly #bytes: Buffer;
  /** Word index of the header, byte offsets of the body's begin and end. */
  #header = 0;
  #begin = 0;
  #end = 0;
  #textEnd = 0;

  constructor(memory: ArrayBuffer) {
    this.#words = new Uint32Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** Moves to the request of `lengthBytes` at `offsetBytes` (a multiple of 8). False when it is not a whole request. */
  moveTo(offsetBytes: number, lengthBytes: number): boolean {
    this.#header = offsetBytes >>> 2;
    this.#begin = offsetBytes + inHeaderBytes;
    this.#end = offsetBytes + lengthBytes;
    if (lengthBytes < inHeaderBytes || this.#word(0) !== lengthBytes) return false;
    const extensionBytes = (this.#word(9) & 0xffff) * 8;
    if (extensionBytes > lengthBytes - inHeaderBytes) return false;
    this.#end -= extensionBytes;
    return true;
  }

  #word(index: number): number {
    return this.#words[this.#header + index] as number;
  }

  get opcode(): number {
    return this.#word(1);
  }

  get uniqueLow(): number {
    return this.#word(2);
  }

  get uniqueHigh(): number {
    return this.#word(3);
  }

  get uid(): number {
    return this.#word(6);
  }

  get gid(): number {
    return this.#word(7);
  }

  get pid(): number {
    return this.#word(8);
  }

  /** Bytes after the header, extensions left out. */
  get bodyBytes(): number {
    return this.#end - this.#begin;
  }

  /** The inode of the header. STALE_HANDLE for a number that cfs never gave out. */
  get ino(): InodeNumber {
    return inodeOfNode(this.#word(4), this.#word(5));
  }

  /** Body fields, by byte offset. The dispatcher has checked that the fixed part is there. */
  u32(offset: number): number {
    return this.#words[(this.#begin + offset) >>> 2] as number;
  }

  /** A non-negative safe integer; anything larger is INVALID. */
  u64(offset: number): number {
    const at = (this.#begin + offset) >>> 2;
    const upper = this.#words[at + 1] as number;
    if (upper > highSafeMax) throw new CfsError("INVALID", `FUSE opcode ${this.opcode}: the field at ${offset} passes 2^53`);
    return upper * high + (this.#words[at] as number);
  }

  /** A file offset or size: FILE_TOO_LARGE past 2^53-1. */
  offset64(offset: number): number {
    const at = (this.#begin + offset) >>> 2;
    const upper = this.#words[at + 1] as number;
    if (upper > highSafeMax) throw new CfsError("FILE_TOO_LARGE", `FUSE opcode ${this.opcode}: the offset at ${offset} passes 2^53-1`);
    return upper * high + (this.#words[at] as number);
  }

  /** A signed 64-bit number; INVALID outside the safe integers. */
  i64(offset: number): number {
    const at = (this.#begin + offset) >>> 2;
    const value = ((this.#words[at + 1] as number) | 0) * high + (this.#words[at] as number);
    if (!Number.isSafeInteger(value)) throw new CfsError("INVALID", `FUSE opcode ${this.opcode}: the field at ${offset} passes 2^53`);
    return value;
  }

  /** An inode number in the body. */
  inode(offset: number): InodeNumber {
    return inodeOfNode(this.u32(offset), this.u32(offset + 4));
  }

  /** The NUL-ended byte string at `offset`; `next` is then the offset after it. */
  text(offset: number): string {
    const from = this.#begin + offset;
    if (from >= this.#end) throw new CfsError("CORRUPT", `FUSE opcode ${this.opcode}: no string at ${offset}`);
    // A NUL as the last byte bounds the search; otherwise (a value follows the name) a view of the rest does.
    const isBounded = this.#bytes[this.#end - 1] === 0;
    const end = isBounded ? this.#bytes.indexOf(0, from) : from + this.#bytes.subarray(from, this.#end).indexOf(0);
    if (end < from) throw new CfsError("CORRUPT", `FUSE opcode ${this.opcode}: no end of the string at ${offset}`);
    this.#textEnd = end;
    return this.#bytes.toString("latin1", from, end);
  }

  /** Body offset after the string that `text` or `name` read last. */
  get next(): number {
    return this.#textEnd + 1 - this.#begin;
  }

  name(offset: number): Name {
    const text = this.text(offset);
    if (text.length > nameBytesMax) throw new CfsError("NAME_TOO_LONG", `a name of ${text.length} bytes; ${nameBytesMax} are allowed`);
    if (text.length === 0 || text.includes("/")) throw new CfsError("INVALID", "an empty name, or one with a slash");
    return text as Name;
  }

  /** A view of `length` bytes at `offset`: borrowed until the batch ends. */
  view(offset: number, length: number): Uint8Array {
    const from = this.#begin + offset;
    if (length > this.#end - from) {
      throw new CfsError("CORRUPT", `FUSE opcode ${this.opcode}: ${length} bytes announced, ${this.#end - from} there`);
    }
    return this.#bytes.subarray(from, from + length);
  }

  /** A copy of `length` bytes at `offset`, for what outlives the batch. */
  copy(offset: number, length: number): Uint8Array {
    return Uint8Array.prototype.slice.call(this.view(offset, length)) as Uint8Array;
  }
}

function inodeOfNode(low: number, upper: number): InodeNumber {
  if (low === rootNodeId && upper === 0) return rootInode;
  const value = upper * high + low;
  if (upper > highSafeMax || value < inodeMin) throw new CfsError("STALE_HANDLE", `no inode has the node number ${value}`);
  return value as InodeNumber;
}
