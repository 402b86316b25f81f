/** One seed of the shard driver: the common story of groups (group-run.ts), but with promises, real logs and payloads. */
import type { DriverRules } from "@cfs/metadata";

import { simulationOf } from "../family.ts";
import type { RunOptions, RunOutcome } from "../family.ts";
import { GroupRun } from "../group-run.ts";
import type { Story } from "../group-run.ts";
import { pauseTrial } from "./pause-trial.ts";
import { ShardCluster } from "./shard-cluster.ts";
import { drawShardPlan } from "./shard-plan.ts";

/** `rules`: wrong ones, to prove that it is noticed. */
export function runShard(seed: number, options: RunOptions, rules: DriverRules | null): Promise<RunOutcome> {
  const sim = simulationOf(seed, options);
  const plan = drawShardPlan(sim.random.fork("plan"));
  const cluster = new ShardCluster(sim, plan, rules);
  return new GroupRun(sim, plan, cluster).tell(function* trial(): Story {
    if (plan.driver.raft?.readMode === "lease") yield* pauseTrial(sim, cluster);
  });
}
