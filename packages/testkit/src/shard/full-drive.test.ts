/** Drives without room under the multi-group driver: it waits, says so, breaks nothing, and helps itself where old files can go. */
import { FaultyIo } from "@cfs/storage";
import type { Io } from "@cfs/storage";
import { expect, test } from "vitest";
import { ShardBed, text, watched } from "./shard-bed.ts";
import type { ShardNode } from "./shard-bed.ts";
import type { TestMachine } from "./test-machine.ts";

test("a full drive makes its node wait, say so and refuse, and breaks nothing; a driver that waits can be closed", async () => {
  const faulty: FaultyIo[] = [];
  const bed = await ShardBed.start({
    wrapIo: (io) => {
      faulty.push(new FaultyIo({ io }));
      return faulty.at(-1) as FaultyIo;
    },
  });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  await bed.ticks(3);
  const { up, log } = bed.node(leader);
  const setFull = (isFull: boolean): void => {
    const rules = (["write", "allocate", "open"] as const).map((on) => ({ on, fail: "NO_SPACE" }) as const);
    faulty[leader - 1]?.setRules(isFull ? rules : []);
  };
  setFull(true);
  // Two others hold it: it commits, but the leader answers for nothing that it has not stored.
  const answer = watched(up.propose(1, text("a=1")));
  await bed.ticks(3);
  expect([answer.value, answer.error, log?.room, up.broken]).toEqual([null, null, "none", null]);
  await expect(up.propose(1, text("a=2"))).rejects.toThrow("no room");
  setFull(false);
  await bed.ticks(15);
  expect([answer.error, log?.room, up.broken]).toEqual([null, "enough", null]);
  expect(bed.node(leader).machines.get(1)?.registers.get("a")).toBe("1");

  setFull(true);
  const next = await bed.elect(1);
  const last = watched(bed.node(next).up.propose(1, text("a=3")));
  await bed.ticks(3);
  expect(bed.node(leader).log?.room).toBe("none");
  await bed.closeAll();
  expect(last.error === null || last.error.code !== "IO").toBe(true);
});

test("a node whose writes wait for room makes states durable all the same, lets old files go, and so helps itself", async () => {
  const drives: FaultyIo[] = [];
  const wrapIo = (io: Io): Io => drives[drives.push(new FaultyIo({ io })) - 1] as Io;
  const bed = await ShardBed.start({ wrapIo, log: { fileBytes: 64 << 10, frameBytes: 16 << 10, totalBytesMax: 1 << 20 } });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  await bed.ticks(3);
  const follower = bed.nodes.find(({ number }) => number !== leader) as ShardNode;
  const { log } = follower;
  const machine = follower.machines.get(1) as TestMachine;
  const checkpoint = machine.checkpoint.bind(machine);
  const slow = Promise.withResolvers<void>();
  machine.checkpoint = () => slow.promise.then(checkpoint);
  const write = async (): Promise<void> => {
    const value = "x".repeat(3_000);
    watched(bed.node(leader).up.propose(1, text(`a=${value}`)));
    await bed.ticks(1);
  };
  while ((log?.fileCount ?? 0) < 2) await write();
  // No file can be made any more, until an old one has gone.
  drives[follower.number - 1]?.setRules([{ on: "allocate", fail: "NO_SPACE" }]);
  for (let count = 0; count < 60 && log?.room !== "none"; count++) await write();
  const fileCount = log?.fileCount ?? 0;
  expect([log?.room, fileCount]).toEqual(["none", 3]);
  slow.resolve();
  for (let tick = 0; tick < 20 && log?.fileCount === fileCount; tick++) await bed.ticks(1);
  expect(log?.fileCount).toBeLessThan(fileCount);
  drives[follower.number - 1]?.setRules([]);
  await bed.ticks(20);
  expect([log?.room, follower.up.broken]).toEqual(["enough", null]);
  expect(follower.up.status(1).appliedIndex).toBe(bed.node(leader).up.status(1).appliedIndex);
  await bed.closeAll();
});
