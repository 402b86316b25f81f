/**
 * Decoded records of one kind over the key-value store: a bounded cache of clean ones, and the dirty ones until they are written.
 *
 * Invariant: a dirty record is never evicted; a clean one equals what the store holds. `null` means known not to exist.
 * Eviction by two generations: what is used moves to the young one; when that is half of the capacity it becomes the old one, and
 * what is left in the old one goes. As good as LRU here, without a list to keep up on every read.
 */
import type { KvKey, KvWrite, OrderedKv } from "../kv/ordered-kv.ts";

export interface RecordKind<K, V> {
  readonly keyOf: (key: K) => KvKey;
  readonly encode: (value: V) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => V;
}

export class RecordCache<K, V> {
  readonly #kv: Pick<OrderedKv, "get">;
  readonly #kind: RecordKind<K, V>;
  readonly #generationMax: number;
  #dirty = new Map<K, V | null>();
  #young = new Map<K, V | null>();
  #old = new Map<K, V | null>();

  /** `capacity`: clean records kept at most, 2 or more. */
  constructor(kv: Pick<OrderedKv, "get">, kind: RecordKind<K, V>, capacity: number) {
    this.#kv = kv;
    this.#kind = kind;
    this.#generationMax = Math.max(1, Math.floor(capacity / 2));
  }

  get dirtyCount(): number {
    return this.#dirty.size;
  }

  get cleanCount(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: K): V | null {
    let value = this.#dirty.get(key);
    if (value !== undefined) return value;
    value = this.#young.get(key);
    if (value !== undefined) return value;
    value = this.#old.get(key);
    if (value === undefined) {
      const bytes = this.#kv.get(this.#kind.keyOf(key));
      value = bytes === null ? null : this.#kind.decode(bytes);
    }
    this.#keep(key, value);
    return value;
  }

  #keep(key: K, value: V | null): void {
    this.#young.set(key, value);
    if (this.#young.size < this.#generationMax) return;
    this.#old = this.#young;
    this.#young = new Map();
  }

  /** From now until the next drain the value is dirty; null deletes. */
  set(key: K, value: V | null): void {
    this.#dirty.set(key, value);
  }

  /** Appends all dirty records to `batch`; they are clean afterwards, so the batch must be written before the next read. */
  drain(batch: KvWrite[]): void {
    const { keyOf, encode } = this.#kind;
    for (const [key, value] of this.#dirty) batch.push({ key: keyOf(key), value: value === null ? null : encode(value) });
    const drained = this.#dirty;
    this.#dirty = new Map();
    for (const [key, value] of drained) this.#keep(key, value);
  }

  /** Dirty records whose keys lie in [begin, end), in no order. */
  dirtyBetween(begin: KvKey, end: KvKey): KvWrite[] {
    const found: KvWrite[] = [];
    for (const [id, value] of this.#dirty) {
      const key = this.#kind.keyOf(id);
      if (key >= begin && key < end) found.push({ key, value: value === null ? null : this.#kind.encode(value) });
    }
    return found;
  }
}
