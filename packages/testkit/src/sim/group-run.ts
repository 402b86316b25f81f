/**
 * One seed of a cluster of Raft groups, bare cores and drivers alike: trouble, then calm, then trials, then the verdict.
 *
 *   trouble: clients work, the nemesis torments          every fact goes to the checkers at once
 *   calm:    all faults end; within a bound every group has a leader and the wanted voters, takes a write, and all replicas are equal
 *   trial:   faults placed by hand whose outcome is certain
 *   verdict: the history of every group is linearizable; nothing acknowledged is missing from it
 *
 * The story is told by generators that yield up to when the simulation is to run: pure cores run without promises, drivers with them.
 */
import { checkLinearizable, registerModel, withoutUnseen } from "../linearizability/index.ts";
import type { Simulation } from "./engine/simulation.ts";
import type { RunOutcome } from "./family.ts";
import { Nemesis } from "./nemesis.ts";
import type { NemesisOptions, Patient } from "./nemesis.ts";
import { Clients } from "./raft/raft-clients.ts";
import type { Service } from "./raft/raft-clients.ts";
import type { RaftChecker } from "./raft/raft-checker.ts";
import { SafetyViolation } from "./violation.ts";

/** Simulated time, µs, up to which to run next. */
export type Story = Generator<number, void>;

/** The part of a plan that all clusters of groups have. */
export interface GroupPlan extends NemesisOptions {
  readonly clientsPerGroup: number;
  readonly thinkMeanUs: number;
  /** How long a client waits for an answer. */
  readonly timeoutUs: number;
  /** Of simulated time with faults. */
  readonly troubleUs: number;
  /** After it, without faults, everything must be well again within this. */
  readonly calmUs: number;
}

export interface GroupCluster extends Patient {
  readonly links: Patient["links"] & { readonly sentCount: number; readonly lostCount: number };
  /** By number of the group. */
  readonly checkers: { entries(): Iterable<[number, RaftChecker]> };
  service(group: number): Service;
  /** What is missing for all wanted replicas of every group to be equal; null when nothing is. */
  discord(): string | null;
}

const calmStepUs = 500_000;

export class GroupRun {
  readonly #sim: Simulation;
  readonly #plan: GroupPlan;
  readonly #cluster: GroupCluster;
  readonly #nemesis: Nemesis;
  readonly #clients: Map<number, Clients> = new Map();

  constructor(sim: Simulation, plan: GroupPlan, cluster: GroupCluster) {
    this.#sim = sim;
    this.#plan = plan;
    this.#cluster = cluster;
    for (const [group] of cluster.checkers.entries()) {
      const { clientsPerGroup, thinkMeanUs, timeoutUs } = plan;
      const options = { clientCount: clientsPerGroup, thinkMeanUs, timeoutUs };
      this.#clients.set(group, new Clients(sim, sim.random.fork(`clients ${group}`), cluster.service(group), options));
    }
    this.#nemesis = new Nemesis(sim, sim.random.fork("nemesis"), cluster, plan);
  }

  /** For worlds of pure cores. */
  tellSync(trial: () => Story): RunOutcome {
    try {
      for (const untilUs of this.#story(trial)) this.#sim.runSync(untilUs);
    } catch (reason) {
      return this.#outcome(reason);
    }
    return this.#outcome(null);
  }

  /** For real drivers. */
  async tell(trial: () => Story): Promise<RunOutcome> {
    try {
      for (const untilUs of this.#story(trial)) await this.#sim.run(untilUs);
    } catch (reason) {
      return this.#outcome(reason);
    }
    return this.#outcome(null);
  }

  *#story(trial: () => Story): Story {
    yield this.#plan.troubleUs;
    this.#nemesis.calm();
    this.#sim.note(0, "calm");
    yield* this.#demandProgress();
    yield* trial();
    for (const [group, checker] of this.#cluster.checkers.entries()) judge(group, this.#clients.get(group) as Clients, checker);
  }

  /** Without faults every group answers, and its replicas become equal. */
  *#demandProgress(): Story {
    let open = 0;
    for (const own of this.#clients.values()) {
      own.stop();
      const asked = own.recentKeys();
      open += asked.length + 1;
      own.insist({ kind: "write", key: "k65535", value: own.nextValue() }, () => open--);
      for (const key of asked) own.insist({ kind: "read", key }, () => open--);
    }
    const { calmUs } = this.#plan;
    const endUs = this.#sim.nowUs + calmUs;
    let missing: string | null = "nothing was looked at";
    while (this.#sim.nowUs < endUs && missing !== null) {
      yield this.#sim.nowUs + calmStepUs;
      missing = open > 0 ? `${open} operations have no answer` : this.#cluster.discord();
    }
    if (missing !== null) throw new SafetyViolation("progress", `${calmUs / 1e6} s after the last fault: ${missing}`);
  }

  /** `reason`: what ended the story early, or null. */
  #outcome(reason: unknown): RunOutcome {
    const sim = this.#sim;
    const violation = reason === null || reason instanceof Error ? reason : new Error(String(reason), { cause: reason });
    if (violation !== null) sim.note(0, violation.message);
    const { links, checkers } = this.#cluster;
    sim.note(0, "end", sim.queue.runCount, links.sentCount, links.lostCount);
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
    return {
      seed: sim.seed,
      hash: sim.trace.hash,
      simulatedUs: sim.nowUs,
      eventCount: sim.queue.runCount,
      checkCount: sum([...checkers.entries()].map(([, { checkCount }]) => checkCount)),
      operationCount: sum([...this.#clients.values()].map(({ answeredCount }) => answeredCount)),
      faultCount: sum([...this.#nemesis.counts.values()]),
      violation,
    };
  }
}

function judge(group: number, clients: Clients, checker: RaftChecker): void {
  for (const [operation, { index, term }] of clients.placeOf)
    if (checker.wasCommitted(index, term) === false) clients.history.forget(operation);
  const verdict = checkLinearizable(registerModel, withoutUnseen(clients.history.operations), { turnsMax: 2_000_000 });
  if (verdict.kind === "linearizable") return;
  if (verdict.kind === "unknown")
    throw new SafetyViolation("search", `group ${group}: gave up on ${verdict.object} after ${verdict.turns} turns`);
  const shown = [...verdict.placed.slice(-3), ...verdict.stuck].map((operation) => JSON.stringify(operation)).join("\n  ");
  throw new SafetyViolation("linearizability", `group ${group}: no order explains what clients saw of ${verdict.object}:\n  ${shown}`);
}
