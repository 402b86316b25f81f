/**
 * An ordered key-value store in memory: for tests, simulation, and volumes that need not outlive their process.
 *
 * Keys are kept in a Map; a sorted list of them is brought up to date when somebody scans. Deleted keys stay in the list until it
 * is next merged with new ones, and scans pass over them. Values are copied on the way in, so that no large buffer stays alive.
 */
import { assert, CfsError } from "@cfs/core";
import type { KvEntry, KvKey, KvRange, KvWrite, OrderedKv } from "./ordered-kv.ts";

export const scanLimitMax = 10_000;

export class MemoryKv implements OrderedKv {
  readonly #values = new Map<KvKey, Uint8Array>();
  #sorted: KvKey[] = [];
  /** Keys of #values that are not in #sorted. */
  #added = new Set<KvKey>();
  /** Keys of #sorted that are not in #values. */
  #gone = new Set<KvKey>();
  #isClosed = false;

  get size(): number {
    return this.#values.size;
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new CfsError("BAD_HANDLE", "the key-value store is closed");
  }

  get(key: KvKey): Uint8Array | null {
    this.#mustBeOpen();
    return this.#values.get(key) ?? null;
  }

  write(batch: readonly KvWrite[]): void {
    this.#mustBeOpen();
    for (const { key, value } of batch) {
      if (value === null) this.#delete(key);
      else this.#set(key, value);
    }
  }

  #set(key: KvKey, value: Uint8Array): void {
    if (!this.#values.has(key) && !this.#gone.delete(key)) this.#added.add(key);
    this.#values.set(key, Uint8Array.from(value));
  }

  #delete(key: KvKey): void {
    if (!this.#values.delete(key)) return;
    if (!this.#added.delete(key)) this.#gone.add(key);
  }

  #sort(): void {
    if (this.#added.size === 0 && this.#gone.size * 2 <= this.#sorted.length) return;
    const kept = this.#sorted.filter((key) => !this.#gone.has(key));
    const added = [...this.#added].toSorted(compareKeys);
    this.#sorted = mergeKeys(kept, added);
    this.#added = new Set();
    this.#gone = new Set();
  }

  async scan({ begin, end, limit }: KvRange): Promise<readonly KvEntry[]> {
    this.#mustBeOpen();
    assert(limit >= 1 && limit <= scanLimitMax, "a scan asks for 1 to 10,000 entries");
    this.#sort();
    const entries: KvEntry[] = [];
    for (let at = firstAtLeast(this.#sorted, begin); at < this.#sorted.length && entries.length < limit; at++) {
      const key = this.#sorted[at] as KvKey;
      if (key >= end) break;
      const value = this.#values.get(key);
      if (value !== undefined) entries.push({ key, value });
    }
    return entries;
  }

  async flush(_options: { sync: boolean }): Promise<void> {
    this.#mustBeOpen();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function compareKeys(a: KvKey, b: KvKey): number {
  return a < b ? -1 : 1;
}

function firstAtLeast(keys: readonly KvKey[], key: KvKey): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as KvKey) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function mergeKeys(a: readonly KvKey[], b: readonly KvKey[]): KvKey[] {
  if (a.length === 0 || b.length === 0) return [...a, ...b];
  const merged: KvKey[] = [];
  let next = 0;
  for (const key of b) {
    while (next < a.length && (a[next] as KvKey) < key) merged.push(a[next++] as KvKey);
    merged.push(key);
  }
  while (next < a.length) merged.push(a[next++] as KvKey);
  return merged;
}
