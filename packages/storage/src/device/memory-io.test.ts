/** MemoryIo's crashes: what was promised stays, everything else may go, be kept or be torn, as the seed says. */
import { expect, test } from "vitest";

import type { OpenOptions } from "./io.ts";
import { openDurable, openPlain } from "./io.ts";
import { MemoryIo } from "./memory-io.ts";
import { seededRandom } from "./seeded-random.ts";

const create: OpenOptions = { ...openPlain, create: true };
const seeds = Array.from({ length: 60 }, (_, seed) => seed);

async function withFile(seed: number, options: OpenOptions): Promise<{ io: MemoryIo; read: () => Promise<Uint8Array> }> {
  const io = new MemoryIo({ random: seededRandom(seed) });
  await io.close(await io.open("/file", options));
  await io.syncDirectory("/");
  const read = async (): Promise<Uint8Array> => {
    const file = await io.open("/file", openPlain);
    const bytes = new Uint8Array(file.sizeBytes);
    await io.read(file, bytes, 0);
    return bytes;
  };
  return { io, read };
}

test("a write that resolved on a dataSync file survives every crash", async () => {
  for (const seed of seeds) {
    const { io, read } = await withFile(seed, create);
    const file = await io.open("/file", openDurable);
    const buffer = io.pool.take(8192).fill(1);
    await io.write(file, [buffer], 4096);
    io.crash();
    const bytes = await read();
    expect([bytes.length, bytes[4095], bytes[4096], bytes[12_287]]).toEqual([12_288, 0, 1, 1]);
  }
});

test("an unsynced write is lost, kept or torn by sectors; a synced one is there", async () => {
  const outcomes = new Set<string>();
  for (const seed of seeds) {
    const { io, read } = await withFile(seed, create);
    const file = await io.open("/file", openPlain);
    await io.write(file, [new Uint8Array(4096).fill(1)], 0);
    await io.syncData(file);
    await io.write(file, [new Uint8Array(4096).fill(2)], 0);
    expect(io.unsyncedBytes).toBe(4096);
    io.crash();
    const bytes = await read();
    const sectors = Array.from({ length: 8 }, (_, sector) => new Set(bytes.subarray(sector * 512, (sector + 1) * 512)));
    expect(sectors.every((values) => values.size === 1)).toBe(true);
    const values = new Set(bytes);
    expect([...values].every((value) => value === 1 || value === 2)).toBe(true);
    outcomes.add(values.size === 2 ? "torn" : values.has(1) ? "lost" : "kept");
  }
  expect(outcomes).toEqual(new Set(["torn", "lost", "kept"]));
});

test("a sync covers only what had resolved before it", async () => {
  let lostOnce = false;
  for (const seed of seeds) {
    const { io, read } = await withFile(seed, create);
    const file = await io.open("/file", openPlain);
    const write = io.write(file, [new Uint8Array(512).fill(1)], 0);
    await Promise.all([io.syncData(file), write]);
    io.crash();
    lostOnce ||= (await read())[0] !== 1;
  }
  expect(lostOnce).toBe(true);
});

test("durable writes over unsynced ones keep their order", async () => {
  for (const seed of seeds) {
    const { io, read } = await withFile(seed, create);
    const cached = await io.open("/file", openPlain);
    await io.write(cached, [new Uint8Array(4096).fill(1)], 0);
    const durable = await io.open("/file", openDurable);
    await io.write(durable, [io.pool.take(4096).fill(2)], 0);
    io.crash();
    expect(new Set(await read())).toEqual(new Set([2]));
  }
});

test("a write that was under way fails with the crash and is not promised", async () => {
  const settles: (() => void)[] = [];
  const io = new MemoryIo({ random: seededRandom(3), schedule: (settle) => void settles.push(settle) });
  const opening = io.open("/file", create);
  settles.shift()?.();
  const file = await opening;
  const write = io.write(file, [new Uint8Array(512)], 0);
  io.crash();
  settles.shift()?.();
  await expect(write).rejects.toMatchObject({ code: "IO" });
  await expect(io.read(file, new Uint8Array(1), 0)).rejects.toMatchObject({ code: "BAD_HANDLE" });
});

test("names that were not synced may go, in order; synced and renamed ones stay", async () => {
  const seen = new Set<string>();
  for (const seed of seeds) {
    const io = new MemoryIo({ random: seededRandom(seed) });
    await io.makeDirectory("/d");
    await io.close(await io.open("/d/kept", create));
    await io.syncDirectory("/d");
    await io.close(await io.open("/d/one", create));
    await io.close(await io.open("/d/two", create));
    await io.unlink("/d/kept");
    io.crash();
    seen.add((await io.list("/d")).join());
    await io.close(await io.open("/d/new", create));
    await io.rename("/d/new", "/d/final");
    io.crash();
    expect(await io.list("/d")).toContain("final");
    expect(await io.list("/d")).not.toContain("new");
  }
  expect(seen).toEqual(new Set(["kept", "kept,one", "kept,one,two", "one,two"]));
});

test("syncing one directory leaves later changes in others to their own sync", async () => {
  for (const seed of seeds) {
    const io = new MemoryIo({ random: seededRandom(seed) });
    await io.makeDirectory("/a");
    await io.makeDirectory("/b");
    await io.close(await io.open("/a/first", create));
    await io.close(await io.open("/b/second", create));
    await io.syncDirectory("/a");
    await io.syncDirectory("/b");
    io.crash();
    expect([await io.list("/a"), await io.list("/b")]).toEqual([["first"], ["second"]]);
  }
});

test("a full drive says so and keeps what it has", async () => {
  const io = new MemoryIo({ random: seededRandom(1) }, { capacityBytes: 131_072 });
  const file = await io.open("/file", create);
  await io.write(file, [new Uint8Array(65_536)], 0);
  await io.write(file, [new Uint8Array(65_536)], 65_536);
  expect(await io.freeBytes("/")).toBe(0);
  await expect(io.write(file, [new Uint8Array(1)], 131_072)).rejects.toMatchObject({ code: "NO_SPACE" });
  await io.write(file, [new Uint8Array(65_536).fill(1)], 0);
  await io.truncate(file, 0);
  expect(await io.freeBytes("/")).toBe(131_072);
});
