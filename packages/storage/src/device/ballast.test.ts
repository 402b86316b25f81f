/** Drives without a free byte: the ballast that makes room on them, and that they are opened at all. */
import { statSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock, ClusterId, NodeId } from "@cfs/core";
import { expect, test } from "vitest";
import { Ballast } from "./ballast.ts";
import { lockDrive } from "./drive-lock.ts";
import { Drive } from "./drive.ts";
import type { DriveParts } from "./drive.ts";
import { FaultyIo } from "./faulty-io.ts";
import { openPlain } from "./io.ts";
import { MemoryIo } from "./memory-io.ts";
import { seededRandom } from "./seeded-random.ts";

const owner = { clusterId: "c".repeat(32) as ClusterId, nodeId: "a".repeat(32) as NodeId };
const clock: Clock = { wallTime: () => ({ sec: 1_700_000_000, nsec: 0 }), monotonicMs: () => 0, after: () => () => undefined };
const unit = 16 << 10;

async function formatted(): Promise<{ io: FaultyIo; parts: DriveParts }> {
  const io = new FaultyIo({ io: new MemoryIo({ random: seededRandom(1) }, { capacityBytes: 200 * unit }) });
  await io.makeDirectory("/d");
  const parts: DriveParts = { io, clock, random: seededRandom(2), lock: () => ({ release: () => undefined }) };
  const drive = await Drive.format(parts, "/d", owner);
  await drive.ballast.keep(64 * unit);
  expect(drive.ballast.bytes).toBe(64 * unit);
  drive.close();
  // In memory, what was never written takes no space.
  await take(io, "/d/ballast", 64 * unit);
  return { io, parts };
}

async function take(io: FaultyIo, path: string, sizeBytes: number): Promise<void> {
  const file = await io.open(path, { ...openPlain, create: true });
  await io.write(file, [Buffer.alloc(sizeBytes, 7)], 0);
  await io.close(file);
}

/** Another program takes all but `leftBytes`. */
async function fill(io: FaultyIo, leftBytes: number): Promise<void> {
  await take(io, "/others", (await io.freeBytes("/")) - leftBytes);
}

test("a drive that is full is opened, without its ballast", async () => {
  const { io, parts } = await formatted();
  await fill(io, 0);
  const drive = await Drive.open(parts, "/d", owner);
  expect(drive.ballast.bytes).toBe(0);
  expect(await io.list("/d")).not.toContain("ballast");
  expect(await io.freeBytes("/d")).toBeGreaterThanOrEqual(60 * unit);
  drive.close();
});

test("a drive that is full and has no ballast is opened too", async () => {
  const { io, parts } = await formatted();
  await io.unlink("/d/ballast");
  await fill(io, 0);
  const drive = await Drive.open(parts, "/d", owner);
  expect(await io.list("/d")).not.toContain("probe.tmp");
  drive.close();
});

test("the ballast stays while there is room, and is found again", async () => {
  const { io, parts } = await formatted();
  await fill(io, 80 * unit);
  const drive = await Drive.open(parts, "/d", owner);
  expect(drive.ballast.bytes).toBe(64 * unit);
  drive.close();
});

test("without room there is none, and nothing is left of the attempt; where no drive is, neither", async () => {
  const { io } = await formatted();
  await io.unlink("/d/ballast");
  await fill(io, 8 * unit);
  const ballast = await Ballast.open(io, "/d");
  await expect(ballast.keep(64 * unit)).rejects.toThrow("NO_SPACE");
  expect([ballast.bytes, (await io.list("/d")).includes("ballast")]).toEqual([0, false]);
  await io.unlink("/others");
  await io.makeDirectory("/empty");
  const elsewhere = await Ballast.open(io, "/empty");
  await elsewhere.keep(64 * unit);
  expect(await io.list("/empty")).toEqual([]);
});

test("one that cannot grow is gone, and does not count as there", async () => {
  const { io } = await formatted();
  await fill(io, 8 * unit);
  const ballast = await Ballast.open(io, "/d");
  expect(ballast.bytes).toBe(64 * unit);
  await expect(ballast.keep(100 * unit)).rejects.toThrow("NO_SPACE");
  expect([ballast.bytes, (await io.list("/d")).includes("ballast")]).toEqual([0, false]);
});

test("the lock writes nothing: a drive without a free byte can be locked", async () => {
  const root = await mkdtemp(join(tmpdir(), "cfs-lock-"));
  try {
    await mkdir(join(root, "d"));
    writeFileSync(join(root, "d", "lock"), "");
    const lock = lockDrive(join(root, "d"));
    expect(statSync(join(root, "d", "lock")).size).toBe(0);
    expect(() => statSync(join(root, "d", "lock-journal"))).toThrow("ENOENT");
    lock.release();
  } finally {
    await rm(root, { recursive: true });
  }
});
