/** One seed of Raft on bare cores: the common story of groups (group-run.ts), with a trial for leases where the plan has them. */
import type { RaftRules } from "raft-ts";

import { simulationOf } from "../family.ts";
import type { RunOptions, RunOutcome } from "../family.ts";
import { GroupRun } from "../group-run.ts";
import type { Story } from "../group-run.ts";
import { BareCluster } from "./bare-cluster.ts";
import { leaseTrial } from "./lease-trial.ts";
import { drawRaftPlan } from "./raft-plan.ts";

/** `rules`: wrong ones, to prove that it is noticed. */
export function runBareRaft(seed: number, options: RunOptions, rules: RaftRules | null): RunOutcome {
  const sim = simulationOf(seed, options);
  const plan = drawRaftPlan(sim.random.fork("plan"));
  const cluster = new BareCluster(sim, { ...plan, rules });
  return new GroupRun(sim, plan, cluster).tellSync(function* trial(): Story {
    if (plan.options.readMode === "lease") yield* leaseTrial(sim, cluster, sim.random.fork("trial"), plan.skewMax);
  });
}
