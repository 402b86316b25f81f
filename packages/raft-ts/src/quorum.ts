/**
 * Majorities, of one set of voters and of two.
 *
 * Invariant: any two quorums of one configuration share a voter; a joint quorum holds a majority of both sets (thesis, sections 3.6.2 and 4.3).
 * A set without voters agrees to everything, so that a simple configuration is a joint one with an empty outgoing set.
 */
import { assert } from "@cfs/core";
import { type Configuration, membersMax } from "./configuration.ts";
import type { NodeId } from "./entry.ts";

/** The smallest number of voters that is more than half. */
export function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

const scratch: number[] = [];

/** The largest value that a majority has reached. Infinity when there are no voters. */
export function majorityIndex(voters: readonly NodeId[], indexOf: (node: NodeId) => number): number {
  const count = voters.length;
  if (count === 0) return Infinity;
  assert(count <= membersMax, "there are not too many voters");
  // Insertion sort, falling: there are hardly ever more than seven voters.
  for (let at = 0; at < count; at++) {
    const value = indexOf(voters[at] as NodeId);
    let place = at;
    for (; place > 0 && (scratch[place - 1] as number) < value; place--) scratch[place] = scratch[place - 1] as number;
    scratch[place] = value;
  }
  return scratch[majorityOf(count) - 1] as number;
}

/** The largest value that every decision of the configuration may rely on. */
export function quorumIndex(configuration: Configuration, indexOf: (node: NodeId) => number): number {
  const incoming = majorityIndex(configuration.voters, indexOf);
  return configuration.votersOutgoing.length === 0 ? incoming : Math.min(incoming, majorityIndex(configuration.votersOutgoing, indexOf));
}

export function hasMajority(voters: readonly NodeId[], agrees: (node: NodeId) => boolean): boolean {
  let count = 0;
  for (const node of voters) if (agrees(node)) count++;
  return voters.length === 0 || count >= majorityOf(voters.length);
}

export function hasQuorum(configuration: Configuration, agrees: (node: NodeId) => boolean): boolean {
  return hasMajority(configuration.voters, agrees) && hasMajority(configuration.votersOutgoing, agrees);
}
