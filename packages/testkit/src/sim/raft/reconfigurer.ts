/**
 * The operator of a simulated cluster: brings every group to the wanted set of voters, by one way or another.
 *
 * Ways: one voter at a time, learners first, or everything in one joint change that is left by itself or by order. A voter goes only when its
 * substitute is in, so that the loss of one disk never costs the quorum.
 */
import type { Configuration, ConfigurationChange, ConfigurationStep, NodeId, RaftStatus } from "raft-ts";

import type { SimRandom } from "../engine/sim-random.ts";

/** True when `status`, of a leader, shows exactly the wanted voters, and that this is committed. */
export function isSettled(status: RaftStatus, wanted: ReadonlySet<NodeId>): boolean {
  const { voters, votersOutgoing, learners, learnersNext } = status.configuration;
  return (
    voters.length === wanted.size &&
    voters.every((node) => wanted.has(node)) &&
    votersOutgoing.length + learners.length + learnersNext.length === 0 &&
    status.commit === status.lastIndex
  );
}

/** The next change on the way to the wanted voters, or null when there is none to ask for. */
export function nextChange(configuration: Configuration, wanted: ReadonlySet<NodeId>, random: SimRandom): ConfigurationChange | null {
  const { voters, votersOutgoing, learners } = configuration;
  if (votersOutgoing.length > 0) return configuration.autoLeave ? null : { type: "leaveJoint" };
  const adds = [...wanted].filter((node) => !voters.includes(node));
  const removes = [...voters, ...learners].filter((node) => !wanted.has(node));
  if (adds.length + removes.length === 0) return null;
  const change = (steps: readonly ConfigurationStep[], transition: "auto" | "joint" | "explicit"): ConfigurationChange => ({
    type: "change",
    steps,
    transition,
  });
  const add = (node: NodeId): ConfigurationStep => ({ type: "addVoter", node });
  const remove = (node: NodeId): ConfigurationStep => ({ type: "remove", node });
  if (random.chance(0.4)) return change([...adds.map(add), ...removes.map(remove)], random.pick(["auto", "joint", "explicit"]));
  const strangers = adds.filter((node) => !learners.includes(node));
  if (strangers.length > 0 && random.chance(0.5))
    return change(
      strangers.map((node) => ({ type: "addLearner", node })),
      "auto",
    );
  const [nextAdd] = adds;
  if (nextAdd !== undefined) return change([add(nextAdd)], "auto");
  return change([remove(removes[0] as NodeId)], "auto");
}
