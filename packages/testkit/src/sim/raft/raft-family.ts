/** Raft cores on simulated hosts: fast, thousands of seeds. The driver with its log has a family of its own. */
import { plantedRaftBugs, rulesWithBug } from "raft-ts/testing";

import type { Family, RunOptions, RunOutcome } from "../family.ts";
import { runBareRaft } from "./raft-run.ts";

export const raftFamily: Family = {
  name: "raft",
  about: "Raft cores on simulated hosts: 3 and 5 replicas, 1 to 8 groups, all faults of network, disks and processes",
  planted: Object.keys(plantedRaftBugs),
  run: (seed: number, options: RunOptions): Promise<RunOutcome> =>
    Promise.resolve(runBareRaft(seed, options, options.planted === null ? null : rulesWithBug(options.planted))),
};
