/** FaultyIo: each kind of rule, what it matches and how often. */
import { expect, test } from "vitest";

import type { Clock } from "@cfs/core";

import type { FaultRule } from "./faulty-io.ts";
import { FaultyIo } from "./faulty-io.ts";
import type { IoFile } from "./io.ts";
import { openDurable, openPlain } from "./io.ts";
import { MemoryIo } from "./memory-io.ts";
import { seededRandom } from "./seeded-random.ts";

const create = { ...openPlain, create: true };

/** A clock whose waits end when the test says so. */
function handClock(): { clock: Clock; delays: number[]; run(): void } {
  const waits: (() => void)[] = [];
  const delays: number[] = [];
  const after = (delayMs: number, callback: () => void): (() => void) => {
    delays.push(delayMs);
    waits.push(callback);
    return () => {};
  };
  const run = (): void => waits.splice(0).forEach((wait) => wait());
  return { clock: { after, monotonicMs: () => 0, wallTime: () => ({ sec: 0, nsec: 0 }) }, delays, run };
}

async function faulty(
  rules: readonly FaultRule[],
  clock?: Clock,
): Promise<{ io: FaultyIo; file: IoFile; read: (count: number) => Promise<Uint8Array> }> {
  const memory = new MemoryIo({ random: seededRandom(1) });
  const io = new FaultyIo(clock === undefined ? { io: memory } : { io: memory, clock });
  const file = await io.open("/journal-1", create);
  io.setRules(rules);
  const read = async (count: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(count);
    return bytes.subarray(0, await memory.read(file, bytes, 0));
  };
  return { io, file, read };
}

test("the nth matching request fails with the code, before anything happens", async () => {
  const { io, file, read } = await faulty([{ on: "write", path: "/journal-*", nth: 2, fail: "NO_SPACE" }]);
  await io.write(file, [new Uint8Array([1])], 0);
  await expect(io.write(file, [new Uint8Array([2])], 0)).rejects.toMatchObject({
    code: "NO_SPACE",
    message: expect.stringContaining("/journal-1") as string,
  });
  expect(await read(1)).toEqual(new Uint8Array([1]));
  await io.write(file, [new Uint8Array([3])], 0);
  expect(await read(1)).toEqual(new Uint8Array([3]));
  expect(io.faultCount).toBe(1);
});

test("operation and path must match; without nth every request fails", async () => {
  const { io, file } = await faulty([
    { on: "syncData", fail: "IO" },
    { on: "any", path: "/other*", fail: "IO" },
  ]);
  await io.write(file, [new Uint8Array([1])], 0);
  await expect(io.syncData(file)).rejects.toMatchObject({ code: "IO" });
  await expect(io.syncData(file)).rejects.toMatchObject({ code: "IO" });
  await expect(io.open("/other", create)).rejects.toMatchObject({ code: "IO" });
  await expect(io.unlink("/other")).rejects.toMatchObject({ code: "IO" });
});

test("a torn write leaves its first part", async () => {
  const { io, file, read } = await faulty([{ on: "write", nth: 2, fail: "torn", atByte: 3 }]);
  await io.write(file, [new Uint8Array(6).fill(1)], 0);
  await expect(io.write(file, [new Uint8Array(2).fill(2), new Uint8Array(4).fill(2)], 0)).rejects.toThrow(/torn after 3/);
  expect(await read(6)).toEqual(new Uint8Array([2, 2, 2, 1, 1, 1]));
  const direct = await io.open("/direct", { ...openDurable, create: true });
  io.setRules([{ on: "write", fail: "torn" }]);
  await expect(io.write(direct, [io.pool.take(12_288)], 0)).rejects.toThrow(/torn after 4096/);
});

test("a corrupt read changes one byte and says nothing", async () => {
  const { io, file } = await faulty([{ on: "any", fail: "corrupt", atByte: 1 }]);
  await io.write(file, [new Uint8Array([1, 2, 3])], 0);
  const bytes = new Uint8Array(3);
  expect(await io.read(file, bytes, 0)).toBe(3);
  expect(bytes).toEqual(new Uint8Array([1, 0xfd, 3]));
});

test("a slow request begins after its delay, and close waits for it", async () => {
  const { clock, delays, run } = handClock();
  const { io, file, read } = await faulty([{ on: "write", fail: "slow", delayMs: 50 }], clock);
  const write = io.write(file, [new Uint8Array([9])], 0);
  const closed = io.close(file);
  expect(await read(1)).toEqual(new Uint8Array([]));
  run();
  await write;
  await closed;
  expect(delays).toEqual([50]);
  const target = new Uint8Array(1);
  await io.read(await io.open("/journal-1", openPlain), target, 0);
  expect(target[0]).toBe(9);
  await io.shutDown();
});
