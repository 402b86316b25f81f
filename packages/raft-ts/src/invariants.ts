/**
 * What must hold whenever a Ready is put together: the state of one replica, as one list of claims.
 *
 * On in production: they cost some nanoseconds a Ready, and a replica that breaks one must not go on. Source: thesis, figure 3.2 and section 3.6.
 */
import { assert } from "@cfs/core";
import type { Core } from "./core.ts";
import { nobody } from "./entry.ts";
import type { Ready } from "./ready.ts";

export function assertState(core: Core): void {
  const { log, stableHard, term, role, vote, leader, id } = core;
  assert(log.applied <= log.applying, "what is applied was handed out");
  assert(log.applying <= log.commit, "what is handed out is committed");
  assert(log.commit <= log.lastIndex, "what is committed is in the log");
  assert(log.stableIndex <= log.lastIndex, "what is stable is in the log");
  assert(term >= stableHard.term, "terms never fall");
  assert(term > stableHard.term || stableHard.vote === nobody || stableHard.vote === vote, "a vote is not changed within a term");
  assert(log.commit >= stableHard.commit, "the commit index never falls");
  assert(term >= log.lastTerm, "no entry is of a later term");
  assert((role === "leader") === (leader === id), "a leader knows that it leads, and nobody else takes it for one");
  assert(role !== "candidate" || vote === id, "a candidate has voted for itself");
  if (role === "leader") assertLeader(core);
  else {
    assert(core.progress.size === 0, "only a leader follows its followers");
    assert(core.reads.length === 0, "only a leader keeps reads waiting");
    assert(!core.areAppendsDue, "only a leader owes appends");
  }
}

function assertLeader(core: Core): void {
  const { log, progress, reads, round } = core;
  assert(core.stableHard.term === core.term, "a leader's term is durable");
  assert(core.termStartIndex <= log.lastIndex, "the entry that began the term is in the log");
  assert(log.lastTerm === core.term, "a leader's log ends in its term");
  assert(log.commit <= core.gateIndex, "nothing is committed beyond the gate");
  assert(core.forwarded.size === 0, "a leader asks nobody");
  assert(!progress.has(core.id), "a leader is not its own follower");
  for (const follower of progress.values()) {
    assert(follower.match < follower.next, "what matches is not sent again");
    assert(follower.match <= log.lastIndex, "nobody holds more than the leader");
    assert(follower.next <= log.lastIndex + 1, "nothing is sent before it is there");
    assert(follower.round <= round, "nobody answers a round before it began");
    assert((follower.state === "snapshot") === (follower.stream !== null), "a stream belongs to a snapshot");
  }
  for (const read of reads) assert(read.round === null || read.round <= round, "a read waits for a round that has begun");
}

/** `lastStored`: the last index that is durable when this Ready is. */
export function assertReady({ entries, committed, snapshot, messages, mustSync }: Ready, core: Core, lastStored: number): void {
  const first = entries[0];
  const last = entries[entries.length - 1];
  assert(first === undefined || first.index === core.log.stableIndex + 1, "entries continue what is durable");
  assert(last === undefined || last.index === lastStored, "all that is not durable is to be stored");
  const firstCommitted = committed[0];
  const lastCommitted = committed[committed.length - 1];
  assert(lastCommitted === undefined || lastCommitted.index <= lastStored, "what is applied is durable first");
  assert(
    snapshot === null || firstCommitted === undefined || firstCommitted.index > snapshot.index,
    "a snapshot comes before what follows it",
  );
  assert(mustSync || (entries.length === 0 && snapshot === null), "entries and snapshots are synced");
  for (const { from } of messages) assert(from === core.id, "a replica speaks for itself");
}
