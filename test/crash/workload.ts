/**
 * Writers on a mount of a testbed, and the models of what they did: begin, break something, end, compare.
 *
 * Two writers work in two directories at once, so that acknowledgements of one fall between the changes of the other.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "@cfs/core";
import type { Cluster, ClusterMount } from "@cfs/testkit";
import { modelOf, observe } from "./observe.ts";
import { TreeModel } from "./tree-model.ts";
import { verifyAfterCrash, verifyNow } from "./verify.ts";
import type { Verdict } from "./verify.ts";
import { replay, WriterProcess } from "./writer-process.ts";
import type { WriterEnd } from "./writer-process.ts";

/** What the kernel says to those who use a mount whose process was killed. */
const lostMountErrors: ReadonlySet<string> = new Set(["ENOTCONN", "ECONNABORTED", "EIO"]);

export interface WorkloadCounts {
  operations: number;
  acknowledgedSyncs: number;
  certainFiles: number;
  certainBytes: number;
  survivedChanges: number;
}

export class Workload {
  readonly counts: WorkloadCounts = { operations: 0, acknowledgedSyncs: 0, certainFiles: 0, certainBytes: 0, survivedChanges: 0 };
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #names: readonly string[];
  #models: TreeModel[];
  #writers: WriterProcess[] = [];

  constructor(cluster: Cluster, random: Random, writers = 2) {
    this.#cluster = cluster;
    this.#random = random;
    this.#names = Array.from({ length: writers }, (_, index) => `writer${index + 1}`);
    this.#models = this.#names.map(() => new TreeModel());
  }

  /** Starts the writers on `mount` and waits until each has done something. */
  async begin(mount: ClusterMount): Promise<void> {
    this.#writers = [];
    for (const name of this.#names) {
      const root = join(mount.path, name);
      await mkdir(root, { recursive: true });
      const seed = Math.floor(this.#random.next() * 2 ** 31);
      this.#writers.push(
        WriterProcess.start({ root, manifest: join(this.#cluster.base, `${name}.manifest`), seed, environment: this.#cluster.environment }),
      );
    }
    await this.untilProgress(2);
  }

  /** Until every writer has gone on by `lines` lines of its manifest. */
  async untilProgress(lines: number): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.untilProgress(lines)));
  }

  /** Ends the writers; each of their operations must have worked. */
  async endWell(): Promise<void> {
    const ends = await Promise.all(this.#writers.map((writer) => writer.stop()));
    this.#take(ends);
    const failed = ends.flatMap((end) => (end.failed === null ? [] : [end.failed]));
    if (failed.length > 0) throw new Error(`an application saw an error: ${failed.map((entry) => JSON.stringify(entry)).join("; ")}`);
  }

  /** Kills the writers after their mount is gone. What they saw before must have been right. */
  async endLost(): Promise<void> {
    const ends = await Promise.all(this.#writers.map((writer) => writer.kill()));
    this.#take(ends);
    for (const { failed } of ends) {
      if (failed !== null && !lostMountErrors.has(failed.error ?? ""))
        throw new Error(`an application saw what a lost mount does not explain: ${JSON.stringify(failed)}`);
    }
  }

  #take(ends: readonly WriterEnd[]): void {
    for (const [index, { entries }] of ends.entries()) {
      replay(this.#model(index), entries);
      this.counts.operations += entries.length;
      this.counts.acknowledgedSyncs += entries.filter(
        ({ operation, state }) => state === "done" && operation.type.startsWith("fsync"),
      ).length;
    }
  }

  #model(index: number): TreeModel {
    const model = this.#models[index];
    if (model === undefined) throw new Error(`there is no writer ${index}`);
    return model;
  }

  /** Everything that was done is there. */
  async expectAll(mount: ClusterMount, when: string): Promise<void> {
    await this.#compare(mount, when, verifyNow);
  }

  /** Everything that was acknowledged is there and nothing is half-done. What was found is the truth from now on. */
  async expectAcknowledged(mount: ClusterMount, when: string): Promise<void> {
    this.#models = await this.#compare(mount, when, verifyAfterCrash);
  }

  /** After a clean unmount nothing is uncertain any more. */
  async settle(mount: ClusterMount): Promise<void> {
    this.#models = await this.#compare(mount, "after a clean unmount", verifyNow);
  }

  async #compare(
    mount: ClusterMount,
    when: string,
    verify: (model: TreeModel, observed: Awaited<ReturnType<typeof observe>>) => Verdict,
  ): Promise<TreeModel[]> {
    const found: TreeModel[] = [];
    for (const [index, name] of this.#names.entries()) {
      const observed = await observe(join(mount.path, name));
      const { problems, survivedCount, certainFiles, certainBytes } = verify(this.#model(index), observed);
      if (problems.length > 0) {
        const pending = this.#model(index).pendingOperations.map(
          (operation, at) => `${at < survivedCount ? "there" : "not there"}: ${operation}`,
        );
        const lines = [...problems, `changes of names since the last fsync, as they fit best (${pending.length}):`, ...pending];
        throw new Error(`${when}, ${name}: ${problems.length} problems\n  ${lines.join("\n  ")}`);
      }
      this.counts.certainFiles += certainFiles;
      this.counts.certainBytes += certainBytes;
      this.counts.survivedChanges += survivedCount;
      found.push(modelOf(observed));
    }
    return found;
  }
}

/** `cfs fsck` finds nothing wrong. */
export async function expectCleanFsck(cluster: Cluster): Promise<void> {
  const { code, stdout, stderr } = await cluster.cfs(["fsck", "--server", cluster.address, "--json"]);
  if (code !== 0) throw new Error(`fsck ended with ${code}: ${stdout}${stderr}`);
}
