/**
 * Buffers for the payloads of writes: copied into once, sent from, and used again.
 *
 * Why a pool: memory that was never touched costs 6 to 10 µs per page on first use, and a fresh large buffer per write
 * over 1 ms; a buffer that comes back is warm. Size classes are powers of two from 256 B to 1 MiB; a class takes its buffers
 * from slabs of at least 256 KiB. Freed buffers are used last in, first out.
 * Invariant: slabs never exceed `bytesMax` together; past it a write gets memory of its own that is not pooled.
 */
import { assert } from "@cfs/core";

const classBytesMin = 256;
export const pieceBytesMax: number = 1 << 20;
const slabBytesMin = 256 * 1024;

/** Bytes of one payload in pieces of at most 1 MiB. `release` gives the memory back, once. */
export interface PooledPayload {
  readonly parts: readonly Uint8Array[];
  /** What the payload occupies, at least its length. */
  readonly memoryBytes: number;
  readonly release: () => void;
}

export interface PayloadPoolOptions {
  /** Slabs together, bytes; 0 pools nothing. Default 96 MiB. */
  readonly bytesMax: number;
}

export class PayloadPool {
  readonly #bytesMax: number;
  readonly #free: Uint8Array[][] = [];
  #slabBytes = 0;
  #inUse = 0;

  constructor(options: PayloadPoolOptions) {
    this.#bytesMax = options.bytesMax;
    for (let bytes = classBytesMin; bytes <= pieceBytesMax; bytes *= 2) this.#free.push([]);
  }

  /** Buffers that were handed out and have not come back. */
  get buffersInUse(): number {
    return this.#inUse;
  }

  get slabBytes(): number {
    return this.#slabBytes;
  }

  /** Copies `data` (borrowed). */
  copy(data: Uint8Array): PooledPayload {
    if (data.length <= pieceBytesMax) return this.#copyOne(data);
    const pieces: PooledPayload[] = [];
    for (let at = 0; at < data.length; at += pieceBytesMax) {
      pieces.push(this.#copyOne(data.subarray(at, Math.min(at + pieceBytesMax, data.length))));
    }
    return {
      parts: pieces.map((piece) => piece.parts[0] as Uint8Array),
      memoryBytes: pieces.reduce((sum, piece) => sum + piece.memoryBytes, 0),
      release: () => {
        for (const piece of pieces) piece.release();
      },
    };
  }

  #copyOne(data: Uint8Array): PooledPayload {
    const index = classOf(data.length);
    const free = this.#free[index] as Uint8Array[];
    const buffer = free.pop() ?? this.#grow(index);
    if (buffer === null) {
      const own = Buffer.allocUnsafeSlow(data.length);
      own.set(data);
      return { parts: [own], memoryBytes: data.length, release: () => {} };
    }
    buffer.set(data);
    this.#inUse++;
    let isHeld = true;
    return {
      parts: [buffer.length === data.length ? buffer : buffer.subarray(0, data.length)],
      memoryBytes: buffer.length,
      release: () => {
        assert(isHeld, "a pooled payload is released once");
        isHeld = false;
        this.#inUse--;
        free.push(buffer);
      },
    };
  }

  /** Adds a slab to a class and returns one buffer of it; null when the pool is as large as it may be. */
  #grow(index: number): Uint8Array | null {
    const bytes = classBytesMin << index;
    const slabBytes = Math.max(bytes, slabBytesMin);
    if (this.#slabBytes + slabBytes > this.#bytesMax) return null;
    this.#slabBytes += slabBytes;
    const slab = Buffer.allocUnsafeSlow(slabBytes);
    const free = this.#free[index] as Uint8Array[];
    for (let at = slabBytes - bytes; at > 0; at -= bytes) free.push(slab.subarray(at, at + bytes));
    return slab.subarray(0, bytes);
  }
}

function classOf(lengthBytes: number): number {
  return lengthBytes <= classBytesMin ? 0 : 24 - Math.clz32(lengthBytes - 1);
}
