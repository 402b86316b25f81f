/**
 * What was written while two drives were away is coded again when they are back, over kill -9 of the server, and then survives the loss of two others.
 * Needs root and /dev/fuse.
 */
import { createHash, randomFillSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { NodeDetails } from "@cfs/server";
import { type Cluster, type TestDrive, withCluster } from "@cfs/testkit";
import { expect, test } from "vitest";
import { expectCleanFsck } from "../crash/workload.ts";
import { replayCommand, whySkipped } from "../settings.ts";

const reason = whySkipped("coding again");
const fileBytes = 192 << 20;
const waitMs = 60_000;

async function detailsOf(cluster: Cluster): Promise<NodeDetails> {
  // Its exit code says that drives are missing.
  const { stdout } = await cluster.cfs(["admin", "status", "--server", cluster.address, "--json"]);
  return (JSON.parse(stdout) as { details: NodeDetails }).details;
}

async function until(cluster: Cluster, what: string, is: (details: NodeDetails) => boolean): Promise<NodeDetails> {
  const end = performance.now() + waitMs;
  for (;;) {
    const details = await detailsOf(cluster);
    if (is(details)) return details;
    if (performance.now() > end) throw new Error(`${what} did not happen within ${waitMs / 1000} s: ${JSON.stringify(details.recode)}`);
    await setTimeout(100);
  }
}

async function restartWithout(cluster: Cluster, away: readonly TestDrive[]): Promise<void> {
  await cluster.stopServer();
  for (const drive of away) await drive.moveAway();
  await cluster.startServer(cluster.drives.filter((drive) => !away.includes(drive)).map(({ path }) => path));
}

function sumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test.skipIf(reason !== null)(
  "what four drives got is 4+2 again, after kill -9 in between, and survives two others",
  { timeout: 170_000 },
  async () => {
    await withCluster({ replay: replayCommand("test/drives/recode.test.ts") }, async (cluster) => {
      const paths = cluster.drives.map(({ path }) => path);
      await restartWithout(cluster, cluster.drives.slice(4));
      const mount = await cluster.mount();
      const bytes = randomFillSync(Buffer.alloc(fileBytes));
      await writeFile(join(mount.path, "file"), bytes, { flush: true });
      await mount.umount();
      expect((await detailsOf(cluster)).layout).toEqual({ k: 2, m: 2 });

      await cluster.stopServer();
      for (const drive of cluster.drives.slice(4)) await drive.moveBack();
      await cluster.startServer(paths);
      const under = await until(cluster, "the beginning", ({ recode }) => recode.recoded > 0);
      expect(under.recode.waiting).toBeGreaterThan(0);
      await cluster.kill9Server();
      await cluster.startServer(paths);
      const done = await until(cluster, "the end", ({ recode }) => recode.recoded > 0 && recode.waiting === 0);
      expect(done.recode.bytes).toBeGreaterThan(0);
      expect(done.recode.bytes).toBeLessThan(fileBytes);
      await until(cluster, "dropping the old", ({ space }) => space.deadBytes === 0);
      await expectCleanFsck(cluster);

      await restartWithout(cluster, cluster.drives.slice(2, 4));
      const again = await cluster.mount();
      expect(sumOf(await readFile(join(again.path, "file")))).toBe(sumOf(bytes));
      const { space, layout } = await detailsOf(cluster);
      expect(layout).toEqual({ k: 2, m: 2 });
      // 4+2: parity, headers and tables take a half; of 2+2 they would take as much as the data.
      expect(space.parityBytes).toBeLessThan(space.liveBytes * 0.6);
      await again.umount();
    });
  },
);
