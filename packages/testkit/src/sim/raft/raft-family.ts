/** Raft cores on simulated hosts: fast, thousands of seeds. The driver with its log has a family of its own. */
import { assert } from "@cfs/core";
import { standardRules } from "raft-ts";
import type { RaftRules } from "raft-ts";
import { plantedRaftBugs } from "raft-ts/testing";

import type { Family, RunOptions, RunOutcome } from "../family.ts";
import { runBareRaft } from "./raft-run.ts";

function rulesOf(planted: string | null): RaftRules | null {
  if (planted === null) return null;
  const wrong = plantedRaftBugs[planted];
  assert(wrong !== undefined, `there is a planted bug called ${planted}`);
  return { ...standardRules, ...wrong };
}

export const raftFamily: Family = {
  name: "raft",
  about: "Raft cores on simulated hosts: 3 and 5 replicas, 1 to 8 groups, all faults of network, disks and processes",
  planted: Object.keys(plantedRaftBugs),
  run: (seed: number, options: RunOptions): Promise<RunOutcome> => Promise.resolve(runBareRaft(seed, options, rulesOf(options.planted))),
};
