/**
 * The decisions of the algorithm, each a small pure function, gathered in one record.
 *
 * The core asks them and nothing else decides. Tests replace one at a time by a wrong one (`@cfs/membership/testing`, plantedSwimBugs) to prove that the
 * checkers notice; production code has no other switch.
 *
 * Source: SWIM (DSN 2002) sections 3 and 4; Dadgar, Phillips, Currey: Lifeguard (arXiv 1707.00788) section 3.
 */
import { type Claim, type MemberState, stateRanks } from "./member.ts";

/** Which value of a name: two of one version differ in the hash of their content. */
export interface ValueId {
  readonly version: number;
  readonly hash: string;
}

export interface SwimRules {
  /** Whether a claim replaces what is held about a member. */
  readonly supersedes: (claim: Claim, held: Claim) => boolean;
  /** The incarnation by which a member answers a claim about itself. */
  readonly refutation: (own: number, claimed: number) => number;
  /** What a failed probe makes of its target. */
  readonly verdictOfProbe: () => "suspect" | "dead";
  /** What a state means that another node only holds (tables compared), instead of announcing it, for a member that is active here. */
  readonly stateFromSync: (state: MemberState) => MemberState;
  /** Which state a leaving member announces. */
  readonly stateOfLeave: () => "left" | "dead";
  /** Whether a claim that a member is active is believed when the name is in its tombstone with this claim. */
  readonly comesBack: (claim: Claim, tombstone: Claim) => boolean;
  /** How often one node sends one update. */
  readonly retransmitLimit: (mult: number, memberCount: number) => number;
  /** Whether a packet whose counter was seen before (or is too old to tell) is dropped. */
  readonly dropsReplay: (isSeen: boolean) => boolean;
  /** How many members are asked to probe a silent target. */
  readonly indirectProbes: (configured: number) => number;
  /** Whether a confirmation by `from` counts, after those by `confirmers`. */
  readonly countsAsConfirmation: (from: string, confirmers: ReadonlySet<string>) => boolean;
  /** How long a suspicion lasts in all, after `confirmed` of `wanted` confirmations. */
  readonly suspicionMs: (minMs: number, maxMs: number, confirmed: number, wanted: number) => number;
  /** How much of the time since the last tick counts: a process that stood still must not judge by that time. */
  readonly countedMs: (elapsedMs: number, mostMs: number) => number;
  /** Whether a named value replaces another one of its name. */
  readonly isNewerValue: (value: ValueId, held: ValueId) => boolean;
  /** Whether a part belongs to what is pulled, and what was pulled is what was announced. */
  readonly isSameValue: (one: ValueId, other: ValueId) => boolean;
}

export const standardRules: SwimRules = {
  supersedes: (claim, held) =>
    claim.incarnation > held.incarnation || (claim.incarnation === held.incarnation && stateRanks[claim.state] > stateRanks[held.state]),
  refutation: (own, claimed) => Math.max(own, claimed) + 1,
  verdictOfProbe: () => "suspect",
  // Somebody on the other side of a healed partition holds us for dead; the member gets the time of a suspicion to answer.
  stateFromSync: (state) => (state === "dead" ? "suspect" : state),
  stateOfLeave: () => "left",
  comesBack: (claim, tombstone) => claim.incarnation > tombstone.incarnation,
  retransmitLimit: (mult, memberCount) => mult * Math.ceil(Math.log2(memberCount + 1)),
  dropsReplay: (isSeen) => isSeen,
  indirectProbes: (configured) => configured,
  countsAsConfirmation: (from, confirmers) => !confirmers.has(from),
  // Lifeguard: from max to min with the logarithm of the confirmations, so that the first ones count most.
  suspicionMs: (minMs, maxMs, confirmed, wanted) =>
    wanted <= 0 ? minMs : Math.max(minMs, maxMs - ((maxMs - minMs) * Math.log(confirmed + 1)) / Math.log(wanted + 1)),
  countedMs: (elapsedMs, mostMs) => Math.min(Math.max(elapsedMs, 0), mostMs),
  // Of two writers' values of one version any may win, if it is the same one everywhere: the greater hash.
  isNewerValue: (value, held) => value.version > held.version || (value.version === held.version && value.hash > held.hash),
  isSameValue: (one, other) => one.version === other.version && one.hash === other.hash,
};
