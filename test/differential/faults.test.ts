/**
 * One file under random access holds what the model holds, while the server is killed or stands still, and while the mount is made anew, in
 * order or after a kill: what was synced is there.
 *
 * CFS_FAULTS_SEEDS (default 1) and CFS_DIFFERENTIAL_STEPS (default 2000) make a longer run, CFS_DIFFERENTIAL_SEED starts at another seed. The steps follow
 * from the seed; the moments of the faults are as the machine lets them be.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Cluster, type ClusterMount, withCluster } from "@cfs/testkit";
import { buildC } from "@cfs/testkit/posix";
import { describe, expect, test } from "vitest";
import { whySkipped } from "../settings.ts";

const source = (name: string): string => fileURLToPath(new URL(`./src/${name}`, import.meta.url));
const count = Number(process.env["CFS_FAULTS_SEEDS"] ?? 1);
const steps = Number(process.env["CFS_DIFFERENTIAL_STEPS"] ?? 2000);
const firstSeed = Number(process.env["CFS_DIFFERENTIAL_SEED"] ?? 1);
const seeds = Array.from({ length: count }, (_, index) => firstSeed + index);
const faultEvery = 250;
const runMs = 120_000 + steps * 60;
const reason = whySkipped("one file under faults");

/** What happens to a file that is open; the exerciser goes on meanwhile. */
const whileOpen: readonly ((cluster: Cluster) => Promise<unknown>)[] = [
  async (cluster) => {
    await cluster.kill9Server();
    return cluster.startServer();
  },
  (cluster) => cluster.pauseServer(500),
  async (cluster) => {
    await cluster.stopServer();
    return cluster.startServer();
  },
];

/** What happens while nobody has anything open; resolves with the mount that the exerciser goes on with. */
const whileClosed: readonly ((cluster: Cluster, mount: ClusterMount) => Promise<ClusterMount>)[] = [
  async (cluster, mount) => {
    await mount.umount();
    return cluster.mount();
  },
  async (cluster, mount) => {
    await mount.kill9();
    await mount.detach();
    return cluster.mount();
  },
  async (cluster, mount) => {
    await cluster.kill9Server();
    await mount.kill9();
    await mount.detach();
    await cluster.startServer();
    return cluster.mount();
  },
];

/** The words of the exerciser, each answered with a fault; resolves with its last words. */
async function playFaults(cluster: Cluster, child: ChildProcess, mount: ClusterMount): Promise<string> {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("the exerciser has no pipes");
  const said: string[] = [];
  let current = mount;
  let faults = 0;
  let running: Promise<unknown> = Promise.resolve();
  for await (const line of createInterface({ input: stdout })) {
    if (line !== "open" && line !== "closed") {
      said.push(line);
      continue;
    }
    await running;
    const index = faults++ % 3;
    if (line === "open") running = whileOpen[index]?.(cluster) ?? running;
    else current = (await whileClosed[index]?.(cluster, current)) ?? current;
    // So that what is broken is broken when the next step begins.
    await setTimeout(20);
    stdin.write("go on\n");
  }
  await running;
  return said.join("\n");
}

describe.skipIf(reason !== null)("one file under faults", () => {
  const program = buildC({ name: "exerciser", sources: ["story.h", "story.c", "exerciser.c"].map(source) });

  test.each(seeds)("holds what the model holds, seed %i", { timeout: runMs }, async (seed) => {
    const replay = `CFS_DIFFERENTIAL_SEED=${seed} CFS_FAULTS_SEEDS=1 pnpm exec vitest run --project system test/differential/faults.test.ts`;
    await withCluster({ replay }, async (cluster) => {
      const mount = await cluster.mount();
      const args = [join(mount.path, "file"), `${seed}`, `${steps}`, "faults", `${faultEvery}`];
      const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], env: cluster.environment });
      const exited = once(child, "exit");
      expect(await playFaults(cluster, child, mount)).toContain("right after");
      expect(await exited).toEqual([0, null]);
    });
  });
});
