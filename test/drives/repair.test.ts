/**
 * What a drive got wrong is repaired: after a replacement, and after a scrub, any two other drives may fail and every byte is there.
 * Needs root and /dev/fuse.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestDrive } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, whySkipped } from "../settings.ts";
import { flipDrive } from "./bit-flips.ts";
import { DrivesRun } from "./drives-run.ts";

const reason = whySkipped("the repair of drives");
const replay = replayCommand("test/drives/repair.test.ts");
const timeout = 300_000;
const commandTimeoutMs = 180_000;
const flipsPerFile = 12;

/** The redundancy is real: without two other drives everything can still be read. */
async function expectAllWithout(run: DrivesRun, paths: readonly string[]): Promise<void> {
  await run.mount.umount();
  await run.restartServer(paths);
  run.mount = await run.cluster.mount();
  await run.workload.settle(run.mount);
}

async function replace(run: DrivesRun, drive: TestDrive, name: string): Promise<string> {
  const path = join(run.cluster.base, name);
  await mkdir(path);
  await run.cluster.cfsMust(["admin", "drive", "replace", "--server", run.cluster.address, drive.path, path], commandTimeoutMs);
  return path;
}

interface ScrubReport {
  readonly fragmentsChecked: number;
  readonly fragmentsBad: number;
  readonly fragmentsRepaired: number;
  readonly findings: readonly string[];
}

async function scrub(run: DrivesRun): Promise<ScrubReport> {
  const { code, stdout, stderr } = await run.cluster.cfs(["admin", "scrub", "--server", run.cluster.address, "--json"], commandTimeoutMs);
  // 3: it found something and says so.
  if (code !== 0 && code !== 3) throw new Error(`scrub ended with ${code}: ${stdout}${stderr}`);
  return JSON.parse(stdout) as ScrubReport;
}

/** Scrubs until nothing is wrong; the second time everything must be right. Resolves with what was found. */
async function scrubAll(run: DrivesRun): Promise<ScrubReport> {
  const first = await scrub(run);
  expect(first.fragmentsChecked).toBeGreaterThan(0);
  expect(first.fragmentsRepaired).toBe(first.fragmentsBad);
  const second = await scrub(run);
  expect(second.findings).toEqual([]);
  return first;
}

describe.skipIf(reason !== null)("a replaced drive", () => {
  test("carries its share: afterwards two others may go", { timeout }, async () => {
    await DrivesRun.with({ replay }, async (run) => {
      const [one, two] = run.pickTwo();
      await run.work(200, "with six drives");
      await one.moveAway();
      await run.work(40, "with one drive gone");
      const first = await replace(run, one, "new1");
      await two.moveAway();
      const second = await replace(run, two, "new2");
      await run.work(40, "with two new drives");
      const kept = run.others([one, two]).slice(2);
      await expectAllWithout(run, [...kept.map(({ path }) => path), first, second]);
      await run.work(40, "with four drives");
      await run.compareCold();
      await expectCleanFsck(run.cluster);
      expect(run.workload.counts.certainFiles).toBeGreaterThan(10);
    });
  });
});

interface Region {
  readonly name: string;
  isMeant(file: string): boolean;
}

const regions: readonly Region[] = [
  { name: "segments", isMeant: (file) => file.startsWith("segments/") },
  { name: "journal", isMeant: (file) => file.startsWith("journal/") },
  { name: "state", isMeant: (file) => file.startsWith("state/") },
  { name: "every file but the identity", isMeant: (file) => file.includes("/") },
];

describe.skipIf(reason !== null)("bits that flipped on two drives", () => {
  for (const { name, isMeant } of regions) {
    test(`in ${name}: no wrong byte after a kill -9, and scrub makes it whole`, { timeout }, async () => {
      await DrivesRun.with({ replay }, async (run) => {
        const [one, two] = run.pickTwo();
        await run.workload.begin(run.mount);
        await run.workload.untilProgress(250);
        await run.cluster.kill9Server();
        const flipped: string[] = [];
        for (const drive of [one, two]) flipped.push(...(await flipDrive(drive.path, isMeant, flipsPerFile, run.random)));
        expect(flipped.length).toBeGreaterThan(0);
        await run.cluster.startServer();
        await run.workload.untilProgress(40);
        await run.workload.endWell();
        await run.workload.expectAll(run.mount, `after ${flipped.length} flipped bits`);
        await run.compareCold();
        await scrubAll(run);
        await run.compareCold();
        await expectCleanFsck(run.cluster);
        // Were anything left as it was, three drives would be wrong now.
        const kept = run.others([one, two]).slice(2);
        await expectAllWithout(
          run,
          [...kept, one, two].map(({ path }) => path),
        );
      });
    });
  }

  test("under a running server: reads stay right, scrub repairs", { timeout }, async () => {
    await DrivesRun.with({ replay }, async (run) => {
      const [one, two] = run.pickTwo();
      await run.work(250, "before");
      for (const drive of [one, two]) await flipDrive(drive.path, (file) => file.startsWith("segments/"), flipsPerFile * 4, run.random);
      await run.compareCold();
      const { fragmentsBad, findings } = await scrubAll(run);
      // What a read found first is repaired already.
      expect(fragmentsBad).toBeGreaterThan(0);
      expect(findings.join()).toMatch(/\/writer[12]/);
      await run.work(60, "after");
      await run.compareCold();
    });
  });
});
