/**
 * Little-endian readers and writers for the binary formats of cfs.
 *
 * Invariant: a reader never reads past its end; a short or malformed input is CORRUPT, never undefined behaviour.
 * Varints are LEB128 with at most 8 bytes, so that every value is a safe integer.
 */
import { assert } from "./assert.ts";
import { CfsError } from "./errors.ts";

const safeMax = Number.MAX_SAFE_INTEGER;

/** Grows as it is written; `take()` gives the bytes and starts anew. One writer may be reused for many records. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(initialBytes = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(initialBytes);
  }

  get length(): number {
    return this.#length;
  }

  #room(count: number): number {
    const at = this.#length;
    if (at + count > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, at + count));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    this.#length = at + count;
    return at;
  }

  /** Forgets what was written and not taken: a shared writer begins so, lest a failure leave something behind. */
  begin(): this {
    this.#length = 0;
    return this;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#bytes[at] = value;
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#bytes.writeUInt16LE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#bytes.writeUInt32LE(value, at);
    return this;
  }

  /** A safe integer in 8 bytes; negative values as two's complement. */
  i64(value: number): this {
    const at = this.#room(8);
    const high = Math.floor(value / 0x1_0000_0000);
    this.#bytes.writeUInt32LE(value - high * 0x1_0000_0000, at);
    this.#bytes.writeInt32LE(high, at + 4);
    return this;
  }

  /** A non-negative safe integer in 1 to 8 bytes. */
  varint(value: number): this {
    // Written as it is, it could never be read again.
    assert(value >= 0, "a varint is not negative");
    while (value >= 0x80) {
      this.u8((value % 0x80) | 0x80);
      value = Math.floor(value / 0x80);
    }
    return this.u8(value);
  }

  /** Raw bytes without a length. */
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** varint length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.varint(bytes.length).raw(bytes);
  }

  /** varint length, then one byte per char code (0 to 255): for names. */
  latin1(text: string): this {
    this.varint(text.length);
    const at = this.#room(text.length);
    this.#bytes.write(text, at, text.length, "latin1");
    return this;
  }

  utf8(text: string): this {
    return this.bytes(Buffer.from(text, "utf8"));
  }

  /**
   * A copy of what was written; the writer is empty afterwards. Small copies share slabs of 8 KiB, which spares the garbage collector an
   * ArrayBuffer each: whoever keeps one for long copies it out.
   */
  take(): Uint8Array {
    const copy = Buffer.allocUnsafe(this.#length);
    this.#bytes.copy(copy, 0, 0, this.#length);
    this.#length = 0;
    return copy;
  }
}

/** Reads what ByteWriter wrote. `what` names the structure in errors. The input is borrowed; `bytes()` returns views of it. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #what: string;
  #at = 0;

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) {
      throw new CfsError("CORRUPT", `${this.#what} ends early: ${count} bytes wanted at ${at} of ${this.#bytes.length}`);
    }
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  i64(): number {
    const at = this.#take(8);
    const value = this.#bytes.readInt32LE(at + 4) * 0x1_0000_0000 + this.#bytes.readUInt32LE(at);
    if (value > safeMax || value < -safeMax) throw new CfsError("CORRUPT", `${this.#what} holds a number past 2^53`);
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < 8; count++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > safeMax) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new CfsError("CORRUPT", `${this.#what} holds a varint past 2^53`);
  }

  /** A view of the next `count` bytes of the input. */
  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  bytes(): Uint8Array {
    return this.raw(this.varint());
  }

  latin1(): string {
    const count = this.varint();
    const at = this.#take(count);
    return this.#bytes.toString("latin1", at, at + count);
  }

  utf8(): string {
    const count = this.varint();
    const at = this.#take(count);
    return this.#bytes.toString("utf8", at, at + count);
  }

  /** Everything must have been read: trailing bytes are CORRUPT. */
  end(): void {
    if (this.remaining !== 0) throw new CfsError("CORRUPT", `${this.#what} has ${this.remaining} bytes too many`);
  }
}
