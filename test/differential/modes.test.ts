/** One file under random access holds what the model holds in the cache modes that are not the default, and `none` keeps no pages. Needs root and /dev/fuse. */
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cluster, withCluster } from "@cfs/testkit";
import { buildC } from "@cfs/testkit/posix";
import { describe, expect, test } from "vitest";
import { whySkipped } from "../settings.ts";

const source = (name: string): string => fileURLToPath(new URL(`./src/${name}`, import.meta.url));
const reason = whySkipped("one file in each cache mode");
/** Enough to go to a segment at once: what is read of the log is not counted. */
const fileBytes = 4 << 20;
/** Found that SEEK_DATA did not see what a map had written. */
const seed = 11;
const steps = 1_500;

/** What the server has sent to its client. */
async function bytesRead(cluster: Cluster): Promise<number> {
  const { details } = JSON.parse((await cluster.cfs(["admin", "status", "--json", "--server", cluster.address])).stdout) as {
    readonly details: { readonly reads: { readonly bytes: number } };
  };
  return details.reads.bytes;
}

describe.skipIf(reason !== null)("one file", () => {
  const program = buildC({ name: "exerciser", sources: ["story.h", "story.c", "exerciser.c"].map(source) });

  test.each([
    ["writethrough", 0],
    ["none", 1],
  ] as const)("with --cache-mode %s holds what the model holds", { timeout: 120_000 }, async (mode, timesReadAgain) => {
    await withCluster({ drives: 1, replay: "pnpm exec vitest run --project system test/differential/modes.test.ts" }, async (cluster) => {
      const mount = await cluster.mount({ flags: ["--cache-mode", mode] });
      const { code, stdout, stderr } = await cluster.run(program, [join(mount.path, "file"), `${seed}`, `${steps}`]);
      expect([code, stdout + stderr]).toEqual([0, expect.stringContaining("right after")]);
      const path = join(mount.path, "read");
      await writeFile(path, randomBytes(fileBytes));
      await readFile(path);
      const before = await bytesRead(cluster);
      await readFile(path);
      expect(Math.floor(((await bytesRead(cluster)) - before) / fileBytes)).toBe(timesReadAgain);
      await mount.umount();
    });
  });
});
