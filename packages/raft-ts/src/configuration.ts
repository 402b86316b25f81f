/**
 * Who belongs to a group, in which role.
 *
 * A configuration is simple (one set of voters) or joint (two sets of voters; every decision needs a majority of both).
 * Source: thesis, chapter 4: single-server changes in 4.1, learners ("non-voting members") in 4.2.1, joint consensus in 4.3.
 */
import { assert } from "@cfs/core";
import type { NodeId } from "./entry.ts";

export interface Configuration {
  /** Voters; while joint, those of the configuration that is coming. */
  readonly voters: readonly NodeId[];
  /** Voters of the configuration that is going; empty unless joint. */
  readonly votersOutgoing: readonly NodeId[];
  /** Get the log, count for nothing. Never voters at the same time. */
  readonly learners: readonly NodeId[];
  /** Voters of the outgoing set that become learners when the joint configuration is left. */
  readonly learnersNext: readonly NodeId[];
  /** The leader leaves the joint configuration by itself as soon as it is committed. */
  readonly autoLeave: boolean;
}

/** `addVoter` also promotes a learner; `addLearner` also demotes a voter. */
export interface ConfigurationStep {
  readonly type: "addVoter" | "addLearner" | "remove";
  readonly node: NodeId;
}

/**
 * `auto`: simple when at most one voter changes, else joint with auto-leave. `joint`: joint, and left by itself. `explicit`: joint, and left by
 * `leaveJoint` only.
 */
export type ConfigurationChange =
  | { readonly type: "change"; readonly steps: readonly ConfigurationStep[]; readonly transition: "auto" | "joint" | "explicit" }
  | { readonly type: "leaveJoint" };

export const emptyConfiguration: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** Members of one group, voters and learners together. Raft is for small groups: each message goes to each of them. */
export const membersMax = 64;

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** Whether the node's vote counts, in either set. */
export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node) || configuration.votersOutgoing.includes(node);
}

/** Everybody who gets the log, each once. */
export function membersOf(configuration: Configuration): readonly NodeId[] {
  return [...new Set([...configuration.voters, ...configuration.votersOutgoing, ...configuration.learners])];
}

function isNodeId(node: NodeId): boolean {
  return Number.isSafeInteger(node) && node >= 1;
}

/** The rules that every configuration keeps, also one from the wire. */
export function isSound(configuration: Configuration): boolean {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  const isSet = (nodes: readonly NodeId[]): boolean => nodes.every(isNodeId) && new Set(nodes).size === nodes.length;
  return (
    [voters, votersOutgoing, learners, learnersNext].every(isSet) &&
    membersOf(configuration).length <= membersMax &&
    !learners.some((node) => isVoter(configuration, node)) &&
    learnersNext.every((node) => votersOutgoing.includes(node) && !voters.includes(node)) &&
    (votersOutgoing.length > 0 || !autoLeave)
  );
}

interface Draft {
  readonly voters: Set<NodeId>;
  readonly learners: Set<NodeId>;
}

function applyStep(draft: Draft, { type, node }: ConfigurationStep): void {
  draft.voters.delete(node);
  draft.learners.delete(node);
  if (type === "addVoter") draft.voters.add(node);
  if (type === "addLearner") draft.learners.add(node);
}

function difference(left: ReadonlySet<NodeId>, right: ReadonlySet<NodeId>): number {
  return [...left].filter((node) => !right.has(node)).length;
}

/**
 * The configuration after a change, or null when it makes no sense: a change while joint (or `leaveJoint` while not), nodes named twice or out of
 * range, no steps, nobody left to vote, too many members.
 */
export function applyChange(configuration: Configuration, change: ConfigurationChange): Configuration | null {
  if (change.type === "leaveJoint") return isJoint(configuration) ? leaveJoint(configuration) : null;
  const { steps, transition } = change;
  if (isJoint(configuration) || steps.length === 0 || !steps.every(({ node }) => isNodeId(node))) return null;
  if (new Set(steps.map(({ node }) => node)).size !== steps.length) return null;
  const before = new Set(configuration.voters);
  const draft: Draft = { voters: new Set(before), learners: new Set(configuration.learners) };
  for (const step of steps) applyStep(draft, step);
  if (draft.voters.size === 0) return null;
  const changed = difference(before, draft.voters) + difference(draft.voters, before);
  const isSimple = transition === "auto" && changed <= 1;
  const next = isSimple ? simple(draft) : joint(configuration, draft, transition !== "explicit");
  return isSound(next) ? next : null;
}

function simple({ voters, learners }: Draft): Configuration {
  return { ...emptyConfiguration, voters: [...voters], learners: [...learners] };
}

/** A voter that becomes a learner stays an outgoing voter until the joint configuration is left: nobody is both. */
function joint(before: Configuration, draft: Draft, autoLeave: boolean): Configuration {
  const isOutgoing = (node: NodeId): boolean => before.voters.includes(node);
  return {
    voters: [...draft.voters],
    votersOutgoing: before.voters,
    learners: [...draft.learners].filter((node) => !isOutgoing(node)),
    learnersNext: [...draft.learners].filter(isOutgoing),
    autoLeave,
  };
}

export function leaveJoint(joined: Configuration): Configuration {
  assert(isJoint(joined), "only a joint configuration is left");
  const { voters, learners, learnersNext } = joined;
  return { ...emptyConfiguration, voters, learners: [...learners, ...learnersNext] };
}
