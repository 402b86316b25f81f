/**
 * kill -9 at random moments of a write load, checked against what applications had seen acknowledged. Needs root and /dev/fuse.
 *
 * Two kinds of rounds. The server dies under a living client: applications wait, see no error, and nothing at all is missing, not even what was never
 * synced. Server and client die (in any order): all that was acknowledged by fsync is there, byte for byte, and nothing is half-done.
 */
import { setTimeout } from "node:timers/promises";
import { seededRandom } from "@cfs/storage";
import { type Cluster, type ClusterMount, withCluster } from "@cfs/testkit";
import { describe, expect, test } from "vitest";
import { replayCommand, rounds, seed, whySkipped } from "../settings.ts";
import { expectCleanFsck, Workload } from "./workload.ts";

const reason = whySkipped("kill -9");
const testTimeoutMs = 600_000 + rounds * 20_000;
/** Kills of the server alone between two comparisons. */
const killsPerPhase = 5;

class CrashRun {
  readonly #cluster: Cluster;
  readonly #random = seededRandom(seed);
  readonly #workload: Workload;
  readonly startMs: number[] = [];
  #mount: ClusterMount;

  constructor(cluster: Cluster, mount: ClusterMount) {
    this.#cluster = cluster;
    this.#mount = mount;
    this.#workload = new Workload(cluster, this.#random);
  }

  get counts(): Workload["counts"] {
    return this.#workload.counts;
  }

  #wait(msMax: number): Promise<void> {
    return setTimeout(this.#random.next() * msMax);
  }

  async #killServer(): Promise<void> {
    if (!this.#cluster.isServerRunning) throw new Error("the server ended by itself");
    await this.#cluster.kill9Server();
  }

  async #restart(): Promise<void> {
    this.startMs.push(await this.#cluster.startServer());
  }

  /** The server dies `count` times; the client and the applications live. Then a clean unmount, and all is there on the server as well. */
  async serverDies(count: number): Promise<void> {
    await this.#workload.begin(this.#mount);
    for (let kill = 0; kill < count; kill++) {
      await this.#wait(400);
      await this.#killServer();
      await this.#wait(150);
      await this.#restart();
      await this.#workload.untilProgress(8);
    }
    await this.#workload.endWell();
    await this.#workload.expectAll(this.#mount, "with the client alive");
    await this.#mount.umount();
    this.#mount = await this.#cluster.mount();
    await this.#workload.settle(this.#mount);
  }

  /** Server and client die, in this or that order, or the client alone. */
  async bothDie(): Promise<void> {
    await this.#workload.begin(this.#mount);
    await this.#wait(500);
    const isServerFirst = this.#random.next() < 0.5;
    const isServerKilled = isServerFirst || this.#random.next() < 0.5;
    if (isServerFirst) await this.#killServer();
    if (isServerFirst) await this.#wait(30);
    await this.#mount.kill9();
    if (isServerKilled && !isServerFirst) await this.#wait(30);
    if (isServerKilled && !isServerFirst) await this.#killServer();
    await this.#workload.endLost();
    await this.#mount.detach();
    if (isServerKilled) await this.#restart();
    this.#mount = await this.#cluster.mount();
    await this.#workload.expectAcknowledged(this.#mount, `after ${isServerKilled ? "server and client" : "the client"} died`);
  }
}

function figures(run: CrashRun): string {
  const sorted = run.startMs.toSorted((left, right) => left - right);
  const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  const { operations, acknowledgedSyncs, certainFiles, certainBytes, survivedChanges } = run.counts;
  return [
    `seed ${seed}: ${operations} operations, ${acknowledgedSyncs} acknowledged syncs`,
    `${certainFiles} files of ${Math.round(certainBytes / 1e6)} MB compared byte for byte, ${survivedChanges} changes survived unacknowledged`,
    `start after a kill: median ${at(0.5)} ms, longest ${at(1)} ms of ${sorted.length}`,
  ].join("; ");
}

describe.skipIf(reason !== null)("kill -9 under a write load", () => {
  test(`${rounds} rounds`, { timeout: testTimeoutMs }, async () => {
    await withCluster({ replay: replayCommand("test/crash/crash.test.ts") }, async (cluster) => {
      const run = new CrashRun(cluster, await cluster.mount());
      for (let round = 0; round < rounds; round++) {
        const count = Math.min(killsPerPhase, rounds - round);
        await run.serverDies(count);
        round += count;
        if (round < rounds) await run.bothDie();
      }
      await expectCleanFsck(cluster);
      console.log(figures(run));
      // A run that acknowledged nothing has proved nothing.
      expect(run.counts.acknowledgedSyncs).toBeGreaterThan(rounds);
      expect(run.counts.certainFiles).toBeGreaterThan(rounds);
    });
  });
});
