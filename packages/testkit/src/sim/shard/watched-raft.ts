/**
 * The real core, with an observer beside it: what a driver had stored when it said that a Ready was done.
 *
 * The driver makes its cores through a part that tests may replace; nothing of its code knows that it is watched.
 */
import { Raft } from "raft-ts";
import type { LogStorage, RaftOptions, RaftParts, Ready } from "raft-ts";

import type { RaftChecker } from "../raft/raft-checker.ts";

export class WatchedRaft extends Raft {
  readonly #checker: RaftChecker;
  readonly #storage: LogStorage;
  readonly #node: number;

  constructor(parts: RaftParts, options: Partial<RaftOptions> & { readonly id: number }, checker: RaftChecker) {
    super(parts, options);
    this.#checker = checker;
    this.#storage = parts.storage;
    this.#node = options.id;
    checker.commit(options.id, parts.storage.initial().hardState.commit, true);
  }

  override advance(ready: Ready): void {
    super.advance(ready);
    const first = ready.entries[0];
    if (first !== undefined) this.#checker.stored(this.#node, ready.entries, this.#storage.term(first.index - 1) ?? 0);
    if (ready.hardState !== null) this.#checker.commit(this.#node, ready.hardState.commit, false);
  }
}
