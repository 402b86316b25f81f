/** A leader that stood still for longer than its lease, asked for a read before anybody tells it that there is another one. */
import { assert } from "@cfs/core";
import { expect, test } from "vitest";

import { calmNetwork } from "../engine/sim-network.ts";
import { SimRandom } from "../engine/sim-random.ts";
import { Simulation } from "../engine/simulation.ts";
import type { Answer } from "../raft/raft-clients.ts";
import { ShardCluster } from "./shard-cluster.ts";
import { drawShardPlan } from "./shard-plan.ts";

test("it has the ticks of that time before it answers, and does not answer by a lease that is over", async () => {
  const sim = new Simulation({ seed: 1 });
  const drawn = drawShardPlan(new SimRandom(1));
  const raft = { readMode: "lease", checkQuorum: true, electionTicks: 10 } as const;
  const cluster = new ShardCluster(
    sim,
    { ...drawn, nodeCount: 3, groupCount: 1, driver: { raft, quiesceTicks: 0 }, network: calmNetwork },
    null,
  );
  await sim.run(8e6);
  const leader = cluster.favourite();
  assert(leader !== null, "calm nodes have a leader");
  const { nodes, request } = cluster.service(1);
  const heard: Answer[] = [];
  const ask = (node: number, value: number | null): void =>
    request(
      node,
      value === null ? { kind: "read", key: "k0" } : { kind: "write", key: "k0", value },
      (answer) => heard.push(answer),
      () => {},
    );
  ask(leader.id, 1);
  await sim.run(sim.nowUs + 1e6);
  ask(leader.id, null);
  await sim.run(sim.nowUs + 1e6);
  expect(heard).toEqual([{ output: { kind: "done" } }, { output: { kind: "value", value: 1 } }]);

  leader.process.pause();
  ask(leader.id, null);
  await sim.run(sim.nowUs + 5e6);
  for (const node of nodes()) if (node !== leader.id) ask(node, 2);
  await sim.run(sim.nowUs + 1e6);
  expect(heard).toContainEqual({ output: { kind: "done" } });
  heard.length = 0;
  leader.process.resume();
  // The checker ("fresh reads") would end the run at a stale answer.
  await sim.run(sim.nowUs + 3e6);
  expect(heard).not.toContainEqual({ output: { kind: "value", value: 1 } });
});
