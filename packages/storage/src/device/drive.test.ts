import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Clock, ClusterId, NodeId } from "@cfs/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { lockDrive } from "./drive-lock.ts";
import type { DriveParts } from "./drive.ts";
import { Drive, openDrives, reserveBytesOf } from "./drive.ts";
import { FaultyIo } from "./faulty-io.ts";
import { parseIdentity } from "./identity.ts";
import { openPlain } from "./io.ts";
import { MemoryIo } from "./memory-io.ts";
import { seededRandom } from "./seeded-random.ts";

const owner = { clusterId: "c".repeat(32) as ClusterId, nodeId: "a".repeat(32) as NodeId };
const clock: Clock = { wallTime: () => ({ sec: 1_700_000_000, nsec: 0 }), monotonicMs: () => 0, after: () => () => undefined };

let memory: MemoryIo;
let io: FaultyIo;
let parts: DriveParts;
let held: Set<string>;

beforeEach(async () => {
  memory = new MemoryIo({ random: seededRandom(3) });
  io = new FaultyIo({ io: memory });
  held = new Set();
  const lock = (directory: string): { release(): void } => {
    if (held.has(directory)) throw new Error("held");
    held.add(directory);
    return { release: () => void held.delete(directory) };
  };
  parts = { io, clock, random: seededRandom(4), lock, totalBytes: async () => 100 * 2 ** 30 };
  for (const path of ["/a", "/b"]) await memory.makeDirectory(path);
  await memory.syncDirectory("/");
});

async function put(path: string, text: string): Promise<void> {
  const file = await memory.open(path, { ...openPlain, create: true });
  await memory.truncate(file, 0);
  await memory.write(file, [Buffer.from(text)], 0);
  await memory.close(file);
}

describe("a drive", () => {
  it("is made once, and opened by its owner", async () => {
    const made = await Drive.format(parts, "/a", owner);
    expect(made.identity).toMatchObject({ format: 1, ...owner, createdAt: "2023-11-14T22:13:20.000Z" });
    made.close();
    expect(held.size).toBe(0);
    const opened = await Drive.open(parts, "/a", owner);
    expect(opened.driveId).toBe(made.driveId);
    expect(await opened.probe()).toEqual({ writeMs: 0, readMs: 0 });
    opened.close();
    opened.close();
    expect(await memory.list("/a")).toEqual(["identity.json", "journal", "segments", "state"]);
    memory.pool.assertNoLeak();
    await expect(Drive.format(parts, "/a", owner)).rejects.toThrow(/EXISTS: \/a is a drive already/);
  });

  it("survives a crash while it is made: it has no identity, or a whole one", async () => {
    for (let seed = 0; seed < 60; seed++) {
      let steps = seed;
      const random = seededRandom(seed);
      const crashing = new MemoryIo({
        random,
        schedule: (settle) => {
          if (steps-- === 0) crashing.crash();
          queueMicrotask(settle);
        },
      });
      steps = 1000;
      await crashing.makeDirectory("/a");
      await crashing.syncDirectory("/");
      steps = seed;
      await Drive.format({ ...parts, io: crashing }, "/a", owner).then(
        (drive) => drive.close(),
        () => undefined,
      );
      steps = 100_000;
      held.clear();
      const names = await crashing.list("/a");
      if (names.includes("identity.json")) (await Drive.open({ ...parts, io: crashing }, "/a", owner)).close();
      else await expect(Drive.open({ ...parts, io: crashing }, "/a", owner)).rejects.toThrow(/identity.json/);
      held.clear();
    }
  });

  it.each([
    ["a missing directory", "/none", async () => undefined, /NOT_FOUND: the data directory \/none does not exist/],
    ["a directory without identity", "/a", async () => undefined, /NOT_FOUND: \/a has no identity.json: the drive is not mounted/],
    ["data without identity", "/a", () => memory.makeDirectory("/a/segments"), /CORRUPT: \/a holds cfs data/],
    ["a file", "/a/file", () => put("/a/file", "x"), /NOT_DIRECTORY: \/a\/file is not a directory/],
    ["nonsense", "/a", () => put("/a/identity.json", "{"), /CORRUPT: \/a\/identity.json is no identity of a drive: it is no JSON/],
    [
      "a format to come",
      "/a",
      () => put("/a/identity.json", JSON.stringify({ format: 2 })),
      /NOT_SUPPORTED: .* has format 2, this cfs knows up to 1/,
    ],
  ])("is not opened from %s", async (_, path, prepare, message) => {
    await prepare();
    await expect(Drive.open(parts, path, owner)).rejects.toThrow(message);
    expect(held.size).toBe(0);
  });

  it("is refused to another cluster and another node", async () => {
    (await Drive.format(parts, "/a", owner)).close();
    await expect(Drive.open(parts, "/a", { ...owner, clusterId: "d".repeat(32) as ClusterId })).rejects.toThrow(
      /INVALID: \/a belongs to cluster c/,
    );
    await expect(Drive.open(parts, "/a", { ...owner, nodeId: "d".repeat(32) as NodeId })).rejects.toThrow(/INVALID: \/a belongs to node a/);
  });

  it("that cannot be written is refused with the reason", async () => {
    (await Drive.format(parts, "/a", owner)).close();
    io.setRules([{ on: "open", path: "/a/probe.tmp", fail: "READ_ONLY" }]);
    await expect(Drive.open(parts, "/a", owner)).rejects.toThrow(/READ_ONLY: \/a is mounted read-only/);
    io.setRules([{ on: "write", path: "/a/probe.tmp", fail: "IO" }]);
    await expect(Drive.open(parts, "/a", owner)).rejects.toThrow(/IO/);
    io.setRules([{ on: "read", path: "/a/probe.tmp", fail: "corrupt", atByte: 5 }]);
    await expect(Drive.open(parts, "/a", owner)).rejects.toThrow(/CORRUPT: \/a gives back other bytes/);
    expect(held.size).toBe(0);
    memory.pool.assertNoLeak();
  });

  it("is not made where something is", async () => {
    await put("/a/thesis.txt", "do not lose me");
    await expect(Drive.format(parts, "/a", owner)).rejects.toThrow(/NOT_EMPTY: \/a is not empty: it holds thesis.txt/);
  });

  it("comes once in a node, and not with drives of others", async () => {
    (await Drive.format(parts, "/a", owner)).close();
    await put("/b/identity.json", JSON.stringify((await Drive.open(parts, "/a", owner)).identity));
    held.clear();
    await expect(openDrives(parts, ["/a", "/b"], owner)).rejects.toThrow(/INVALID: \/b and \/a are the same drive/);
    await memory.unlink("/b/identity.json");
    await expect(openDrives(parts, ["/a", "/b"], owner)).rejects.toThrow(/NOT_FOUND: \/b has no identity/);
    (await Drive.format(parts, "/b", { ...owner, nodeId: "e".repeat(32) as NodeId })).close();
    await expect(openDrives(parts, ["/a", "/b"], null)).rejects.toThrow(/INVALID: \/b belongs to node e/);
    expect(held.size).toBe(0);
  });

  it("keeps a reserve", async () => {
    const gibibyte = 2 ** 30;
    expect(reserveBytesOf(1000 * gibibyte)).toBe(20 * gibibyte);
    expect(reserveBytesOf(20 * gibibyte)).toBe(gibibyte);
    expect(reserveBytesOf(5 * gibibyte)).toBe(gibibyte / 2);
    const drive = await Drive.format(parts, "/a", owner);
    const { totalBytes, freeBytes, reserveBytes, usableBytes } = await drive.capacity();
    expect(reserveBytes).toBe(2 * gibibyte);
    expect(usableBytes).toBe(freeBytes - reserveBytes);
    expect(totalBytes).toBe(100 * gibibyte);
    drive.close();
  });
});

it.each(["[]", "null", '"x"', '{"format":"1"}', '{"format":1,"clusterId":"x"}', '{"format":0}', ""])("%s is no identity", (text) => {
  expect(() => parseIdentity(text, "/a/identity.json")).toThrow(/CORRUPT/);
});

describe("the lock", () => {
  let root = "";
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "cfs-drive-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("keeps others out, also in this process, until it is given back", async () => {
    await mkdir(join(root, "d"));
    const lock = lockDrive(join(root, "d"));
    expect(() => lockDrive(join(root, "d"))).toThrow(/BUSY: .* is in use by another cfs process/);
    lock.release();
    lock.release();
    lockDrive(join(root, "d")).release();
    expect(() => lockDrive(join(root, "none"))).toThrow(/IO: cannot lock/);
  });

  it("goes with a process that is killed", async () => {
    const script = join(root, "holder.ts");
    await writeFile(
      script,
      `import { lockDrive } from ${JSON.stringify(new URL("./drive-lock.ts", import.meta.url).pathname)};\nglobalThis.held = lockDrive(process.argv[2]);\nconsole.log("held");\nsetInterval(() => {}, 1000);\n`,
    );
    const child = spawn(process.execPath, ["--conditions=cfs-source", script, root], { stdio: ["ignore", "pipe", "inherit"] });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    try {
      await new Promise((resolve) => child.stdout.once("data", resolve));
      expect(() => lockDrive(root)).toThrow(/BUSY/);
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
    lockDrive(root).release();
  });
});
