/**
 * Directory entries over the key-value store: like RecordCache, but in one Map per directory.
 *
 * Why nested: looking up (parent number, name) builds no key string, and a listing needs the dirty entries of one directory in order.
 * Invariant: as in RecordCache. The hash of a name is taken only when the store is asked or written.
 * Of a directory that was made since this cache began, and of which nothing was forgotten yet, every name is known: the store is not asked for others.
 */
import type { InodeNumber, Name } from "@cfs/core";
import type { KvKey, KvWrite, OrderedKv } from "../kv/ordered-kv.ts";
import { nameHash } from "./cookie.ts";
import { direntKey } from "./keys.ts";
import { decodeDirent, encodeDirent } from "./record-format.ts";
import type { Dirent } from "./records.ts";

/** Directories made are counted in thousands; past this all of them are looked up again. */
const wholeMax = 16_384;

type Entries = Map<Name, Dirent | null>;
type Directories = Map<InodeNumber, Entries>;

function entriesOf(directories: Directories, parent: InodeNumber): Entries {
  let entries = directories.get(parent);
  if (entries === undefined) {
    entries = new Map();
    directories.set(parent, entries);
  }
  return entries;
}

export class DirentCache {
  readonly #kv: Pick<OrderedKv, "get">;
  readonly #generationMax: number;
  /** Directories of which every name that there is lies here. */
  readonly #whole: Set<InodeNumber> = new Set();
  #dirty: Directories = new Map();
  #dirtyCount = 0;
  #young: Directories = new Map();
  #youngCount = 0;
  #old: Directories = new Map();
  #oldCount = 0;
  /** The dirty entries of the directory that was last listed, in key order, until one changes. */
  #sorted: { readonly parent: InodeNumber; readonly writes: readonly KvWrite[] } | null = null;

  /** `capacity`: clean entries kept at most, 2 or more. */
  constructor(kv: Pick<OrderedKv, "get">, capacity: number) {
    this.#kv = kv;
    this.#generationMax = Math.max(1, Math.floor(capacity / 2));
  }

  get dirtyCount(): number {
    return this.#dirtyCount;
  }

  get cleanCount(): number {
    return this.#youngCount + this.#oldCount;
  }

  get(parent: InodeNumber, name: Name): Dirent | null {
    let dirent = this.#dirty.get(parent)?.get(name);
    if (dirent !== undefined) return dirent;
    dirent = this.#young.get(parent)?.get(name);
    if (dirent !== undefined) return dirent;
    dirent = this.#old.get(parent)?.get(name);
    if (dirent === undefined) {
      if (this.#whole.has(parent)) return null;
      const bytes = this.#kv.get(direntKey(parent, nameHash(name), name));
      dirent = bytes === null ? null : decodeDirent(bytes);
    }
    this.#keep(parent, name, dirent);
    return dirent;
  }

  /** A directory that is new, and so empty. */
  made(directory: InodeNumber): void {
    if (this.#whole.size === wholeMax) this.#whole.clear();
    this.#whole.add(directory);
  }

  #keep(parent: InodeNumber, name: Name, dirent: Dirent | null): void {
    const entries = entriesOf(this.#young, parent);
    const before = entries.size;
    entries.set(name, dirent);
    this.#youngCount += entries.size - before;
    if (this.#youngCount < this.#generationMax) return;
    for (const forgotten of this.#old.keys()) this.#whole.delete(forgotten);
    this.#old = this.#young;
    this.#oldCount = this.#youngCount;
    this.#young = new Map();
    this.#youngCount = 0;
  }

  set(parent: InodeNumber, name: Name, dirent: Dirent | null): void {
    const entries = entriesOf(this.#dirty, parent);
    const before = entries.size;
    entries.set(name, dirent);
    this.#dirtyCount += entries.size - before;
    if (this.#sorted?.parent === parent) this.#sorted = null;
  }

  drain(batch: KvWrite[]): void {
    const drained = this.#dirty;
    this.#dirty = new Map();
    this.#dirtyCount = 0;
    this.#sorted = null;
    for (const [parent, entries] of drained) {
      for (const [name, dirent] of entries) {
        batch.push(writeOf(parent, name, dirent));
        this.#keep(parent, name, dirent);
      }
    }
  }

  /** Dirty entries of one directory whose keys lie in [begin, end), in key order. */
  dirtyBetween(parent: InodeNumber, begin: KvKey, end: KvKey): readonly KvWrite[] {
    const entries = this.#dirty.get(parent);
    if (entries === undefined) return [];
    if (this.#sorted?.parent !== parent) {
      const writes = [...entries].map(([name, dirent]) => writeOf(parent, name, dirent)).toSorted((a, b) => (a.key < b.key ? -1 : 1));
      this.#sorted = { parent, writes };
    }
    const { writes } = this.#sorted;
    return writes.slice(firstAtLeast(writes, begin), firstAtLeast(writes, end));
  }
}

function writeOf(parent: InodeNumber, name: Name, dirent: Dirent | null): KvWrite {
  return { key: direntKey(parent, nameHash(name), name), value: dirent === null ? null : encodeDirent(dirent) };
}

function firstAtLeast(writes: readonly KvWrite[], key: KvKey): number {
  let low = 0;
  let high = writes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((writes[middle] as KvWrite).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
