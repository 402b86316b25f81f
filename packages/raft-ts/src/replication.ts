/**
 * The log goes from the leader to everybody else, and becomes committed.
 *
 * Appends are made when the host asks for a Ready, not when something happens: so whatever came in between goes out in one message per follower.
 * Invariants: Log Matching (thesis, section 3.5); an entry is committed when a quorum holds it and an entry of the leader's term (3.6.2), and, where
 * the host wants that, when its gate is open: committing later than Raft allows is always safe (docs/internals/raft.md, "The gate").
 */
import { assert } from "@cfs/core";
import { isJoint, leaveJoint } from "./configuration.ts";
import { encodeConfiguration } from "./configuration-format.ts";
import type { Core } from "./core.ts";
import { type Entry, entryBytes, type EntryKind, entryKinds, nobody } from "./entry.ts";
import type { AppendMessage, AppendReplyMessage, HeartbeatMessage } from "./message.ts";
import type { Progress } from "./progress.ts";
import { readsAfterCommit } from "./read.ts";
import { beginSnapshot, sendChunks } from "./snapshot.ts";
import { continueTransfer } from "./transfer.ts";

const nothing: readonly Entry[] = Object.freeze([]);

/** Leader: one more entry of its own term. */
export function appendOwn(core: Core, kind: EntryKind, data: Uint8Array): number {
  assert(core.isLeader, "only a leader makes entries");
  const entry: Entry = { term: core.term, index: core.log.lastIndex + 1, kind, data };
  const entries = [entry];
  core.log.append(entries);
  core.uncommittedBytes += entryBytes(entry);
  core.areAppendsDue = true;
  if (kind === entryKinds.configuration && core.history.append(entries)) core.syncProgress();
  return entry.index;
}

/** Leader: everything that the followers are owed and have room for. */
export function sendAppends(core: Core): void {
  assert(core.isLeader, "only a leader sends appends");
  core.areAppendsDue = false;
  for (const progress of core.progress.values()) {
    while (progress.state !== "snapshot" && isOwed(core, progress)) sendAppend(core, progress);
    sendChunks(core, progress);
  }
}

function isOwed(core: Core, progress: Progress): boolean {
  if (progress.mustProbe) return true;
  if (progress.isPaused) return false;
  return progress.next <= core.log.lastIndex || (progress.state === "replicate" && progress.commitSent < core.log.commit);
}

function sendAppend(core: Core, progress: Progress): void {
  const prevIndex = progress.next - 1;
  const prevTerm = core.log.term(prevIndex);
  if (prevTerm === null || progress.next < core.log.firstIndex) {
    beginSnapshot(core, progress);
    return;
  }
  const isWithEntries = progress.next <= core.log.lastIndex && !progress.isPaused;
  const { messageBytesMax } = core.options;
  const entries = isWithEntries ? core.log.entries(progress.next, core.log.lastIndex + 1, messageBytesMax) : nothing;
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  const lastIndex = prevIndex + entries.length;
  const { commit } = core.log;
  core.send({ type: "append", from: core.id, to: progress.node, term: core.term, prevIndex, prevTerm, commit, entries });
  progress.sent(lastIndex, entries.length, bytes);
  progress.commitSent = Math.max(progress.commitSent, Math.min(commit, lastIndex));
  assert(progress.match < progress.next, "what is known to match is not sent again");
}

function reply(core: Core, to: number, index: number): AppendReplyMessage {
  return { type: "appendReply", from: core.id, to, term: core.term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

export function handleAppend(core: Core, message: AppendMessage): void {
  core.heardFromLeader(message.from);
  const { log, rules } = core;
  const { prevIndex, prevTerm, entries } = message;
  if (prevIndex < log.commit) {
    // Old: what is committed matches in any case (Leader Completeness).
    core.send(reply(core, message.from, log.commit));
    return;
  }
  if (!rules.acceptsAppend(log.term(prevIndex), prevTerm)) {
    const hintIndex = log.lastIndexUpTo(prevIndex, prevTerm);
    const hintTerm = log.term(hintIndex) ?? 0;
    core.send({ ...reply(core, message.from, prevIndex), rejected: true, hintIndex, hintTerm });
    return;
  }
  const lastMatching = prevIndex + entries.length;
  assert((entries[entries.length - 1]?.index ?? lastMatching) === lastMatching, "entries are consecutive behind the one before");
  const firstNew = rules.firstNewEntry(entries, (index) => log.term(index));
  if (firstNew < entries.length) {
    const fresh = firstNew === 0 ? entries : entries.slice(firstNew);
    // First: a configuration that cannot be read is CORRUPT here, and then nothing has changed.
    core.history.append(fresh);
    log.append(fresh);
  }
  log.commitTo(rules.followerCommit(message.commit, lastMatching, log.lastIndex));
  core.send(reply(core, message.from, rules.acknowledgedIndex(lastMatching, log.lastIndex)));
}

export function handleAppendReply(core: Core, message: AppendReplyMessage): void {
  const progress = core.progress.get(message.from);
  if (!core.isLeader || progress === undefined) return;
  progress.isActive = true;
  core.areAppendsDue = true;
  if (message.rejected) {
    const { hintIndex, hintTerm } = message;
    const hint = hintTerm > 0 ? core.log.lastIndexUpTo(hintIndex, hintTerm) : hintIndex;
    progress.rejectedAt(message.index, hint);
    return;
  }
  assert(message.index <= core.log.lastIndex, "nobody holds more than the leader of its term");
  const isNews = progress.matched(message.index);
  progress.inflights.freeTo(message.index);
  if (progress.state === "probe") progress.becomeReplicate();
  else if (progress.stream !== null && progress.match >= progress.stream.meta.index) progress.becomeReplicate();
  if (!isNews) return;
  maybeCommit(core);
  if (core.transferTarget === message.from) continueTransfer(core);
}

export function handleHeartbeat(core: Core, message: HeartbeatMessage): void {
  core.heardFromLeader(message.from);
  core.roundSeen = Math.max(core.roundSeen, message.round);
  core.log.commitTo(message.commit);
  core.send({ type: "heartbeatReply", from: core.id, to: message.from, term: core.term, round: message.round });
}

/** Leader: commits what a quorum holds and the gate lets through. */
export function maybeCommit(core: Core): void {
  const { log, rules } = core;
  const held = rules.quorumIndex(core.configuration, core.matchOf);
  if (held <= log.commit) return;
  assert(held <= log.lastIndex, "a quorum holds no more than the leader has");
  const commit = rules.commitIndex({
    quorumIndex: held,
    termAtQuorum: log.term(held) ?? 0,
    term: core.term,
    commit: log.commit,
    gateIndex: core.gateIndex,
  });
  if (commit <= log.commit) return;
  log.commitTo(commit);
  core.areAppendsDue = true;
  readsAfterCommit(core);
  afterConfigurationCommit(core);
}

/** Section 4.3: the leader leaves the joint configuration; section 4.2.2: a leader that is no voter any more has done its work. */
function afterConfigurationCommit(core: Core): void {
  const { configuration, history, log } = core;
  if (history.currentIndex > log.commit) return;
  if (isJoint(configuration) && configuration.autoLeave) {
    // The gate may have let entries of earlier terms pass alone; a change wants one of this term (section 4.1, corrected).
    if (log.commit < core.termStartIndex) return;
    appendOwn(core, entryKinds.configuration, encodeConfiguration(leaveJoint(configuration)));
  } else if (!core.isVoter) {
    sendAppends(core);
    core.becomeFollower(core.term, nobody);
  }
}
