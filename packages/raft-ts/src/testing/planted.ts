/**
 * Raft with one decision wrong: what a simulator and its checkers must find.
 *
 * Each is a mistake that real implementations have made, or that the thesis warns of. All but the lease ones break a promise under standard options;
 * those need readMode "lease", and those of the gate need commitGate.
 */
import { assert } from "@cfs/core";
import type { Configuration } from "../configuration.ts";
import type { NodeId } from "../entry.ts";
import { hasMajority, majorityIndex } from "../quorum.ts";
import { type RaftRules, standardRules, type VoteQuestion } from "../rules.ts";

function isUpToDate({ candidateLastTerm, candidateLastIndex, lastTerm, lastIndex }: VoteQuestion): boolean {
  return candidateLastTerm > lastTerm || (candidateLastTerm === lastTerm && candidateLastIndex >= lastIndex);
}

function rising(nodes: readonly NodeId[], indexOf: (node: NodeId) => number): number[] {
  return nodes.map(indexOf).sort((left, right) => left - right);
}

/** One voter fewer than a majority. */
function minorityIndex({ voters }: Configuration, indexOf: (node: NodeId) => number): number {
  return rising(voters, indexOf)[Math.min(voters.length - 1, Math.ceil(voters.length / 2))] as number;
}

export const plantedRaftBugs: Readonly<Record<string, Partial<RaftRules>>> = {
  voteTwiceInATerm: { grantVote: isUpToDate },
  voteForAShorterLog: {
    grantVote: (question: VoteQuestion) => standardRules.grantVote({ ...question, lastTerm: 0, lastIndex: 0 }),
  },
  voteForALongerLogOfAnOlderTerm: {
    grantVote: (question: VoteQuestion) => standardRules.grantVote({ ...question, candidateLastTerm: question.lastTerm }),
  },
  forgetToSyncTheVote: { mustSyncHardState: () => false },
  answerBeforePersist: { isEarly: () => true },
  countOwnWriteBeforeItIsDurable: { ownMatch: (_stableIndex: number, lastIndex: number) => lastIndex },
  countReplicasOfAnOlderTerm: {
    commitIndex: ({ quorumIndex, commit, gateIndex }) => Math.max(commit, Math.min(quorumIndex, gateIndex)),
  },
  commitByAMinority: { quorumIndex: minorityIndex },
  forgetTheJointQuorum: {
    quorumIndex: ({ voters }: Configuration, indexOf: (node: NodeId) => number) => majorityIndex(voters, indexOf),
    hasQuorum: ({ voters }: Configuration, agrees: (node: NodeId) => boolean) => hasMajority(voters, agrees),
  },
  countLearners: {
    quorumIndex: ({ voters, learners }: Configuration, indexOf: (node: NodeId) => number) => {
      const values = rising([...voters, ...learners], indexOf);
      return values[values.length - (Math.floor(voters.length / 2) + 1)] as number;
    },
  },
  skipTheCheckOfTheEntryBefore: { acceptsAppend: () => true },
  skipTheTruncationOfAConflict: {
    firstNewEntry: (entries, termOf) => {
      const first = entries.findIndex(({ index }) => termOf(index) === null);
      return first < 0 ? entries.length : first;
    },
  },
  truncateOnEveryAppend: { firstNewEntry: () => 0 },
  acknowledgeOneTooMany: { acknowledgedIndex: (lastMatching: number) => lastMatching + 1 },
  heartbeatTellsTheWholeCommit: { heartbeatCommit: (_match: number, commit: number) => commit },
  listenToOldLeaders: { acceptsTerm: () => true },
  readWithoutAQuorum: { mayServeRead: () => true },
  readBeforeTheTermHasCommitted: { mayKnowCommit: () => true },
  leaseThatNeverEnds: { isLeaseValid: ({ sentTick }) => sentTick !== null },
  helpAgainstALivingLeader: { isLed: () => false },
  ignoreTheCommitGate: {
    commitIndex: (question) => standardRules.commitIndex({ ...question, gateIndex: Infinity }),
  },
  openTheGateForAnotherEntry: { opensGate: () => true },
  twoChangesAtOnce: { mayChangeConfiguration: () => true },
  changeBeforeTheTermHasCommitted: { mayChangeConfiguration: ({ configurationIndex, commit }) => configurationIndex <= commit },
  snapshotWithAHole: { acceptsChunk: () => true },
};

export function rulesWithBug(bug: string): RaftRules {
  assert(plantedRaftBugs[bug] !== undefined, "the bug is one of plantedRaftBugs");
  return { ...standardRules, ...plantedRaftBugs[bug] };
}
