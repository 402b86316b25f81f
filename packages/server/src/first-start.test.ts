/** A first start that is stopped at any request to the drives: the next one makes one cluster of all of them, whatever was done before. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger, systemClock } from "@cfs/core";
import { FaultyIo, RingIo, seededRandom } from "@cfs/storage";
import type { IoOperation } from "@cfs/storage";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openDrives } from "./drives.ts";
import type { OpenDrives } from "./drives.ts";

let base: string;
let ring: RingIo;
let seed = 1;
const driveCount = 3;

beforeAll(async () => {
  ring = await RingIo.open({ poolBytes: 8 << 20 });
});
afterAll(() => ring.shutDown());
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "cfs-first-start-"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function emptyDrives(): string[] {
  rmSync(base, { recursive: true });
  const paths = Array.from({ length: driveCount }, (_, index) => join(base, `d${index + 1}`));
  for (const path of paths) mkdirSync(path, { recursive: true });
  return paths;
}

function open(io: FaultyIo, paths: readonly string[]): Promise<OpenDrives> {
  return openDrives({ io, random: seededRandom(seed++), clock: systemClock(), logger: silentLogger }, paths, { isDegraded: false });
}

/** Whether the start got past the fault; then there is no request of that number any more. */
async function isStopped(io: FaultyIo, paths: readonly string[]): Promise<boolean> {
  try {
    (await open(io, paths)).close();
    return false;
  } catch {
    return true;
  }
}

const operations: readonly IoOperation[] = [
  "open",
  "write",
  "read",
  "syncData",
  "rename",
  "makeDirectory",
  "syncDirectory",
  "unlink",
  "list",
];

test.each(operations)("stopped at each %s", async (on) => {
  let stops = 0;
  for (let nth = 1; ; nth++) {
    const paths = emptyDrives();
    const io = new FaultyIo({ io: ring });
    io.setRules([{ on, nth, fail: "IO" }]);
    if (!(await isStopped(io, paths))) break;
    stops++;
    io.setRules([]);
    const drives = await open(io, paths);
    expect(new Set(drives.list.map(({ identity }) => identity.clusterId + identity.nodeId)).size).toBe(1);
    expect(new Set(drives.list.map(({ driveId }) => driveId)).size).toBe(driveCount);
    for (const path of paths) expect(readdirSync(path).toSorted()).toEqual(["identity.json", "journal", "lock", "segments", "state"]);
    drives.close();
  }
  expect(stops).toBeGreaterThan(0);
});

test("a directory with files of others is refused, beside drives that were being made", async () => {
  const [first = "", second = "", third = ""] = emptyDrives();
  const io = new FaultyIo({ io: ring });
  io.setRules([{ on: "rename", nth: 2, fail: "IO" }]);
  expect(await isStopped(io, [first, second, third])).toBe(true);
  io.setRules([]);
  rmSync(third, { recursive: true });
  mkdirSync(third);
  writeFileSync(join(third, "thesis.txt"), "do not lose me");
  await expect(open(io, [first, second, third])).rejects.toThrow(/NOT_FOUND: .*d3 has no identity.json/);
  expect(readdirSync(third)).toEqual(["thesis.txt"]);
});
