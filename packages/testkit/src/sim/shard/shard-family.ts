/** The shard driver with its group log on simulated disks: fewer seeds than the bare cores, and every await of the real code. */
import { driverRulesWithBug, plantedDriverBugs } from "@cfs/metadata/testing";

import type { Family, RunOptions, RunOutcome } from "../family.ts";
import { runShard } from "./shard-run.ts";

/** Wrong, and yet without a consequence that a client or a crash could show in this driver; docs/internals/simulation.md says why. */
const withoutConsequence: ReadonlySet<string> = new Set(["takeEntryWithoutPayload", "countPayloadBeforeDurable"]);

export const shardFamily: Family = {
  name: "shard",
  about: "MultiRaft drivers over the real group log: power failures, torn writes, failing and full disks, payloads, lost machines",
  planted: Object.keys(plantedDriverBugs).filter((bug) => !withoutConsequence.has(bug)),
  run: (seed: number, options: RunOptions): Promise<RunOutcome> =>
    runShard(seed, options, options.planted === null ? null : driverRulesWithBug(options.planted)),
};
