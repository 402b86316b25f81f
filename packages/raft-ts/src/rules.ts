/**
 * The decisions of Raft, each a small pure function: this file is the algorithm, the others are its bookkeeping.
 *
 * Raft's safety (thesis, section 3.6) rests on these and nothing else. They are a record, so that tests can replace one by a wrong one and prove that
 * the simulator notices (testing/planted.ts); a host never passes its own.
 */
import type { Configuration } from "./configuration.ts";
import { type Entry, type HardState, type NodeId, nobody } from "./entry.ts";
import type { Message } from "./message.ts";
import { hasQuorum, quorumIndex } from "./quorum.ts";

/** Everything that a voter looks at (thesis, figure 3.1, "RequestVote"). */
export interface VoteQuestion {
  readonly preVote: boolean;
  readonly candidate: NodeId;
  readonly candidateTerm: number;
  readonly candidateLastTerm: number;
  readonly candidateLastIndex: number;
  readonly term: number;
  readonly vote: NodeId;
  readonly leader: NodeId;
  readonly lastTerm: number;
  readonly lastIndex: number;
}

export interface CommitQuestion {
  /** What a quorum holds durably, and the term of that entry in the leader's log. */
  readonly quorumIndex: number;
  readonly termAtQuorum: number;
  readonly term: number;
  readonly commit: number;
  readonly gateIndex: number;
}

export interface ReadQuestion {
  /** The round of heartbeats that went out after the read came, and the last one that a quorum answered. */
  readonly round: number;
  readonly confirmedRound: number;
}

export interface LeaseQuestion {
  readonly tick: number;
  /** When the last round went out that a quorum has answered; null: none has been, or leadership is being given away. */
  readonly sentTick: number | null;
  readonly electionTicks: number;
  readonly clockDriftTicks: number;
}

export interface ChangeQuestion {
  /** Index of the configuration in force. */
  readonly configurationIndex: number;
  readonly commit: number;
  /** Index of the empty entry that began the leader's term. */
  readonly termStartIndex: number;
}

export interface LedQuestion {
  readonly isLeaseMode: boolean;
  readonly leader: NodeId;
  readonly sinceLeaderTicks: number;
  readonly electionTicks: number;
}

export interface RaftRules {
  /** Section 3.6.1: one vote a term, and only for a log that is at least as complete. */
  grantVote(question: VoteQuestion): boolean;
  /** Sections 4.2.3 and 6.4.1: who hears from a leader does not help to depose it. */
  isLed(question: LedQuestion): boolean;
  /** Whether messages of `messageTerm` are still listened to. */
  acceptsTerm(messageTerm: number, term: number): boolean;
  /** What `agrees` covers is enough for a decision of the configuration. */
  hasQuorum(configuration: Configuration, agrees: (node: NodeId) => boolean): boolean;
  /** The largest value that a quorum has reached. */
  quorumIndex(configuration: Configuration, indexOf: (node: NodeId) => number): number;
  /** Section 3.6.2: only entries of the leader's own term are committed by counting replicas. The gate only ever lowers the answer. */
  commitIndex(question: CommitQuestion): number;
  /** Section 3.5: an index names an entry only together with its term. The gate opens for what was asked about; `ownTerm` is null where nothing is. */
  opensGate(askedTerm: number, ownTerm: number | null): boolean;
  /** Section 10.2.1: what the leader itself counts as holding. */
  ownMatch(stableIndex: number, lastIndex: number): number;
  /** Section 3.5: an append continues the log only where the entry before it is the same. `ownPrevTerm` is null where there is none. */
  acceptsAppend(ownPrevTerm: number | null, prevTerm: number): boolean;
  /** Section 3.5: the first of `entries` that is not in the log yet; from there on the log is replaced. entries.length: all are. */
  firstNewEntry(entries: readonly Entry[], termOf: (index: number) => number | null): number;
  /** What a follower says that it holds after an accepted append. */
  acknowledgedIndex(lastMatching: number, lastIndex: number): number;
  /** Figure 3.1, AppendEntries 5: committed as far as the log is known to match. */
  followerCommit(leaderCommit: number, lastMatching: number, lastIndex: number): number;
  /** A heartbeat does not check the log, so it tells no more than the follower is known to have. */
  heartbeatCommit(match: number, commit: number): number;
  /** Whether the host may send a message before what Ready tells it to store is durable. */
  isEarly(message: Message): boolean;
  /** Whether hard state must be durable before answers go out. */
  mustSyncHardState(before: HardState, after: HardState): boolean;
  /** Section 6.4: a read is served only by who was leader after it came. */
  mayServeRead(question: ReadQuestion): boolean;
  /** Section 6.4: a new leader does not know what is committed until an entry of its own term is. */
  mayKnowCommit(commit: number, termStartIndex: number): boolean;
  /** Section 6.4.1: voters that answered the round elect nobody else for electionTicks by their clocks. */
  isLeaseValid(question: LeaseQuestion): boolean;
  /** Section 4.1, with the correction that a leader first commits an entry of its term. */
  mayChangeConfiguration(question: ChangeQuestion): boolean;
  /** A part of a snapshot fits behind what came before. */
  acceptsChunk(offset: number, expectedOffset: number): boolean;
}

function isUpToDate(question: VoteQuestion): boolean {
  return (
    question.candidateLastTerm > question.lastTerm ||
    (question.candidateLastTerm === question.lastTerm && question.candidateLastIndex >= question.lastIndex)
  );
}

function isVoteFree(question: VoteQuestion): boolean {
  return (
    question.vote === question.candidate ||
    (question.vote === nobody && question.leader === nobody) ||
    (question.preVote && question.candidateTerm > question.term)
  );
}

function firstNewEntry(entries: readonly Entry[], termOf: (index: number) => number | null): number {
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as Entry;
    if (termOf(entry.index) !== entry.term) return at;
  }
  return entries.length;
}

/** Two ticks go: the round may have left late in its tick, and a voter's first tick may come right after its answer. */
const roundingTicks = 2;

export const standardRules: RaftRules = {
  grantVote: (question) => isVoteFree(question) && isUpToDate(question),
  isLed: ({ isLeaseMode, leader, sinceLeaderTicks, electionTicks }) =>
    (isLeaseMode || leader !== nobody) && sinceLeaderTicks < electionTicks,
  acceptsTerm: (messageTerm, term) => messageTerm >= term,
  hasQuorum,
  quorumIndex,
  commitIndex: ({ quorumIndex: held, termAtQuorum, term, commit, gateIndex }) =>
    termAtQuorum === term ? Math.max(commit, Math.min(held, gateIndex)) : commit,
  opensGate: (askedTerm, ownTerm) => askedTerm === ownTerm,
  ownMatch: (stableIndex) => stableIndex,
  acceptsAppend: (ownPrevTerm, prevTerm) => ownPrevTerm === prevTerm,
  firstNewEntry,
  acknowledgedIndex: (lastMatching) => lastMatching,
  followerCommit: (leaderCommit, lastMatching) => Math.min(leaderCommit, lastMatching),
  heartbeatCommit: (match, commit) => Math.min(match, commit),
  isEarly: ({ type }) =>
    type === "append" ||
    type === "heartbeat" ||
    type === "snapshot" ||
    type === "timeoutNow" ||
    type === "readIndex" ||
    type === "readIndexReply",
  mustSyncHardState: (before, after) => before.term !== after.term || before.vote !== after.vote,
  mayServeRead: ({ round, confirmedRound }) => confirmedRound >= round,
  mayKnowCommit: (commit, termStartIndex) => commit >= termStartIndex,
  isLeaseValid: ({ tick, sentTick, electionTicks, clockDriftTicks }) =>
    sentTick !== null && tick - sentTick <= electionTicks - clockDriftTicks - roundingTicks,
  mayChangeConfiguration: ({ configurationIndex, commit, termStartIndex }) => configurationIndex <= commit && commit >= termStartIndex,
  acceptsChunk: (offset, expectedOffset) => offset === expectedOffset,
};
