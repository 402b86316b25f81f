/**
 * Small drives are filled to the last byte that cfs gives: ENOSPC, deletes that work, space that comes back, a restart while full.
 * Needs root, /dev/fuse and loop devices (or tmpfs, where there are none).
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Cluster, type ClusterMount, whyNoDrives, withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, seed, whySkipped } from "../settings.ts";
import { availableBytes, expectFiles, fileBytes, fill, untilFreed } from "./fill.ts";

const reason = whySkipped("full drives");
const driveKind = (await whyNoDrives("loop")) === null ? "loop" : "tmpfs";
const replay = replayCommand("test/full/full.test.ts");
const driveBytes = 512 << 20;
async function remount(cluster: Cluster, mount: ClusterMount): Promise<ClusterMount> {
  await mount.umount();
  return cluster.mount();
}

describe.skipIf(reason !== null)(`six ${driveKind} drives of 512 MiB`, () => {
  test("are filled, restarted while full, emptied, and filled again", { timeout: 600_000 }, async () => {
    await withCluster({ driveKind, driveBytes, replay }, async (cluster) => {
      let mount = await cluster.mount();
      const directory = join(mount.path, "fill");
      await mkdir(directory);
      const { files, error } = await fill(directory, seed * 8);
      expect(error).toBe("ENOSPC");
      // Six drives of 512 MiB are 2 GiB of user data in 4+2, less journal, state, containers and reserve.
      expect(files.size * fileBytes).toBeGreaterThan(512 << 20);
      await expectFiles(files);

      await cluster.kill9Server();
      const startMs = await cluster.startServer();
      await expectFiles(files);
      mount = await remount(cluster, mount);
      await expectFiles(files);
      await rm(join(directory, `file${files.size}`), { force: true });

      const before = await availableBytes(mount);
      const doomed = [...files.keys()].filter((_, index) => index % 2 === 0);
      for (const path of doomed) await rm(path);
      for (const path of doomed) files.delete(path);
      const freedMs = await untilFreed(mount, before, doomed.length * fileBytes * 0.7);
      console.log(
        `full after ${files.size + doomed.length} files of 8 MiB; start while full ${Math.round(startMs)} ms; df after ${Math.round(freedMs)} ms`,
      );
      await expectFiles(files);

      const again = join(mount.path, "again");
      await mkdir(again);
      const second = await fill(again, seed * 8 + 40_000);
      expect(second.error).toBe("ENOSPC");
      expect(second.files.size).toBeGreaterThan(doomed.length / 2);
      await expectFiles(files);
      await expectFiles(second.files);
      mount = await remount(cluster, mount);
      await expectFiles(files);
      await expectFiles(second.files);

      // Truncating and removing need no space, whatever the state.
      await writeFile(join(again, "file0"), "");
      await rm(directory, { recursive: true });
      await rm(again, { recursive: true });
      await expectCleanFsck(cluster);
    });
  });
});
