/**
 * What a program wrote into the page cache and the drives did not take is told by the call that waits for it: fsync, close, msync. Once for each open
 * file, as Linux does. Needs root, /dev/fuse and a C compiler.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cluster, withCluster } from "@cfs/testkit";
import { buildC } from "@cfs/testkit/posix";
import { describe, expect, test } from "vitest";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, seed, whySkipped } from "../settings.ts";
import { expectFiles, fill, untilFreed } from "./fill.ts";

const reason = whySkipped("what full drives tell");
const replay = replayCommand("test/full/told.test.ts");
const driveBytes = 300 << 20;
const tooMuchBytes = 96 << 20;
const noSpace = 28;

async function answers(cluster: Cluster, program: string, mode: string, path: string): Promise<Record<string, number>> {
  const { code, stdout, stderr } = await cluster.run(program, [mode, path, String(tooMuchBytes)]);
  expect([mode, code, stderr]).toEqual([mode, 0, ""]);
  const words = stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" "));
  return Object.fromEntries(words.map(([call = "", errno]): [string, number] => [call, Number(errno)]));
}

describe.skipIf(reason !== null)("full drives tell", () => {
  const program = buildC({ name: "too-much", sources: [fileURLToPath(new URL("./src/too-much.c", import.meta.url))] });

  test("fsync, close and msync of what they did not take", { timeout: 300_000 }, async () => {
    await withCluster({ driveKind: "tmpfs", driveBytes, replay }, async (cluster) => {
      const mount = await cluster.mount();
      const directory = join(mount.path, "fill");
      await mkdir(directory);
      const { files, error } = await fill(directory, seed * 8);
      expect(error).toBe("ENOSPC");

      const path = (mode: string): string => join(mount.path, mode);
      const byFsync = await answers(cluster, program, "fsync", path("fsync"));
      expect(byFsync).toEqual({ write: 0, fsync: noSpace, "fsync-again": 0, close: 0, "fsync-other": noSpace, "close-other": 0 });
      const byClose = await answers(cluster, program, "close", path("close"));
      expect(byClose).toEqual({ write: 0, close: noSpace, "fsync-other": noSpace, "close-other": 0 });
      const byMsync = await answers(cluster, program, "msync", path("msync"));
      expect(byMsync).toMatchObject({ ftruncate: 0, msync: noSpace, munmap: 0, "fsync-other": noSpace, "close-other": 0 });

      await expectFiles(files);
      for (const mode of ["fsync", "close", "msync"]) await rm(path(mode));
      for (const file of files.keys()) await rm(file);
      await untilFreed(mount, 0, tooMuchBytes * 2);
      const withRoom = { write: 0, fsync: 0, "fsync-again": 0, close: 0, "fsync-other": 0, "close-other": 0 };
      expect(await answers(cluster, program, "fsync", path("later"))).toEqual(withRoom);
      await expectCleanFsck(cluster);
    });
  });
});
