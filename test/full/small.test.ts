/**
 * Drives of 300 MiB are filled and emptied again and again, with kill -9 and start in between: no round gets less room than the first, what is
 * prepared for later writes is no room lost, and journal files do not pile up. Needs root and /dev/fuse.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Cluster, withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, seed, whySkipped } from "../settings.ts";
import { availableBytes, expectFiles, fileBytes, fill, untilFreed } from "./fill.ts";

const reason = whySkipped("small drives");
const replay = replayCommand("test/full/small.test.ts");
const driveBytes = 300 << 20;
/** Of the file data that 4+2 could hold on empty drives without a reserve, this share must fit; and of the first round's, that. */
const shareMin = 0.75;
const roundShareMin = 0.95;
const rounds = 2;
/** Files in use, the next one, and at most two spares on each drive. */
const journalFilesMax = 6 * 2 + 12;

async function journalFiles(cluster: Cluster): Promise<number> {
  const names = await Promise.all(cluster.drives.map(({ path }) => readdir(join(path, "journal"))));
  return names.flat().length;
}

describe.skipIf(reason !== null)("six tmpfs drives of 300 MiB", () => {
  test("give as much room in every round of filling, killing and deleting", { timeout: 600_000 }, async () => {
    await withCluster({ driveKind: "tmpfs", driveBytes, replay }, async (cluster) => {
      const mount = await cluster.mount();
      const empty = await availableBytes(mount);
      const directory = join(mount.path, "fill");
      let first = 0;
      for (let round = 0; round < rounds; round++) {
        await mkdir(directory);
        const { files, error } = await fill(directory, seed * 8 + round * 40_000);
        expect(error).toBe("ENOSPC");
        first ||= files.size;
        expect(files.size * fileBytes).toBeGreaterThan((driveBytes * 4 * shareMin * (round === 0 ? 1 : roundShareMin)) | 0);
        expect(files.size).toBeGreaterThanOrEqual(Math.floor(first * roundShareMin));

        await cluster.kill9Server();
        await cluster.startServer();
        await expectFiles(files);
        await rm(directory, { recursive: true });
        if (round === 1) {
          await cluster.kill9Server();
          await cluster.startServer();
        }
        const freedMs = await untilFreed(mount, 0, empty * roundShareMin);
        const count = await journalFiles(cluster);
        console.log(`round ${round + 1}: ${files.size} files of 8 MiB; df after ${Math.round(freedMs)} ms; ${count} journal files`);
        expect(count).toBeLessThanOrEqual(journalFilesMax);
      }
      await expectCleanFsck(cluster);
    });
  });
});
