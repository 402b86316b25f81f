/** Membership: the real agents on simulated clocks and packet networks. */
import { plantedSwimBugs } from "@cfs/membership/testing";

import type { Family, RunOptions, RunOutcome } from "../family.ts";
import { runSwim } from "./swim-run.ts";

export const swimFamily: Family = {
  name: "swim",
  about: "SWIM agents, 3 to 20 of them: loss, partitions, pauses, crashes, goodbyes, key rotation, replayed and damaged packets",
  planted: Object.keys(plantedSwimBugs),
  run: (seed: number, options: RunOptions): Promise<RunOutcome> =>
    Promise.resolve(runSwim(seed, options, options.planted === null ? null : (plantedSwimBugs[options.planted]?.rules ?? null))),
};
