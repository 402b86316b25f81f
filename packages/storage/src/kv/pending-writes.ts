/**
 * Writes that are made but not in the engine yet: visible to every read at once, handed to the engine in whole batches, in order.
 *
 * Invariants: a batch is taken together with every batch before it, never in part, so the engine always holds the state of one exact moment;
 * with a gate, only batches whose log index is durable are taken. A key leaves when the engine has its newest value.
 */
import type { KvEntry, KvKey, KvRange, KvWrite } from "@cfs/metadata";
import { assert } from "@cfs/core";

interface Batch {
  readonly sequence: number;
  readonly index: number;
  readonly writes: readonly KvWrite[];
}

/** What goes into the engine as one atomic write. */
export interface TakenWrites {
  /** Newest value per key; null deletes. */
  readonly values: ReadonlyMap<KvKey, Uint8Array | null>;
  /** The last batch that is in it, and the log index it stands for. */
  readonly sequence: number;
  readonly index: number;
}

interface Newest {
  value: Uint8Array | null;
  sequence: number;
}

/** The engine's copies each hold a write in memory until it is on stable storage, as it was taken and encoded. */
const takenBytesMax: number = 2 * 1024 * 1024;

/** Counted per entry besides key and value. */
const entryBytes = 64;

export class PendingWrites {
  readonly #newest: Map<KvKey, Newest> = new Map();
  #batches: Batch[] = [];
  /** Taken so far from the front of #batches. */
  #head = 0;
  #sequence = 0;
  #index: number;
  #gateIndex: number;
  #sizeBytes = 0;

  constructor(appliedIndex: number, isGated: boolean) {
    this.#index = appliedIndex;
    this.#gateIndex = isGated ? appliedIndex : Number.MAX_SAFE_INTEGER;
  }

  /** The last batch that was written. */
  get sequence(): number {
    return this.#sequence;
  }

  get index(): number {
    return this.#index;
  }

  /** Of batches not yet taken. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get entryCount(): number {
    return this.#newest.size;
  }

  openGate(index: number): void {
    if (index > this.#gateIndex) this.#gateIndex = index;
  }

  write(writes: readonly KvWrite[], index: number): void {
    assert(index >= this.#index, "log indexes rise");
    this.#index = index;
    const sequence = ++this.#sequence;
    for (const { key, value } of writes) {
      const newest = this.#newest.get(key);
      if (newest === undefined) {
        this.#newest.set(key, { value, sequence });
      } else {
        newest.value = value;
        newest.sequence = sequence;
      }
      this.#sizeBytes += entryBytes + key.length + (value?.length ?? 0);
    }
    this.#batches.push({ sequence, index, writes });
  }

  /** Undefined when nothing is pending for the key; null when it is deleted. */
  get(key: KvKey): Uint8Array | null | undefined {
    return this.#newest.get(key)?.value;
  }

  /** Pending entries of the range in order, with the deleted ones as null. */
  range(range: KvRange): { key: KvKey; value: Uint8Array | null }[] {
    const found: { key: KvKey; value: Uint8Array | null }[] = [];
    for (const [key, { value }] of this.#newest) if (key >= range.begin && key < range.end) found.push({ key, value });
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  hasTakeable(): boolean {
    const next = this.#batches[this.#head];
    return next !== undefined && next.index <= this.#gateIndex;
  }

  /** What may go, as one write: whole batches until they have `takenBytesMax`; null when that is nothing. */
  take(): TakenWrites | null {
    if (!this.hasTakeable()) return null;
    const values = new Map<KvKey, Uint8Array | null>();
    const leastBytes = this.#sizeBytes - takenBytesMax;
    let last: Batch | null = null;
    for (let batch = this.#batches[this.#head]; batch !== undefined && batch.index <= this.#gateIndex; batch = this.#batches[this.#head]) {
      if (last !== null && this.#sizeBytes <= leastBytes) break;
      for (const { key, value } of batch.writes) {
        values.set(key, value);
        this.#sizeBytes -= entryBytes + key.length + (value?.length ?? 0);
      }
      last = batch;
      this.#head++;
    }
    if (this.#head === this.#batches.length || this.#head > 4096) {
      this.#batches = this.#batches.slice(this.#head);
      this.#head = 0;
    }
    assert(last !== null, "something was taken");
    return { values, sequence: last.sequence, index: last.index };
  }

  /** The engine holds it: keys that nothing newer was written to go. */
  done(taken: TakenWrites): void {
    for (const key of taken.values.keys()) {
      const newest = this.#newest.get(key);
      if (newest !== undefined && newest.sequence <= taken.sequence) this.#newest.delete(key);
    }
  }
}

/** Entries of the engine in order, overlaid with pending ones; at most `limit`. */
export function overlay(
  stored: readonly KvEntry[],
  pending: readonly { key: KvKey; value: Uint8Array | null }[],
  limit: number,
): KvEntry[] {
  const merged: KvEntry[] = [];
  let at = 0;
  const takePendingBefore = (key: KvKey | null): void => {
    for (let next = pending[at]; next !== undefined && (key === null || next.key < key) && merged.length < limit; next = pending[++at]) {
      if (next.value !== null) merged.push({ key: next.key, value: next.value });
    }
  };
  for (const entry of stored) {
    takePendingBefore(entry.key);
    if (merged.length >= limit) return merged;
    if (pending[at]?.key === entry.key) takePendingBefore(`${entry.key}\0`);
    else merged.push(entry);
    if (merged.length >= limit) return merged;
  }
  takePendingBefore(null);
  return merged;
}
