/**
 * The newest part of the log in memory: what is being written, and after that the cache of recent payloads.
 *
 * A record is copied once, by `append`, into a page-aligned chunk; the very same bytes go to every drive and stay for reads afterwards. So the
 * caller's memory is free when `append` returns, a write is one view, and the cache costs no copy of its own (64 KiB are copied in
 * about 6 µs; a second copy into memory that was never touched would cost ten times that).
 *
 * Invariant: a chunk is never reused while a frame in it is not durable or the kernel still writes from it; the oldest free one goes first.
 * One chunk is held in reserve, so that an append that was told there is room cannot fail for want of memory.
 */
import { assert } from "@cfs/core";

import type { BufferPool } from "../device/buffer-pool.ts";

export interface TailChunk {
  /** What the pool gave, and the same as a Buffer. */
  readonly taken: Uint8Array;
  readonly bytes: Buffer;
  fileId: number;
  /** Place in the file of the chunk's first byte. */
  beginBytes: number;
  usedBytes: number;
  /** Frames that are not durable yet. */
  pinCount: number;
  /** Writes that the kernel works on; those to a drive that hangs may never end. */
  writeCount: number;
}

export interface TailOptions {
  /** A power of two from 4096 to 4 MiB; also bounds a record. */
  readonly chunkBytes: number;
  /** Kept for reads when nothing is in flight. */
  readonly cacheBytes: number;
}

export class JournalTail {
  readonly #pool: BufferPool;
  readonly #options: TailOptions;
  /** In order of the log, oldest first. */
  readonly #chunks: TailChunk[] = [];
  #reserve: Uint8Array | null;

  /** NO_MEMORY when the pool has not even one chunk left. */
  constructor(pool: BufferPool, options: TailOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#reserve = pool.take(options.chunkBytes);
  }

  get heldBytes(): number {
    return this.#chunks.length * this.#options.chunkBytes;
  }

  /** The chunk that holds the file's bytes from `offsetBytes` on, with `roomBytes` left in it. */
  room(fileId: number, offsetBytes: number, roomBytes: number): TailChunk {
    const last = this.#chunks.at(-1);
    if (
      last !== undefined &&
      last.fileId === fileId &&
      last.beginBytes + last.usedBytes === offsetBytes &&
      last.usedBytes + roomBytes <= last.bytes.length
    ) {
      return last;
    }
    assert(roomBytes <= this.#options.chunkBytes, "a record fits a chunk");
    const chunk = this.#fresh();
    chunk.fileId = fileId;
    chunk.beginBytes = offsetBytes;
    this.#chunks.push(chunk);
    return chunk;
  }

  #fresh(): TailChunk {
    const isFull = this.heldBytes + this.#options.chunkBytes > this.#options.cacheBytes;
    const oldest = isFull ? this.#chunks.findIndex(isFree) : -1;
    if (oldest !== -1) {
      const chunk = this.#chunks.splice(oldest, 1)[0] as TailChunk;
      chunk.usedBytes = 0;
      return chunk;
    }
    const taken = this.#reserve ?? this.#pool.take(this.#options.chunkBytes);
    this.#reserve = this.#pool.tryTake(this.#options.chunkBytes);
    const bytes = Buffer.from(taken.buffer, taken.byteOffset, taken.byteLength);
    return { taken, bytes, fileId: 0, beginBytes: 0, usedBytes: 0, pinCount: 0, writeCount: 0 };
  }

  /** False when the next chunk could not be had. */
  hasRoom(): boolean {
    this.#reserve ??= this.#pool.tryTake(this.#options.chunkBytes);
    return this.#reserve !== null || this.#chunks.some(isFree);
  }

  /** Gives back what was needed beyond the cache's bound while much was in flight. */
  trim(): void {
    for (let at = 0; at < this.#chunks.length - 1 && this.heldBytes > this.#options.cacheBytes;) {
      const chunk = this.#chunks[at] as TailChunk;
      if (!isFree(chunk)) {
        at++;
        continue;
      }
      this.#chunks.splice(at, 1);
      this.#pool.give(chunk.taken);
    }
  }

  /** The file's bytes from `offsetBytes` to the end of what is at hand, or null. Borrowed until the next append. */
  find(fileId: number, offsetBytes: number): Buffer | null {
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      const chunk = this.#chunks[at] as TailChunk;
      if (chunk.fileId !== fileId || offsetBytes < chunk.beginBytes) continue;
      const from = offsetBytes - chunk.beginBytes;
      return from < chunk.usedBytes ? chunk.bytes.subarray(from, chunk.usedBytes) : null;
    }
    return null;
  }

  /** Gives everything back but what the kernel still writes from, to a drive that hangs: that stays out of the pool for good. */
  close(): void {
    for (const chunk of this.#chunks) if (chunk.writeCount === 0) this.#pool.give(chunk.taken);
    this.#chunks.length = 0;
    if (this.#reserve !== null) this.#pool.give(this.#reserve);
    this.#reserve = null;
  }
}

function isFree(chunk: TailChunk): boolean {
  return chunk.pinCount === 0 && chunk.writeCount === 0;
}
