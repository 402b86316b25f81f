/**
 * One seed of Raft, from the drawn plan to the verdict: trouble, then calm, then the questions.
 *
 *   trouble: clients work, the nemesis torments          every fact goes to the checkers at once
 *   calm:    all faults end; within a bound every group has a leader and the wanted voters, takes a write, and all replicas are equal
 *   verdict: the history of every group is linearizable; nothing acknowledged is missing from it
 */
import type { RaftRules } from "raft-ts";

import { checkLinearizable, registerModel, withoutUnseen } from "../../linearizability/index.ts";
import { Simulation } from "../engine/simulation.ts";
import type { RunOptions, RunOutcome } from "../family.ts";
import { SafetyViolation } from "../violation.ts";
import { BareCluster } from "./bare-cluster.ts";
import { Nemesis } from "../nemesis.ts";
import { runLeaseTrial } from "./lease-trial.ts";
import { Clients } from "./raft-clients.ts";
import { drawRaftPlan } from "./raft-plan.ts";
import type { RaftPlan } from "./raft-plan.ts";

const calmStepUs = 500_000;

/** `rules`: wrong ones, to prove that it is noticed. */
export function runBareRaft(seed: number, options: RunOptions, rules: RaftRules | null): RunOutcome {
  const sim = new Simulation(options.trace === null ? { seed } : { seed, trace: options.trace });
  const plan = drawRaftPlan(sim.random.fork("plan"));
  const cluster = new BareCluster(sim, { ...plan, rules });
  const clients = cluster.checkers.map(
    (_checker, group) =>
      new Clients(sim, sim.random.fork(`clients ${group}`), cluster.service(group), {
        clientCount: plan.clientsPerGroup,
        thinkMeanUs: plan.thinkMeanUs,
        timeoutUs: plan.timeoutUs,
      }),
  );
  const nemesis = new Nemesis(sim, sim.random.fork("nemesis"), cluster, plan);
  let violation: Error | null = null;
  try {
    sim.runSync(plan.troubleUs);
    nemesis.calm();
    sim.note(0, "calm");
    demandProgress(sim, plan, cluster, clients);
    if (plan.options.readMode === "lease") runLeaseTrial(sim, cluster, sim.random.fork("trial"), plan.skewMax);
    for (const [group, own] of clients.entries()) judge(group, own, cluster);
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
    checkCount: sum(cluster.checkers.map((checker) => checker.checkCount)),
    operationCount: sum(clients.map((own) => own.answeredCount)),
    faultCount: sum(nemesis.counts.values()),
    violation,
  };
}

/** Without faults every group answers, and its replicas become equal. */
function demandProgress(sim: Simulation, plan: RaftPlan, cluster: BareCluster, clients: readonly Clients[]): void {
  let open = 0;
  for (const own of clients) {
    own.stop();
    const asked = own.recentKeys();
    open += asked.length + 1;
    own.insist({ kind: "write", key: "k65535", value: own.nextValue() }, () => open--);
    for (const key of asked) own.insist({ kind: "read", key }, () => open--);
  }
  const endUs = sim.nowUs + plan.calmUs;
  let missing: string | null = "nothing was looked at";
  while (sim.nowUs < endUs && missing !== null) {
    sim.runSync(sim.nowUs + calmStepUs);
    missing = open > 0 ? `${open} operations have no answer` : cluster.discord();
  }
  if (missing !== null) throw new SafetyViolation("progress", `${plan.calmUs / 1e6} s after the last fault: ${missing}`);
}

function judge(group: number, clients: Clients, cluster: BareCluster): void {
  for (const [operation, { index, term }] of clients.placeOf)
    if (cluster.checkers[group]?.wasCommitted(index, term) === false) clients.history.forget(operation);
  const verdict = checkLinearizable(registerModel, withoutUnseen(clients.history.operations), { turnsMax: 2_000_000 });
  if (verdict.kind === "linearizable") return;
  if (verdict.kind === "unknown")
    throw new SafetyViolation("search", `group ${group}: gave up on ${verdict.object} after ${verdict.turns} turns`);
  const shown = [...verdict.placed.slice(-3), ...verdict.stuck].map((operation) => JSON.stringify(operation)).join("\n  ");
  throw new SafetyViolation("linearizability", `group ${group}: no order explains what clients saw of ${verdict.object}:\n  ${shown}`);
}
