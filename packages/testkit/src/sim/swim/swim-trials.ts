/**
 * Trials at the end of a run: the network is calm, the views are equal, and one fault is placed by hand whose outcome is certain.
 *
 *   brokenLink     two nodes do not reach each other: the others help, nobody is suspected
 *   split          two halves, healed after half a minute: nobody is declared dead any more, the views become equal
 *   pauseAndDeath  one is cut off, stands still, and another dies meanwhile: on return it blames nobody, and does not bring the dead one back
 *   goodbye        one leaves: all see it leave, none sees it fail
 *   silence        nothing happens: nobody is suspected, and the queues of updates run dry
 */
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import { SafetyViolation } from "../violation.ts";
import type { SwimChecker } from "./swim-checker.ts";
import type { SwimCluster } from "./swim-cluster.ts";
import type { SwimNode } from "./swim-node.ts";
import type { Trial } from "./swim-plan.ts";

/** Views become equal within this: the slowest way is a comparison of tables, every 15 s, after a greeting, every 5 s. */
export const agreementUs = 90e6;
const stepUs = 500_000;

export interface Court {
  readonly sim: Simulation;
  readonly random: SimRandom;
  readonly cluster: SwimCluster;
  readonly checker: SwimChecker;
}

/** Runs until the views are the truth, or breaks a promise. */
export function demandAgreement({ sim, cluster }: Court, why: string, withinUs: number = agreementUs): void {
  const endUs = sim.nowUs + withinUs;
  let discord: string | null = "nothing was looked at";
  while (discord !== null && sim.nowUs < endUs) {
    sim.runSync(sim.nowUs + stepUs);
    discord = cluster.discord();
  }
  if (discord !== null) throw new SafetyViolation("equal views", `${withinUs / 1e6} s after ${why}: ${discord}`);
}

export function runTrial(trial: Trial, court: Court): void {
  court.sim.note(0, "trial", trial);
  const running = court.random.shuffled(court.cluster.running);
  if (running.length >= 4) trialOf[trial](court, running);
  court.checker.ban = null;
}

const trialOf: Readonly<Record<Trial, (court: Court, nodes: readonly SwimNode[]) => void>> = {
  brokenLink({ sim, cluster, checker }, [one, other]) {
    const [from, to] = [(one as SwimNode).id, (other as SwimNode).id];
    checker.ban = { types: ["suspected", "failed"], about: () => true, why: "no suspicion by one link" };
    cluster.links.cut(from, to);
    cluster.links.cut(to, from);
    sim.runSync(sim.nowUs + 20e6);
    cluster.links.repair(from, to);
    cluster.links.repair(to, from);
  },

  split(court, nodes) {
    const { sim, cluster, checker } = court;
    const half = Math.ceil(nodes.length / 2);
    const pairs = nodes.slice(0, half).flatMap((one) => nodes.slice(half).map((other) => [one.id, other.id] as const));
    for (const [from, to] of pairs) {
      cluster.links.cut(from, to);
      cluster.links.cut(to, from);
    }
    sim.runSync(sim.nowUs + 40e6);
    for (const [from, to] of pairs) {
      cluster.links.repair(from, to);
      cluster.links.repair(to, from);
    }
    checker.ban = { types: ["failed"], about: () => true, why: "no death by hearsay" };
    demandAgreement(court, "a partition healed");
    sim.runSync(sim.nowUs + 10e6);
  },

  pauseAndDeath(court, [sleeper, victim]) {
    const { sim, cluster, checker } = court;
    const [late, dead] = [sleeper as SwimNode, victim as SwimNode];
    // Cut off first, so that it suspects the others: that suspicion must not grow old while it stands still.
    const others = cluster.running.filter((node) => node !== late);
    for (const { id } of others) cluster.links.cut(id, late.id);
    sim.runSync(sim.nowUs + 2.5e6);
    late.process.pause();
    for (const { id } of others) cluster.links.repair(id, late.id);
    cluster.kill(dead);
    sim.runSync(sim.nowUs + 40e6);
    checker.ban = {
      types: ["failed", "joined"],
      about: (_observer, subject) => subject !== late.name && (subject !== dead.name || _observer !== late.name),
      why: "no verdict after standing still",
    };
    late.process.resume();
    demandAgreement(court, "one that stood still went on");
    sim.runSync(sim.nowUs + 10e6);
  },

  goodbye(court, [leaver]) {
    const { sim, cluster, checker } = court;
    const gone = leaver as SwimNode;
    checker.ban = { types: ["failed"], about: () => true, why: "leave is not failure" };
    cluster.goodbye(gone);
    demandAgreement(court, "a goodbye", 20e6);
    for (const { name, agent } of cluster.running) {
      const state = agent?.member(gone.name)?.state;
      if (state !== "left")
        throw new SafetyViolation("leave is not failure", `${name} sees ${gone.name}, which left, as ${state ?? "unknown"}`);
    }
    sim.runSync(sim.nowUs + 20e6);
  },

  silence({ sim, cluster, checker }) {
    checker.ban = { types: ["suspected", "failed"], about: () => true, why: "no false alarm" };
    sim.runSync(sim.nowUs + 30e6);
    for (const { name, agent } of cluster.running) {
      const queued = agent?.status().queued ?? 0;
      if (queued > 0) throw new SafetyViolation("gossip ends", `${name} still has ${queued} updates to send`);
    }
  },
};
