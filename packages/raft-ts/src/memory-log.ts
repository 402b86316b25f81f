/**
 * A LogStorage in memory: for tests, simulations and examples, and for hosts that persist elsewhere and keep what they read here.
 *
 *      index:   firstIndex-1   firstIndex …              lastIndex
 *               #base          #entries[0] …
 *
 * Invariant: entries are consecutive behind #base, the last entry that was compacted away (or a snapshot's last).
 */
import { assert } from "@cfs/core";
import { type Configuration, emptyConfiguration } from "./configuration.ts";
import { type Entry, entryBytes, type HardState, nobody } from "./entry.ts";
import type { SnapshotMeta } from "./message.ts";
import type { Ready } from "./ready.ts";
import type { InitialState, LogStorage, SnapshotSource } from "./storage.ts";

export class MemoryLog implements LogStorage {
  #hardState: HardState = { term: 0, vote: nobody, commit: 0 };
  #base: SnapshotMeta;
  #entries: Entry[] = [];
  #snapshot: { readonly meta: SnapshotMeta; readonly bytes: Uint8Array } | null = null;

  /** `configuration`: who begins the group, the same at each of them; empty for a replica that will be added. */
  constructor(configuration: Configuration = emptyConfiguration) {
    this.#base = { index: 0, term: 0, configuration };
  }

  /** Goes its own way from here. */
  copy(): MemoryLog {
    const copy = new MemoryLog();
    copy.#hardState = this.#hardState;
    copy.#base = this.#base;
    copy.#entries = this.#entries.slice();
    copy.#snapshot = this.#snapshot;
    return copy;
  }

  initial(): InitialState {
    return { hardState: this.#hardState, configuration: this.#base.configuration };
  }

  get firstIndex(): number {
    return this.#base.index + 1;
  }

  get lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  term(index: number): number | null {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.firstIndex]?.term ?? null;
  }

  entries(begin: number, end: number, bytesMax: number): readonly Entry[] {
    assert(begin >= this.firstIndex && end <= this.lastIndex + 1 && begin < end, "the entries are there");
    const from = begin - this.firstIndex;
    let to = from;
    for (let bytes = 0; to < end - this.firstIndex; to++) {
      bytes += entryBytes(this.#entries[to] as Entry);
      if (bytes > bytesMax && to > from) break;
    }
    return this.#entries.slice(from, to);
  }

  /** What setSnapshot gave last. */
  snapshot(): SnapshotSource | null {
    if (this.#snapshot === null || this.#snapshot.meta.index < this.#base.index) return null;
    const { meta, bytes } = this.#snapshot;
    return {
      meta,
      read: (offset, lengthMax) => ({ bytes: bytes.subarray(offset, offset + lengthMax), isLast: offset + lengthMax >= bytes.length }),
      release: () => undefined,
    };
  }

  /** Stores what a Ready wants stored, but for chunks of snapshots: those are the state machine's. */
  store({ hardState, entries, snapshot }: Ready): void {
    if (snapshot !== null) {
      this.#base = snapshot;
      this.#entries = [];
    }
    const first = entries[0];
    if (first !== undefined) {
      assert(first.index >= this.firstIndex && first.index <= this.lastIndex + 1, "entries continue the log");
      this.#entries.length = first.index - this.firstIndex;
      for (const entry of entries) this.#entries.push(entry);
    }
    if (hardState !== null) this.#hardState = hardState;
  }

  setSnapshot(meta: SnapshotMeta, bytes: Uint8Array): void {
    this.#snapshot = { meta, bytes };
  }

  /** Drops the entries up to `index`; `configuration` is the one in force there (Raft.configurationAt). */
  compact(index: number, configuration: Configuration): void {
    if (index <= this.#base.index) return;
    const term = this.term(index);
    assert(term !== null, "what is compacted is in the log");
    this.#entries = this.#entries.slice(index - this.#base.index);
    this.#base = { index, term, configuration };
  }
}
