/** Any two of six drives fail under a write load: reads and writes go on, byte for byte. Needs root, /dev/fuse and, where said, loop devices. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DriveKind, type TestDrive, whyNoDrives } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { replayCommand, whySkipped } from "../settings.ts";
import { DrivesRun } from "./drives-run.ts";

const reason = whySkipped("losing drives");
const loopReason = await whyNoDrives("loop");
if (loopReason !== null) console.warn(`drives that fail with EIO are not tested: ${loopReason}`);
const replay = replayCommand("test/drives/vanish.test.ts");
const timeout = 300_000;

interface Failure {
  readonly name: string;
  readonly kind: DriveKind;
  fail(drive: TestDrive): Promise<void>;
}

const foreignIdentity = { formatVersion: 1, clusterId: "f".repeat(32), nodeId: "e".repeat(32), driveId: "d".repeat(32) };

const failures: readonly Failure[] = [
  { name: "every access fails with EIO", kind: "loop", fail: (drive) => drive.shutDown() },
  { name: "they become read-only", kind: "loop", fail: (drive) => drive.makeReadOnly() },
  { name: "an empty file system stands in their place", kind: "directory", fail: (drive) => drive.hideBehindTmpfs() },
  { name: "their directories are moved away", kind: "directory", fail: async (drive) => void (await drive.moveAway()) },
  { name: "their directories are removed", kind: "directory", fail: (drive) => rm(drive.path, { recursive: true }) },
  {
    name: "their identity is another cluster's",
    kind: "directory",
    fail: (drive) => writeFile(join(drive.path, "identity.json"), JSON.stringify(foreignIdentity)),
  },
];

describe.skipIf(reason !== null)("two drives fail under a write load", () => {
  for (const { name, kind, fail } of failures) {
    test.skipIf(kind === "loop" && loopReason !== null)(`${name}: all goes on`, { timeout }, async () => {
      await DrivesRun.with({ driveKind: kind, replay }, async (run) => {
        const [one, two] = run.pickTwo();
        await run.workload.begin(run.mount);
        await run.workload.untilProgress(60);
        await fail(one);
        await run.workload.untilProgress(60);
        await fail(two);
        await run.workload.untilProgress(200);
        await run.workload.endWell();
        await run.workload.expectAll(run.mount, "with two drives gone");
        await run.compareCold();
        await run.work(60, "a new load with two drives gone");
        await run.compareCold();
        expect(run.workload.counts.certainFiles).toBeGreaterThan(10);
      });
    });
  }
});

describe.skipIf(reason !== null)("a server that starts without two of its drives", () => {
  test("has everything, takes new data, and has that too when the drives are back", { timeout }, async () => {
    await DrivesRun.with({ replay }, async (run) => {
      const missing = run.pickTwo();
      const rest = run.others(missing).map(({ path }) => path);
      await run.work(200, "with six drives");
      await run.mount.umount();
      await run.restartServer(rest);
      run.mount = await run.cluster.mount();
      await run.workload.settle(run.mount);
      await run.work(100, "with four drives");
      await run.compareCold();
      await run.mount.umount();
      await run.restartServer();
      run.mount = await run.cluster.mount();
      await run.workload.settle(run.mount);
      await run.work(60, "with six drives again");
      await run.compareCold();
      expect(run.workload.counts.certainFiles).toBeGreaterThan(10);
    });
  });

  test("after a kill -9 under load as well", { timeout }, async () => {
    await DrivesRun.with({ replay }, async (run) => {
      const missing = run.pickTwo();
      const rest = run.others(missing).map(({ path }) => path);
      await run.workload.begin(run.mount);
      await run.workload.untilProgress(200);
      await run.cluster.kill9Server();
      for (const drive of missing) await drive.moveAway();
      await run.cluster.startServer(rest);
      await run.workload.untilProgress(60);
      await run.workload.endWell();
      await run.workload.expectAll(run.mount, "with four drives");
      await run.compareCold();
      expect(run.workload.counts.certainFiles).toBeGreaterThan(10);
    });
  });
});
