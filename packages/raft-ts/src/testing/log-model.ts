/**
 * A log beside the array that it should equal: appends with and without conflict, stored late, committed, applied and compacted in any order.
 */
import { assert } from "@cfs/core";
import { emptyConfiguration } from "../configuration.ts";
import { type Entry, entryBytes, entryKinds } from "../entry.ts";
import { Log } from "../log.ts";
import { MemoryLog } from "../memory-log.ts";
import type { Ready } from "../ready.ts";

export const noReady: Ready = {
  hardState: null,
  entries: [],
  snapshotChunks: [],
  snapshot: null,
  earlyMessages: [],
  messages: [],
  committed: [],
  reads: [],
  readsRefused: [],
  mustSync: false,
  softState: null,
};

export type LogStep =
  | { readonly type: "append"; readonly back: number; readonly count: number; readonly later: number; readonly size: number }
  | { readonly type: "take" | "store" | "apply" }
  | { readonly type: "commit" | "compact"; readonly share: number };

/** The log and what it should be: every entry ever, from index 1. */
export class LogPair {
  readonly storage: MemoryLog = new MemoryLog();
  readonly log: Log = new Log(this.storage, 0, 0);
  readonly model: Entry[] = [];
  commit = 0;
  term = 1;
  out: readonly Entry[] = [];
  applied = 0;

  run(step: LogStep): void {
    switch (step.type) {
      case "append":
        return this.#append(step.back, step.count, step.later, step.size);
      case "take":
        if (this.out.length === 0) this.out = this.log.unstableEntries();
        return;
      case "store":
        return this.#store();
      case "apply": {
        const entries = this.log.takeCommitted(100);
        for (const entry of entries) assert(entry === this.model[entry.index - 1], "what is applied is in the log");
        this.applied += entries.length;
        this.log.appliedTo(this.applied);
        return;
      }
      case "commit":
        this.commit = Math.max(this.commit, Math.floor(this.log.stableIndex * step.share));
        return this.log.commitTo(this.commit);
      case "compact":
        return this.storage.compact(Math.floor(Math.min(this.applied, this.storage.lastIndex) * step.share), emptyConfiguration);
    }
  }

  #append(back: number, count: number, later: number, size: number): void {
    const begin = Math.max(this.commit, this.model.length - back) + 1;
    // What is cut off never comes back with other bytes: a leader of a later term wrote what replaces it.
    if (begin <= this.model.length) this.term++;
    this.term += later;
    const { term } = this;
    this.model.length = begin - 1;
    const entries = Array.from({ length: count }, (_unused, at): Entry => ({
      term,
      index: begin + at,
      kind: entryKinds.command,
      data: new Uint8Array(size),
    }));
    this.log.append(entries);
    this.model.push(...entries);
  }

  #store(): void {
    this.storage.store({ ...noReady, entries: this.out });
    this.log.stored(this.out);
    this.out = [];
  }

  check(): void {
    const { log, model } = this;
    assert(log.lastIndex === model.length, "the log is as long as the model");
    assert(log.lastTerm === (model[model.length - 1]?.term ?? 0), "it ends with the same term");
    for (let index = log.firstIndex; index <= model.length; index++) {
      assert(log.term(index) === model[index - 1]?.term, "terms are the same");
    }
    assert(log.term(model.length + 1) === null, "there is nothing beyond the end");
    assert(log.stableIndex <= log.lastIndex, "what is stable is in the log");
    if (model.length < log.firstIndex) return;
    const all = log.entries(log.firstIndex, model.length + 1, Infinity);
    assert(all.length === model.length - log.firstIndex + 1, "all entries are there");
    for (const entry of all) assert(entry === model[entry.index - 1], "entries are the same");
    const bytesMax = 90;
    const some = log.entries(log.firstIndex, model.length + 1, bytesMax);
    assert(some.length > 0, "at least one entry is given");
    for (const [at, entry] of some.entries()) assert(entry === all[at], "some are the first of all");
    const bytes = some.reduce((sum, entry) => sum + entryBytes(entry), 0);
    assert(some.length === 1 || bytes <= bytesMax, "no more bytes than asked for");
  }
}
