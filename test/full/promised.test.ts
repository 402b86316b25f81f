/** fallocate on small drives: df shows it as used, others do not get it, and it can be written when nothing else is left. Needs root and /dev/fuse. */
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { contentOf } from "../crash/content.ts";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, seed, whySkipped } from "../settings.ts";
import { availableBytes, fileBytes, fill, untilFreed } from "./fill.ts";

const reason = whySkipped("space that fallocate sets aside");
const replay = replayCommand("test/full/promised.test.ts");
const driveBytes = 300 << 20;
const promisedBytes = 200 << 20;

async function writeOver(path: string): Promise<void> {
  await using file = await open(path, "r+");
  for (let at = 0; at < promisedBytes; at += fileBytes) await file.write(contentOf(seed * 8 + at + 1, fileBytes), 0, fileBytes, at);
  await file.sync();
}

describe.skipIf(reason !== null)("six tmpfs drives of 300 MiB", () => {
  test("keep what fallocate was promised", { timeout: 300_000 }, async () => {
    await withCluster({ driveKind: "tmpfs", driveBytes, replay }, async (cluster) => {
      const mount = await cluster.mount();
      const path = join(mount.path, "promised");
      const before = await availableBytes(mount);
      const allocated = await cluster.run("fallocate", ["-l", String(promisedBytes), path]);
      expect([allocated.code, allocated.stderr]).toEqual([0, ""]);
      const tooMuch = await cluster.run("fallocate", ["-l", String(before), join(mount.path, "more")]);
      expect(tooMuch.stderr).toContain("No space left");
      const after = await availableBytes(mount);
      expect(before - after).toBeGreaterThan(promisedBytes * 0.99);
      expect(before - after).toBeLessThan(promisedBytes * 1.2);

      const directory = join(mount.path, "others");
      await mkdir(directory);
      const { files, error } = await fill(directory, seed * 8);
      expect(error).toBe("ENOSPC");
      expect(files.size * fileBytes).toBeLessThan(before - promisedBytes);
      await writeOver(path);
      await cluster.kill9Server();
      await cluster.startServer();
      const bytes = await readFile(path);
      for (let at = 0; at < promisedBytes; at += fileBytes)
        expect([at, bytes.subarray(at, at + fileBytes).equals(contentOf(seed * 8 + at + 1, fileBytes))]).toEqual([at, true]);

      await rm(path);
      await untilFreed(mount, 0, promisedBytes * 0.9);
      await expectCleanFsck(cluster);
    });
  });
});
