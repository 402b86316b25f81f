/**
 * The log of one replica: what is stable in storage, and behind it what is not yet.
 *
 *      firstIndex          commit      offset         lastIndex
 *   …  |------- storage ------|-----------|-- unstable --|
 *
 * Invariant: applied ≤ applying ≤ commit ≤ lastIndex; offset - 1 is durable here. Where storage and unstable overlap, unstable is right: what the host
 * has stored from `offset` on was cut off and is about to be replaced. Source: thesis, section 3.5; the split follows the Ready protocol.
 */
import { assert } from "@cfs/core";
import { type Entry, entryBytes } from "./entry.ts";
import type { SnapshotMeta } from "./message.ts";
import type { LogStorage } from "./storage.ts";

export class Log {
  readonly #storage: LogStorage;
  #unstable: Entry[] = [];
  /** Index of the first unstable entry. */
  #offset: number;
  #lastTerm: number;
  /** Received whole, not installed by the host yet. */
  #snapshot: SnapshotMeta | null = null;
  #commit: number;
  /** Handed out for applying. */
  #applying: number;
  #applied: number;

  constructor(storage: LogStorage, commit: number, applied: number) {
    this.#storage = storage;
    this.#offset = storage.lastIndex + 1;
    const lastTerm = storage.term(storage.lastIndex);
    assert(lastTerm !== null, "storage knows the term of its last entry");
    this.#lastTerm = lastTerm;
    // A host may store the commit index lazily; what it has applied and compacted is committed all the same.
    this.#commit = Math.max(commit, applied, storage.firstIndex - 1);
    assert(this.#commit <= storage.lastIndex, "what is committed is in the log");
    assert(applied >= storage.firstIndex - 1, "what is compacted was applied");
    this.#applying = applied;
    this.#applied = applied;
  }

  get firstIndex(): number {
    return this.#snapshot === null ? this.#storage.firstIndex : this.#snapshot.index + 1;
  }

  get lastIndex(): number {
    return this.#offset - 1 + this.#unstable.length;
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  /** The last index that is durable here (or, with a snapshot pending, that will be when it is installed). */
  get stableIndex(): number {
    return this.#offset - 1;
  }

  get commit(): number {
    return this.#commit;
  }

  get applying(): number {
    return this.#applying;
  }

  get applied(): number {
    return this.#applied;
  }

  get pendingSnapshot(): SnapshotMeta | null {
    return this.#snapshot;
  }

  /** All entries that are not known to be stable; a copy. */
  unstableEntries(): readonly Entry[] {
    return this.#unstable.length === 0 ? none : this.#unstable.slice();
  }

  get hasUnstable(): boolean {
    return this.#unstable.length > 0;
  }

  /** Null: compacted away, or beyond the end. */
  term(index: number): number | null {
    if (index >= this.#offset) return this.#unstable[index - this.#offset]?.term ?? null;
    if (this.#snapshot !== null) return index === this.#snapshot.index ? this.#snapshot.term : null;
    return this.#storage.term(index);
  }

  /** From `begin` to before `end`, as many as fit in `bytesMax`, at least one. All must be there. */
  entries(begin: number, end: number, bytesMax: number): readonly Entry[] {
    if (begin >= end) return none;
    assert(begin >= this.firstIndex && end <= this.lastIndex + 1, "entries are in the log");
    if (begin >= this.#offset) return this.#unstableFrom(begin, end, bytesMax);
    const stableEnd = Math.min(end, this.#offset);
    const stable = this.#storage.entries(begin, stableEnd, bytesMax);
    assert(stable.length > 0 && stable[0]?.index === begin, "storage gives what it has");
    if (end <= this.#offset || stable.length < stableEnd - begin) return stable;
    let bytesLeft = bytesMax;
    for (const entry of stable) bytesLeft -= entryBytes(entry);
    const first = this.#unstable[0] as Entry;
    return bytesLeft < entryBytes(first) ? stable : [...stable, ...this.#unstableFrom(this.#offset, end, bytesLeft)];
  }

  #unstableFrom(begin: number, end: number, bytesMax: number): readonly Entry[] {
    const from = begin - this.#offset;
    let to = from + 1;
    let bytes = entryBytes(this.#unstable[from] as Entry);
    for (; to < end - this.#offset; to++) {
      bytes += entryBytes(this.#unstable[to] as Entry);
      if (bytes > bytesMax) break;
    }
    return this.#unstable.slice(from, to);
  }

  /** Appends behind entries[0].index - 1; whatever stood from there on is cut off. */
  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index > this.#commit, "what is committed is never cut off");
    assert(first.index <= this.lastIndex + 1, "the log has no holes");
    if (first.index <= this.lastIndex) this.#cutFrom(first.index);
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, "entries are consecutive");
      assert(entry.term >= this.#lastTerm, "terms never fall along the log");
      this.#unstable.push(entry);
      this.#lastTerm = entry.term;
    }
  }

  #cutFrom(index: number): void {
    if (index <= this.#offset) {
      this.#offset = index;
      this.#unstable = [];
    } else {
      // Not in place: the host may still hold what was handed out.
      this.#unstable = this.#unstable.slice(0, index - this.#offset);
    }
    this.#lastTerm = this.term(index - 1) ?? 0;
  }

  /** Where a log whose last entry is (index, term) may match this one at best: the last index up to `index` with a term up to `term` (section 3.5). */
  lastIndexUpTo(index: number, term: number): number {
    for (let at = Math.min(index, this.lastIndex); at > 0; at--) {
      const own = this.term(at);
      if (own === null || own <= term) return at;
    }
    return 0;
  }

  commitTo(index: number): void {
    assert(index <= this.lastIndex, "nothing beyond the log is committed");
    if (index > this.#commit) this.#commit = index;
  }

  /** Entries to apply next, now counted as handed out. They are durable once the Ready that holds them is. */
  takeCommitted(bytesMax: number): readonly Entry[] {
    const taken = this.entries(this.#applying + 1, this.#commit + 1, bytesMax);
    this.#applying += taken.length;
    return taken;
  }

  appliedTo(index: number): void {
    assert(index <= this.#applying, "only what was handed out is applied");
    if (index > this.#applied) this.#applied = index;
  }

  /** The host has stored `entries`. What was cut off meanwhile does not count: it is stale in storage, and will be replaced. */
  stored(entries: readonly Entry[]): void {
    const last = entries[entries.length - 1];
    const first = entries[0];
    if (last === undefined || first === undefined || first.index > this.#offset) return;
    assert(this.#storage.lastIndex >= last.index, "the host has stored what it says");
    assert(this.#storage.term(last.index) === last.term, "the host has stored what it was given");
    const skipped = this.#offset - first.index;
    let count = entries.length - skipped;
    // From the end: most often nothing was cut off.
    while (count > 0 && this.#unstable[count - 1] !== entries[skipped + count - 1]) count--;
    if (count <= 0) return;
    this.#unstable = count === this.#unstable.length ? [] : this.#unstable.slice(count);
    this.#offset += count;
  }

  /** The whole log gives way to a snapshot (thesis, section 5.1). */
  restore(meta: SnapshotMeta): void {
    assert(meta.index > this.#commit, "a snapshot never takes back what is committed");
    this.#snapshot = meta;
    this.#unstable = [];
    this.#offset = meta.index + 1;
    this.#lastTerm = meta.term;
    this.#commit = meta.index;
    this.#applying = meta.index;
  }

  /** The host has installed it, and its log begins behind it. */
  snapshotInstalled(meta: SnapshotMeta): void {
    if (this.#snapshot?.index === meta.index && this.#snapshot.term === meta.term) {
      assert(this.#storage.firstIndex === meta.index + 1, "the host's log begins behind the installed snapshot");
      this.#snapshot = null;
    }
    if (meta.index > this.#applied) this.#applied = meta.index;
  }
}

const none: readonly Entry[] = Object.freeze([]);
