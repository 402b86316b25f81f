/**
 * A trial for leases, when all is calm: a leader stands still for longer than its lease, and is asked for reads meanwhile. Others are elected and commit.
 *
 * What it finds when it goes on comes in a drawn order: where a question comes before the timer that was due, only a driver that gives the ticks that
 * are due before it answers knows that its lease is over. What is wrong is seen by the checker ("fresh reads").
 */
import type { Simulation } from "../engine/simulation.ts";
import type { Story } from "../group-run.ts";
import type { ShardCluster } from "./shard-cluster.ts";

const stepUs = 200_000;
const pauseUs = 3_000_000;
const roundsCount = 2;

export function* pauseTrial(sim: Simulation, cluster: ShardCluster): Story {
  for (let round = 0; round < roundsCount; round++) {
    const leader = cluster.favourite();
    if (leader !== null) {
      sim.note(leader.id, "stands still while it is asked for reads");
      leader.process.pause();
      for (const endUs = sim.nowUs + pauseUs; sim.nowUs < endUs;) {
        for (const [group] of cluster.checkers) askAll(cluster, group, leader.id, sim.nowUs);
        yield sim.nowUs + stepUs;
      }
      leader.process.resume();
    }
    yield sim.nowUs + pauseUs;
  }
}

function askAll(cluster: ShardCluster, group: number, paused: number, value: number): void {
  const { nodes, request } = cluster.service(group);
  for (const id of nodes()) {
    const input = id === paused ? ({ kind: "read", key: "trial" } as const) : ({ kind: "write", key: "trial", value } as const);
    request(
      id,
      input,
      () => {},
      () => {},
    );
  }
}
