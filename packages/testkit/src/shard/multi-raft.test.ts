/** The multi-group driver on three nodes in one process: what callers see, what is durable, what survives crashes. */
import { expect, test } from "vitest";
import { ShardBed } from "./shard-bed.ts";

const text = (value: string): Uint8Array => Buffer.from(value);

test("a command is applied on every node, and its caller gets the result", async () => {
  const bed = await ShardBed.start();
  await bed.createGroup(1);
  const leader = bed.node(await bed.elect(1));
  const first = leader.up.propose(1, text("a=1"));
  const second = leader.up.propose(1, text("a=2"));
  await bed.settle();
  expect((await first).result).toBe("");
  expect((await second).result).toBe("1");
  await bed.ticks(2);
  for (const node of bed.nodes) expect(node.machines.get(1)?.registers.get("a")).toBe("2");
  await bed.closeAll();
});
