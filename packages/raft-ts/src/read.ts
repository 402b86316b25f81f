/**
 * Linearizable reads without writing to the log.
 *
 * A read may be served at the commit index of the moment it came, once it is certain that nobody else led at that moment: a quorum answers a round of
 * heartbeats that began later (thesis, section 6.4), or answered one so lately that its voters still keep faith (lease, 6.4.1).
 * Reads that come between two Readies share one round. Rounds are numbered, and the confirmed one is simply the quorum's index over answered rounds.
 */
import { assert } from "@cfs/core";
import type { Core, PendingRead } from "./core.ts";
import { type NodeId, nobody } from "./entry.ts";
import type { HeartbeatReplyMessage, ReadIndexMessage, ReadIndexReplyMessage } from "./message.ts";
import type { ReadResult } from "./ready.ts";

const asked: ReadResult = { ok: true };

/** Tickets start anywhere in this range, so that those of two lives of a replica do not meet. */
const ticketRange = 2 ** 50;

/**
 * A follower's read goes to its leader under a ticket of its own: an answer that comes twice, or to a question of before a restart, finds no ticket.
 * The oldest one gives way when there are too many: its question or answer was lost.
 */
function forward(core: Core, context: number): void {
  core.nextTicket ??= Math.floor(core.random.next() * ticketRange);
  const ticket = core.nextTicket++;
  core.forwarded.set(ticket, context);
  for (const [oldest, lost] of core.forwarded) {
    if (core.forwarded.size <= core.options.readsPendingMax) break;
    core.forwarded.delete(oldest);
    core.readsRefused.push(lost);
  }
  core.send({ type: "readIndex", from: core.id, to: core.leader, term: core.term, context: ticket });
}

/** A read of this replica's host. A follower passes it on; that may get lost. */
export function requestRead(core: Core, context: number): ReadResult {
  if (core.isLeader) return enqueue(core, context, core.id) ? asked : { ok: false, reason: "full" };
  if (core.leader === nobody) return { ok: false, reason: "noLeader" };
  forward(core, context);
  return asked;
}

export function handleReadIndex(core: Core, message: ReadIndexMessage): void {
  if (core.isLeader) enqueue(core, message.context, message.from);
}

export function handleReadIndexReply(core: Core, message: ReadIndexReplyMessage): void {
  const context = core.forwarded.get(message.context);
  if (context === undefined) return;
  core.forwarded.delete(message.context);
  core.readAnswers.push({ context, index: message.index });
}

function enqueue(core: Core, context: number, from: NodeId): boolean {
  if (core.reads.length >= core.options.readsPendingMax) return false;
  const isCommitKnown = core.rules.mayKnowCommit(core.log.commit, core.termStartIndex);
  const read: PendingRead = { context, from, index: isCommitKnown ? core.log.commit : null, round: null };
  if (isCommitKnown && isLeaseValid(core)) answer(core, read);
  else {
    core.reads.push(read);
    core.isRoundDue ||= isCommitKnown;
  }
  return true;
}

function answer(core: Core, { context, from, index }: PendingRead): void {
  assert(index !== null, "a read is answered with an index");
  if (from === core.id) core.readAnswers.push({ context, index });
  else core.send({ type: "readIndexReply", from: core.id, to: from, term: core.term, context, index });
}

/** The commit index is known at last: what waited for that goes on. */
export function readsAfterCommit(core: Core): void {
  if (core.reads.length === 0 || !core.rules.mayKnowCommit(core.log.commit, core.termStartIndex)) return;
  for (const read of core.reads) {
    if (read.index !== null) continue;
    read.index = core.log.commit;
    core.isRoundDue = true;
  }
}

/** One heartbeat to everybody: keeps faith, carries the commit index, confirms reads. */
export function broadcastHeartbeat(core: Core, isQuiesce: boolean): void {
  assert(core.isLeader, "only a leader sends heartbeats");
  core.round++;
  if (core.roundTicks[core.roundTicks.length - 1]?.tick !== core.tickCount) {
    const oldest = core.tickCount - core.options.electionTicks;
    core.roundTicks = core.roundTicks.filter(({ tick }) => tick >= oldest);
    core.roundTicks.push({ tick: core.tickCount, round: core.round });
  }
  const { id, term, round } = core;
  for (const { node, match } of core.progress.values()) {
    const commit = core.rules.heartbeatCommit(match, core.log.commit);
    core.send({ type: "heartbeat", from: id, to: node, term, commit, round, quiesce: isQuiesce });
  }
}

/** Begins the round that the waiting reads need. */
export function startReadRound(core: Core): void {
  core.isRoundDue = false;
  const waiting = core.reads.filter(({ index, round }) => index !== null && round === null);
  if (waiting.length === 0) return;
  broadcastHeartbeat(core, false);
  for (const read of waiting) read.round = core.round;
  releaseReads(core);
}

function confirmedRound(core: Core): number {
  return core.rules.quorumIndex(core.configuration, (node) => (node === core.id ? core.round : (core.progress.get(node)?.round ?? 0)));
}

export function releaseReads(core: Core): void {
  if (core.reads.length === 0) return;
  const confirmed = confirmedRound(core);
  const rest: PendingRead[] = [];
  for (const read of core.reads) {
    if (read.round !== null && core.rules.mayServeRead({ round: read.round, confirmedRound: confirmed })) answer(core, read);
    else rest.push(read);
  }
  core.reads = rest;
}

export function isLeaseValid(core: Core): boolean {
  const { electionTicks, clockDriftTicks, readMode } = core.options;
  if (readMode !== "lease") return false;
  const confirmed = confirmedRound(core);
  const sent = core.isLeaseLost ? undefined : core.roundTicks.findLast(({ round }) => round <= confirmed);
  return core.rules.isLeaseValid({ tick: core.tickCount, sentTick: sent?.tick ?? null, electionTicks, clockDriftTicks });
}

/** A follower has answered a heartbeat: it is there, it keeps faith since then, and it may lack something. */
export function handleHeartbeatReply(core: Core, message: HeartbeatReplyMessage): void {
  const progress = core.progress.get(message.from);
  if (!core.isLeader || progress === undefined) return;
  assert(message.round <= core.round, "nobody answers a round before it began");
  progress.isActive = true;
  progress.isProbeSent = false;
  progress.round = Math.max(progress.round, message.round);
  if (progress.match < core.log.lastIndex || progress.state === "probe") {
    progress.mustProbe = true;
    core.areAppendsDue = true;
  }
  releaseReads(core);
}
