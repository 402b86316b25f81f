/**
 * One seed of membership: trouble, then calm in which all views become the truth, then trials whose outcome is certain.
 *
 * A detection bound is part of the truth: whoever was killed in the trouble and whoever came back must be known as such within `agreementUs`.
 */
import type { SwimRules } from "@cfs/membership";

import { simulationOf } from "../family.ts";
import type { RunOptions, RunOutcome } from "../family.ts";
import { Nemesis } from "../nemesis.ts";
import { SwimChecker } from "./swim-checker.ts";
import { SwimCluster } from "./swim-cluster.ts";
import { drawSwimPlan } from "./swim-plan.ts";
import { demandAgreement, runTrial } from "./swim-trials.ts";

/** Three probe intervals of half a second, less a tick. */
const shortestSuspicionMs = 1_400;

export function runSwim(seed: number, options: RunOptions, rules: SwimRules | null): RunOutcome {
  const sim = simulationOf(seed, options);
  const plan = drawSwimPlan(sim.random.fork("plan"));
  const checker = new SwimChecker(shortestSuspicionMs);
  const cluster = new SwimCluster(sim, plan, checker, rules);
  const nemesis = new Nemesis(sim, sim.random.fork("nemesis"), cluster, plan);
  const court = { sim, random: sim.random.fork("trials"), cluster, checker };
  let violation: Error | null = null;
  try {
    sim.runSync(plan.troubleUs);
    nemesis.calm();
    sim.note(0, "calm");
    demandAgreement(court, "the last fault", plan.calmUs);
    // Suspicions and updates of before come to their end.
    sim.runSync(sim.nowUs + 20e6);
    for (const trial of plan.trials) {
      demandAgreement(court, "the trial before");
      runTrial(trial, court);
    }
  } catch (reason) {
    violation = reason instanceof Error ? reason : new Error(String(reason), { cause: reason });
    sim.note(0, violation.message);
  }
  const { sentCount, lostCount } = cluster.links;
  sim.note(0, "end", sim.queue.runCount, sentCount, lostCount);
  return {
    seed,
    hash: sim.trace.hash,
    simulatedUs: sim.nowUs,
    eventCount: sim.queue.runCount,
    checkCount: checker.checkCount,
    operationCount: sentCount,
    faultCount: [...nemesis.counts.values()].reduce((total, count) => total + count, 0),
    violation,
  };
}
