/**
 * Puts together what the host must do, and takes back that it is done.
 *
 * Invariant: one Ready is out at a time; what it holds is complete, so that the host's order (store, sync, send, apply) is enough for safety:
 * `messages` answer for no state that is not in this Ready or an earlier one, and `committed` holds no entry that is not either.
 */
import { assert } from "@cfs/core";
import type { Core } from "./core.ts";
import { assertReady, assertState } from "./invariants.ts";
import { type Entry, entryBytes, type HardState, nobody } from "./entry.ts";
import type { Ready, SoftState } from "./ready.ts";
import { startReadRound } from "./read.ts";
import { sendAppends } from "./replication.ts";

const nothing: readonly never[] = Object.freeze([]);

/** A list goes to the host for good. An empty one stays with the core, which fills it on: what comes later is not of this Ready. */
function handed<T>(list: readonly T[]): readonly T[] {
  return list.length > 0 ? list : nothing;
}

export class ReadyBuilder {
  readonly #core: Core;
  #out: Ready | null = null;
  /** Handed out last. */
  #hard: HardState;
  #soft: SoftState = { role: "follower", leader: nobody, term: 0 };

  constructor(core: Core) {
    this.#core = core;
    this.#hard = core.stableHard;
    this.#soft = { role: core.role, leader: core.leader, term: core.term };
  }

  get hasReady(): boolean {
    if (this.#out !== null) return false;
    const { log, early, late, chunks, readAnswers, readsRefused, areAppendsDue, isRoundDue } = this.#core;
    return (
      areAppendsDue ||
      isRoundDue ||
      !early.isEmpty ||
      !late.isEmpty ||
      log.hasUnstable ||
      log.commit > log.applying ||
      chunks.length > 0 ||
      log.pendingSnapshot !== null ||
      readAnswers.length > 0 ||
      readsRefused.length > 0 ||
      this.#isHardChanged ||
      this.#isSoftChanged
    );
  }

  get #isHardChanged(): boolean {
    const { term, vote, log } = this.#core;
    return this.#hard.commit !== log.commit || this.#hard.term !== term || this.#hard.vote !== vote;
  }

  get #isSoftChanged(): boolean {
    const { role, leader, term } = this.#core;
    return this.#soft.role !== role || this.#soft.leader !== leader || this.#soft.term !== term;
  }

  take(): Ready | null {
    assert(this.#out === null, "one Ready at a time");
    const core = this.#core;
    if (core.isRoundDue) startReadRound(core);
    if (core.areAppendsDue && core.isLeader) sendAppends(core);
    if (!this.hasReady) return null;
    const { log } = core;
    const hardState = this.#isHardChanged ? { term: core.term, vote: core.vote, commit: log.commit } : null;
    const softState = this.#isSoftChanged ? { role: core.role, leader: core.leader, term: core.term } : null;
    const entries = log.unstableEntries();
    const snapshot = log.pendingSnapshot;
    const isHardUrgent = hardState !== null && core.rules.mustSyncHardState(this.#hard, hardState);
    const ready: Ready = {
      hardState,
      entries,
      snapshotChunks: handed(core.chunks),
      snapshot,
      earlyMessages: core.early.take(),
      messages: core.late.take(),
      committed: this.#takeCommitted(),
      reads: handed(core.readAnswers),
      readsRefused: handed(core.readsRefused),
      mustSync: entries.length > 0 || snapshot !== null || isHardUrgent,
      softState,
    };
    this.#hard = hardState ?? this.#hard;
    this.#soft = softState ?? this.#soft;
    this.#clear();
    assertState(core);
    assertReady(ready, core, log.lastIndex);
    this.#out = ready;
    return ready;
  }

  #takeCommitted(): readonly Entry[] {
    const core = this.#core;
    const committed = core.log.takeCommitted(core.options.committedBytesMax);
    if (core.isLeader) for (const entry of committed) core.uncommittedBytes -= entryBytes(entry);
    assert(core.uncommittedBytes >= 0, "what becomes committed was counted");
    return committed;
  }

  #clear(): void {
    const core = this.#core;
    if (core.chunks.length > 0) core.chunks = [];
    if (core.readAnswers.length > 0) core.readAnswers = [];
    if (core.readsRefused.length > 0) core.readsRefused = [];
  }

  finish(ready: Ready): void {
    assert(ready === this.#out, "the Ready that is out is the one that is done");
    this.#out = null;
    const { log, history } = this.#core;
    const { hardState, entries, snapshot, committed } = ready;
    if (hardState !== null) this.#core.stableHard = hardState;
    if (snapshot !== null) log.snapshotInstalled(snapshot);
    log.stored(entries);
    const applied = committed[committed.length - 1];
    if (applied !== undefined) log.appliedTo(applied.index);
    history.compact(log.firstIndex);
  }
}
