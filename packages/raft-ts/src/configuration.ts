/**
 * Who belongs to a group, in which role.
 *
 * A configuration is simple (one set of voters) or joint (two sets of voters; every decision needs a majority of both).
 * Source: thesis, chapter 4: single-server changes in 4.1, learners ("non-voting members") in 4.2.1, joint consensus in 4.3.
 */
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
