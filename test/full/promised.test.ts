/**
 * fallocate on small drives: df shows it as used, others do not get it, and it can be written when nothing else is left, once: what is overwritten
 * needs room of its own, and without any is what it was (docs/operating/limits.md). Needs root and /dev/fuse.
 */
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

/** What stands at `at` after the file was written over for the `generation`-th time. */
function bytesAt(at: number, generation: number): Buffer {
  return contentOf(seed * 8 + at * 4 + 2 * generation + 1, fileBytes);
}

async function writeOver(path: string, generation: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    for (let at = 0; at < promisedBytes; at += fileBytes) await file.write(bytesAt(at, generation), 0, fileBytes, at);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** How many pages are of which generation; none may be of neither. */
async function generations(path: string): Promise<number[]> {
  const counts = [0, 0];
  const bytes = await readFile(path);
  for (let at = 0; at < promisedBytes; at += fileBytes) {
    const known = [0, 1].map((generation) => bytesAt(at, generation));
    for (let page = 0; page < fileBytes; page += 4096) {
      const found = bytes.subarray(at + page, at + page + 4096);
      const generation = known.findIndex((one) => one.subarray(page, page + 4096).equals(found));
      if (generation < 0) expect.unreachable(`other bytes at ${at + page}`);
      counts[generation] = (counts[generation] as number) + 1;
    }
  }
  return counts;
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
      await writeOver(path, 0);
      await cluster.kill9Server();
      await cluster.startServer();
      const pages = promisedBytes / 4096;
      expect(await generations(path)).toEqual([pages, 0]);

      await expect(writeOver(path, 1)).rejects.toMatchObject({ code: "ENOSPC" });
      await mount.umount();
      const again = await cluster.mount();
      const [old = 0, young = 0] = await generations(path);
      expect([old > 0, old + young]).toEqual([true, pages]);
      await rm(directory, { recursive: true });
      await untilFreed(again, 0, promisedBytes * 1.5);
      await writeOver(path, 1);
      expect(await generations(path)).toEqual([0, pages]);

      await rm(path);
      await untilFreed(again, 0, promisedBytes * 2);
      await expectCleanFsck(cluster);
    });
  });
});
