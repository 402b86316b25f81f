/**
 * Other programs fill the drives to the last byte while the server is down, killed or stopped: it starts, serves reads and deletes, and says what is
 * wrong; when there is room again, all goes on. Needs root and /dev/fuse.
 */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Cluster, withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { contentOf } from "../crash/content.ts";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, seed, whySkipped } from "../settings.ts";
import { availableBytes, expectFiles, fileBytes, writeSynced, untilFreed } from "./fill.ts";

const reason = whySkipped("drives that others fill");
const replay = replayCommand("test/full/filled-by-others.test.ts");
const driveBytes = 300 << 20;
const fileCount = 40;

/** Every byte that the drive has left, and every block of its directory. */
async function fillDrive(path: string): Promise<void> {
  await using file = await open(join(path, "others.bin"), "w");
  for (const bytes of [1 << 20, 4096, 1]) {
    const block = Buffer.alloc(bytes, 7);
    for (;;) {
      try {
        await file.write(block);
      } catch (failure) {
        if ((failure as NodeJS.ErrnoException).code !== "ENOSPC") throw failure;
        break;
      }
    }
  }
}

async function health(cluster: Cluster): Promise<{ level: string; warnings: readonly string[] }> {
  const { stdout } = await cluster.cfs(["admin", "status", "--json", "--server", cluster.address]);
  const { details, warnings } = JSON.parse(stdout) as { details: { health: { level: string } }; warnings: string[] };
  return { level: details.health.level, warnings };
}

describe.skipIf(reason !== null)("six tmpfs drives that others fill to the last byte", () => {
  test.each([
    { how: "stopped", end: (cluster: Cluster) => cluster.stopServer() },
    { how: "killed", end: (cluster: Cluster) => cluster.kill9Server() },
  ])("while the server is $how", { timeout: 300_000 }, async ({ end }) => {
    await withCluster({ driveKind: "tmpfs", driveBytes, replay }, async (cluster) => {
      const mount = await cluster.mount();
      const files = new Map(Array.from({ length: fileCount }, (_, index) => [join(mount.path, `file${index}`), seed * 8 + 4 * index + 1]));
      for (const [path, fileSeed] of files) await writeSynced(path, contentOf(fileSeed, fileBytes));
      // The ballast is made when the server has looked at the drives for the first time.
      await setTimeout(2_000);
      await end(cluster);
      for (const { path } of cluster.drives) await fillDrive(path);

      await cluster.startServer();
      const { level, warnings } = await health(cluster);
      expect(level).toBe("critical");
      for (const { path } of cluster.drives) expect(warnings.join("\n")).toContain(`${path} has `);
      await expectFiles(files);
      await expect(writeSynced(join(mount.path, "more"), contentOf(1, fileBytes))).rejects.toThrow("ENOSPC");
      const doomed = [...files.keys()].filter((_, index) => index % 5 !== 0);
      for (const path of doomed) {
        await rm(path);
        files.delete(path);
      }
      // The reserve comes first: it is a tenth of each drive.
      await untilFreed(mount, 0, doomed.length * fileBytes * 0.25);
      await writeSynced(join(mount.path, "fits"), contentOf(seed * 8 + 4 * fileCount + 1, fileBytes));
      files.set(join(mount.path, "fits"), seed * 8 + 4 * fileCount + 1);

      for (const { path } of cluster.drives) await rm(join(path, "others.bin"));
      await untilFreed(mount, await availableBytes(mount), fileBytes);
      await cluster.kill9Server();
      await cluster.startServer();
      await expectFiles(files);
      expect((await health(cluster)).level).toBe("ok");
      await expectCleanFsck(cluster);
    });
  });
});
