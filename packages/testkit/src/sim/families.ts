/** Every family there is. */
import { assert } from "@cfs/core";

import type { Family } from "./family.ts";
import { raftFamily } from "./raft/raft-family.ts";
import { shardFamily } from "./shard/shard-family.ts";
import { swimFamily } from "./swim/swim-family.ts";

export const families: readonly Family[] = [raftFamily, shardFamily, swimFamily];

export function familyOf(name: string): Family {
  const family = families.find((other) => other.name === name);
  assert(family !== undefined, `there is a family called ${name}`);
  return family;
}
