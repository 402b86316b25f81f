/** One seed of the shard driver: trouble, calm, verdict, as for the bare cores (raft/raft-run.ts), but with promises, real logs and payloads. */
import type { DriverRules } from "@cfs/metadata";

import { checkLinearizable, registerModel, withoutUnseen } from "../../linearizability/index.ts";
import { Simulation } from "../engine/simulation.ts";
import type { RunOptions, RunOutcome } from "../family.ts";
import { Nemesis } from "../nemesis.ts";
import { Clients } from "../raft/raft-clients.ts";
import { SafetyViolation } from "../violation.ts";
import { ShardCluster } from "./shard-cluster.ts";
import { drawShardPlan } from "./shard-plan.ts";

const calmStepUs = 500_000;

export async function runShard(seed: number, options: RunOptions, rules: DriverRules | null): Promise<RunOutcome> {
  const sim = new Simulation(options.trace === null ? { seed } : { seed, trace: options.trace });
  const plan = drawShardPlan(sim.random.fork("plan"));
  const cluster = new ShardCluster(sim, plan, rules);
  const clients = [...cluster.checkers.keys()].map(
    (group) =>
      new Clients(sim, sim.random.fork(`clients ${group}`), cluster.service(group), {
        clientCount: plan.clientsPerGroup,
        thinkMeanUs: plan.thinkMeanUs,
        timeoutUs: plan.timeoutUs,
      }),
  );
  const nemesis = new Nemesis(sim, sim.random.fork("nemesis"), cluster, plan);
  let violation: Error | null = null;
  try {
    await sim.run(plan.troubleUs);
    nemesis.calm();
    sim.note(0, "calm");
    await demandProgress(sim, plan.calmUs, cluster, clients);
    for (const own of clients) judge(own);
  } catch (reason) {
    violation = reason instanceof Error ? reason : new Error(String(reason), { cause: reason });
    sim.note(0, violation.message);
  }
  sim.note(0, "end", sim.queue.runCount, cluster.links.sentCount, cluster.links.lostCount);
  const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0);
  return {
    seed,
    hash: sim.trace.hash,
    simulatedUs: sim.nowUs,
    eventCount: sim.queue.runCount,
    checkCount: sum([...cluster.checkers.values()].map((checker) => checker.checkCount)),
    operationCount: sum(clients.map((own) => own.answeredCount)),
    faultCount: sum(nemesis.counts.values()),
    violation,
  };
}

async function demandProgress(sim: Simulation, calmUs: number, cluster: ShardCluster, clients: readonly Clients[]): Promise<void> {
  let open = 0;
  for (const own of clients) {
    own.stop();
    const asked = own.recentKeys();
    open += asked.length + 1;
    own.insist({ kind: "write", key: "k65535", value: own.nextValue() }, () => open--);
    for (const key of asked) own.insist({ kind: "read", key }, () => open--);
  }
  const endUs = sim.nowUs + calmUs;
  let missing: string | null = "nothing was looked at";
  while (sim.nowUs < endUs && missing !== null) {
    await sim.run(sim.nowUs + calmStepUs);
    missing = open > 0 ? `${open} operations have no answer` : cluster.discord();
  }
  if (missing !== null) throw new SafetyViolation("progress", `${calmUs / 1e6} s after the last fault: ${missing}`);
}

function judge(clients: Clients): void {
  const verdict = checkLinearizable(registerModel, withoutUnseen(clients.history.operations), { turnsMax: 2_000_000 });
  if (verdict.kind === "linearizable") return;
  if (verdict.kind === "unknown") throw new SafetyViolation("search", `gave up on ${verdict.object} after ${verdict.turns} turns`);
  const shown = [...verdict.placed.slice(-3), ...verdict.stuck].map((operation) => JSON.stringify(operation)).join("\n  ");
  throw new SafetyViolation("linearizability", `no order explains what clients saw of ${verdict.object}:\n  ${shown}`);
}
