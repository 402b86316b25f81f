/**
 * A trial for leases, when all is calm: the leader is cut off from everybody or from one, its clock slow and the others' fast, and it is asked for reads
 * all the time. Somebody else may be elected; from the moment that they have committed anything, an old answer is wrong.
 *
 * Random faults hardly ever hit this: the window is a few ticks wide, and a read must fall into it.
 */
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import type { Story } from "../group-run.ts";
import type { BareCluster } from "./bare-cluster.ts";

const stepUs = 5_000;
const trialUs = 3_000_000;

export function* leaseTrial(sim: Simulation, cluster: BareCluster, random: SimRandom, skew: number): Story {
  const old = cluster.leaderOf(0);
  if (old === null) return;
  sim.note(old.machine.id, "is asked for reads while it is cut off");
  const others = random.shuffled(cluster.machines().filter((machine) => machine.id !== old.machine.id));
  const unreached = random.chance(0.5) ? others : others.slice(0, 1);
  for (const machine of others) machine.setClockRate(1 + skew);
  old.machine.setClockRate(1 - skew);
  for (const { id } of unreached) {
    cluster.links.cut(id, old.machine.id);
    cluster.links.cut(old.machine.id, id);
  }
  for (const endUs = sim.nowUs + trialUs; sim.nowUs < endUs;) {
    yield sim.nowUs + stepUs;
    // By the node's door, where a host gives the ticks that are due. What comes back is looked at by the checker ("fresh reads").
    old.node.call(0, (replica) => replica.read("k0", () => {}));
  }
  cluster.links.calm();
  for (const machine of cluster.machines()) machine.setClockRate(1);
}
