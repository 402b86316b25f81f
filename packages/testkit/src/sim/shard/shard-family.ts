/** The shard driver with its group log on simulated disks: fewer seeds than the bare cores, and every await of the real code. */
import { driverRulesWithBug, plantedDriverBugs } from "@cfs/metadata/testing";

import type { Family, RunOptions, RunOutcome } from "../family.ts";
import { runShard } from "./shard-run.ts";

export const shardFamily: Family = {
  name: "shard",
  about: "MultiRaft drivers over the real group log: power failures, torn writes, failing and full disks, payloads, lost machines",
  planted: Object.keys(plantedDriverBugs),
  run: (seed: number, options: RunOptions): Promise<RunOutcome> =>
    runShard(seed, options, options.planted === null ? null : driverRulesWithBug(options.planted)),
};
