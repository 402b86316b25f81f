/**
 * How a leader comes about: timers, pre-vote, votes.
 *
 *    follower ──timeout──► preCandidate ──quorum would──► candidate ──quorum did──► leader
 *        ▲                      │                            │                        │
 *        └── leader or higher term heard ────────────────────┴── no quorum for a while ┘
 *
 * Invariants: one vote a term, durable before it is told; a candidate's own vote counts when it is durable too; at most one leader a term
 * (Election Safety). Source: thesis, sections 3.4, 3.6.1, 4.2.3 (disruptive servers), 6.2 (step down), 9.6 (pre-vote).
 */
import { assert } from "@cfs/core";
import type { Core } from "./core.ts";
import { entryBytes, entryKinds, type NodeId, nobody } from "./entry.ts";
import type { VoteMessage, VoteReplyMessage } from "./message.ts";
import { appendOwn, maybeCommit } from "./replication.ts";

const noData = new Uint8Array(0);
/** Looked at in one go. */
const inheritedStepBytes = 1 << 20;

/** A voter that leads nobody asks for leadership. `force`: the leader itself asked it to. */
export function campaign(core: Core, force: boolean): void {
  if (core.isLeader || !core.mayCampaign) return;
  if (core.options.preVote && !force) becomePreCandidate(core);
  else becomeCandidate(core, force);
}

function becomePreCandidate(core: Core): void {
  core.becomeFollower(core.term, nobody);
  core.role = "preCandidate";
  core.resetElectionTimer();
  askForVotes(core, true, false);
  recordVote(core, core.id, true);
}

function becomeCandidate(core: Core, force: boolean): void {
  core.becomeFollower(core.term + 1, nobody);
  core.role = "candidate";
  core.vote = core.id;
  core.resetElectionTimer();
  assert(core.term > core.log.lastTerm, "an election is for a term without entries");
  askForVotes(core, false, force);
}

function askForVotes(core: Core, preVote: boolean, force: boolean): void {
  const { id, log, configuration } = core;
  const term = preVote ? core.term + 1 : core.term;
  for (const node of new Set([...configuration.voters, ...configuration.votersOutgoing])) {
    if (node === id) continue;
    core.send({ type: "vote", from: id, to: node, term, preVote, force, lastIndex: log.lastIndex, lastTerm: log.lastTerm });
  }
}

/** The host has stored something: a candidate's vote for itself counts from now on. */
export function countOwnVote(core: Core): void {
  const { role, stableHard, term, id } = core;
  if (role !== "candidate" || core.votes.has(id) || stableHard.term !== term) return;
  assert(stableHard.vote === id, "a candidate has voted for itself");
  recordVote(core, id, true);
}

function recordVote(core: Core, node: NodeId, isGranted: boolean): void {
  assert(core.role === "preCandidate" || core.role === "candidate", "only who asked counts votes");
  if (!core.votes.has(node)) core.votes.set(node, isGranted);
  const { configuration, rules, votes } = core;
  if (rules.hasQuorum(configuration, (voter) => votes.get(voter) === true)) {
    if (core.role === "preCandidate") becomeCandidate(core, false);
    // The others may be faster than the host's word that this replica's own vote is durable.
    else if (votes.has(core.id)) becomeLeader(core);
  } else if (!rules.hasQuorum(configuration, (voter) => votes.get(voter) !== false)) {
    core.becomeFollower(core.term, nobody);
  }
}

function becomeLeader(core: Core): void {
  assert(core.role === "candidate", "only a candidate becomes leader");
  assert(core.stableHard.term === core.term, "a leader's term is durable");
  core.role = "leader";
  core.leader = core.id;
  core.votes.clear();
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  core.sinceLeaderTicks = 0;
  core.round = 0;
  core.roundTicks = [];
  core.isLeaseLost = false;
  core.uncommittedBytes = inheritedBytes(core);
  core.gateIndex = core.options.commitGate ? core.log.commit : Infinity;
  core.syncProgress();
  core.termStartIndex = appendOwn(core, entryKinds.empty, noData);
}

/** Of entries that earlier leaders have left, which are not handed out for applying yet: they count towards the limit like the leader's own. */
function inheritedBytes({ log }: Core): number {
  let bytes = 0;
  for (let at = log.applying + 1; at <= log.lastIndex;) {
    const entries = log.entries(at, log.lastIndex + 1, inheritedStepBytes);
    for (const entry of entries) bytes += entryBytes(entry);
    at += entries.length;
  }
  return bytes;
}

/** Somebody asks for this replica's vote; the envelope's term was looked at before. */
export function handleVote(core: Core, message: VoteMessage): void {
  const { id, log, term, vote, leader } = core;
  const isGranted = core.rules.grantVote({
    preVote: message.preVote,
    candidate: message.from,
    candidateTerm: message.term,
    candidateLastTerm: message.lastTerm,
    candidateLastIndex: message.lastIndex,
    term,
    vote,
    leader,
    lastTerm: log.lastTerm,
    lastIndex: log.lastIndex,
  });
  // A pre-vote that is granted answers in the term that it was asked for: the asker is not there yet.
  const replyTerm = message.preVote && isGranted ? message.term : term;
  core.send({ type: "voteReply", from: id, to: message.from, term: replyTerm, preVote: message.preVote, granted: isGranted });
  if (isGranted && !message.preVote) {
    assert(core.role !== "leader", "a leader votes for nobody else in its term");
    core.vote = message.from;
    core.electionElapsed = 0;
  }
}

export function handleVoteReply(core: Core, message: VoteReplyMessage): void {
  const expected = core.role === "preCandidate" ? core.term + 1 : core.term;
  const isForThis = message.preVote ? core.role === "preCandidate" : core.role === "candidate";
  if (!isForThis || (message.granted && message.term !== expected)) return;
  recordVote(core, message.from, message.granted);
}

/** One tick of a replica that does not lead. */
export function tickElection(core: Core): void {
  core.electionElapsed++;
  core.sinceLeaderTicks++;
  if (core.electionElapsed < core.electionTimeoutTicks) return;
  core.electionElapsed = 0;
  campaign(core, false);
}

/** Each electionTicks. Section 6.2: a leader that hears from no quorum is most likely not leader any more. */
export function checkQuorum(core: Core): void {
  const { configuration, rules, progress, id } = core;
  const isHeard = rules.hasQuorum(configuration, (node) => node === id || progress.get(node)?.isActive === true);
  if (!isHeard && core.options.checkQuorum) {
    core.becomeFollower(core.term, nobody);
    return;
  }
  for (const follower of progress.values()) {
    follower.wasActive = follower.isActive;
    follower.isActive = false;
  }
}

/** Something became durable: it may complete an election or a commit. */
export function afterPersist(core: Core): void {
  countOwnVote(core);
  if (core.isLeader) maybeCommit(core);
}
