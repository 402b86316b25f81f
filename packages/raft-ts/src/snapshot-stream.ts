/**
 * One snapshot on its way to one follower: a window of chunks, answered by "I want byte n next".
 *
 * The log moves on meanwhile; the stream's snapshot does not. A lost chunk is noticed by a repeated answer, or by silence (go back to what is wanted).
 * Source: thesis, section 5.1 (InstallSnapshot in chunks); the window is ours.
 */
import { assert } from "@cfs/core";
import type { SnapshotMeta } from "./message.ts";
import type { SnapshotPart, SnapshotSource } from "./storage.ts";

export class SnapshotStream {
  readonly id: number;
  readonly #source: SnapshotSource;
  readonly #chunkBytes: number;
  readonly #chunksMax: number;
  /** Ends of the chunks that are out, rising. */
  #ends: number[] = [];
  #sendOffset = 0;
  #furthestOffset = 0;
  #confirmedOffset = 0;
  #isEndSent = false;
  /** An answer asked twice for this offset: went back there once already. */
  #rewoundAt = -1;
  /** The last answer's wish; after silence the stream goes on from there. */
  #wantedOffset = 0;
  #silentTicks = 0;
  #isClosed = false;

  constructor(id: number, source: SnapshotSource, chunkBytes: number, chunksMax: number) {
    this.id = id;
    this.#source = source;
    this.#chunkBytes = chunkBytes;
    this.#chunksMax = chunksMax;
  }

  get meta(): SnapshotMeta {
    return this.#source.meta;
  }

  get confirmedOffset(): number {
    return this.#confirmedOffset;
  }

  /** The next chunk to send, or null: the window is full, everything is out, or the host has not read it yet. */
  next(): (SnapshotPart & { readonly offset: number }) | null {
    if (this.#isEndSent || this.#ends.length >= this.#chunksMax) return null;
    const part = this.#source.read(this.#sendOffset, this.#chunkBytes);
    if (part === null) return null;
    assert(part.bytes.length <= this.#chunkBytes, "the host gives no more than asked for");
    assert(part.bytes.length > 0 || part.isLast, "the host gives something, or the end");
    const offset = this.#sendOffset;
    this.#sendOffset += part.bytes.length;
    this.#furthestOffset = Math.max(this.#furthestOffset, this.#sendOffset);
    this.#isEndSent = part.isLast;
    this.#ends.push(this.#sendOffset);
    return { ...part, offset };
  }

  /** The follower wants `offset` next. */
  wants(offset: number): void {
    if (offset > this.#furthestOffset) return;
    this.#wantedOffset = offset;
    if (offset > this.#confirmedOffset) {
      if (offset > this.#sendOffset) this.#sendOffset = offset;
      this.#confirmedOffset = offset;
      this.#ends = this.#ends.filter((end) => end > offset);
      this.#silentTicks = 0;
    } else if (offset === this.#confirmedOffset && offset < this.#sendOffset && this.#rewoundAt !== offset) {
      this.#rewoundAt = offset;
      this.#rewind(offset);
    }
  }

  #rewind(offset: number): void {
    this.#sendOffset = offset;
    this.#confirmedOffset = offset;
    this.#ends = [];
    this.#isEndSent = false;
  }

  /** Counts silence; after `retryTicks` of it the stream goes back to what is wanted. Gives how long it has lasted. */
  tick(retryTicks: number): number {
    this.#silentTicks++;
    if (this.#silentTicks % retryTicks === 0) {
      this.#rewoundAt = -1;
      this.#rewind(this.#wantedOffset);
    }
    return this.#silentTicks;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#source.release();
  }
}
