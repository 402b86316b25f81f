/** Values of extended attributes that a client knows, bounded by bytes; evicted by inode, like the other caches (clock-hand.ts). */
import type { InodeNumber } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import { ClockHand } from "./clock-hand.ts";
import { ownedBytes } from "./owned-bytes.ts";

interface CachedValues {
  readonly ino: InodeNumber;
  /** Null: known not to exist. */
  readonly values: Map<string, Uint8Array | null>;
  bytes: number;
  seq: number;
  isUsed: boolean;
}

/** What a value costs beside its bytes. */
const valueOverheadBytes = 128;

export class XattrCache {
  readonly #bytesMax: number;
  readonly #entries: Map<InodeNumber, CachedValues> = new Map();
  readonly #hand: ClockHand<CachedValues>;
  #bytes = 0;
  #sweepAt = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#hand = new ClockHand(this.#entries);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(ino: InodeNumber, name: string): Uint8Array | null {
    const entry = this.#entries.get(ino);
    const value = entry?.values.get(name);
    if (entry === undefined || value === undefined) throw new NotCached({ kind: "xattr", ino, name });
    entry.isUsed = true;
    return value;
  }

  set(ino: InodeNumber, name: string, value: Uint8Array | null, seq: number): void {
    const entry = this.#put(ino, name, value);
    entry.seq = seq;
  }

  learn(ino: InodeNumber, name: string, value: Uint8Array | null): void {
    if (this.#entries.get(ino)?.values.has(name) !== true) this.#put(ino, name, value === null ? null : ownedBytes(value));
  }

  drop(ino: InodeNumber): void {
    const entry = this.#entries.get(ino);
    if (entry === undefined) return;
    this.#bytes -= entry.bytes;
    this.#entries.delete(ino);
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
    this.#sweepAt = 0;
  }

  /** Evicts what is over the budget. Returns the newest command among what was evicted. */
  settle(durableSeq: number): number {
    if (this.#bytes <= this.#bytesMax || this.#bytes < this.#sweepAt) return 0;
    let newestSeq = 0;
    const isEnough = this.#hand.sweep(
      () => this.#bytes <= this.#bytesMax * 0.9,
      (entry) => {
        if (entry.seq > durableSeq) return;
        if (entry.isUsed) {
          entry.isUsed = false;
          return;
        }
        newestSeq = Math.max(newestSeq, entry.seq);
        this.drop(entry.ino);
      },
    );
    this.#sweepAt = isEnough ? 0 : Math.ceil(this.#bytes * 1.05);
    return newestSeq;
  }

  #put(ino: InodeNumber, name: string, value: Uint8Array | null): CachedValues {
    let entry = this.#entries.get(ino);
    if (entry === undefined) {
      entry = { ino, values: new Map(), bytes: 0, seq: 0, isUsed: true };
      this.#entries.set(ino, entry);
    }
    const old = entry.values.get(name);
    const delta = (value?.length ?? 0) - (old?.length ?? 0) + (old === undefined ? valueOverheadBytes : 0);
    entry.values.set(name, value);
    entry.bytes += delta;
    this.#bytes += delta;
    return entry;
  }
}
