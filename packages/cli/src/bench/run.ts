/**
 * Runs the steps of `cfs bench` in a folder of its own and takes that folder away again, also after a failure or Ctrl-C.
 *
 * The large file is read with a cold page cache: as root the kernel is asked to drop its clean pages, otherwise the reads bypass it (O_DIRECT).
 * A file system that knows neither is read through the cache, and the figure says so.
 */
import { mkdir, rm, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CfsError } from "@cfs/core";
import { formatBytes } from "../format.ts";
import { fromNodeError } from "../node-error.ts";
import { type FigureShape, figureOf } from "./figures.ts";
import { type BenchOptions, type Figure, type Job, type JobResult, blockBytes } from "./plan.ts";
import { BenchWorkers } from "./workers.ts";

export interface BenchParts {
  readonly signal: AbortSignal;
  /** Called before each step with what it does. */
  readonly onStep: (name: string) => void;
  readonly onFigure: (figure: Figure) => void;
}

async function checkSpace(folder: string, options: BenchOptions): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const neededBytes = Math.ceil((options.sizeBytes + options.fileCount * options.threadCount * blockBytes) * 1.05);
  if (bavail * bsize >= neededBytes) return;
  throw new CfsError("NO_SPACE", `bench needs ${formatBytes(neededBytes)} in ${options.path}, ${formatBytes(bavail * bsize)} are free`, {
    details: { next: "use a smaller --size or fewer --files" },
  });
}

/** True when the kernel dropped its clean pages, which only root may ask for. */
async function dropPageCache(): Promise<boolean> {
  try {
    await writeFile("/proc/sys/vm/drop_caches", "1");
    return true;
  } catch {
    // Not root, or a container without that file: the reads go past the cache instead.
    return false;
  }
}

class Bench {
  readonly #options: BenchOptions;
  readonly #parts: BenchParts;
  readonly #folder: string;
  readonly #workers: BenchWorkers;
  readonly #figures: Figure[] = [];

  constructor(options: BenchOptions, parts: BenchParts, folder: string, workers: BenchWorkers) {
    this.#options = options;
    this.#parts = parts;
    this.#folder = folder;
    this.#workers = workers;
  }

  async run(): Promise<readonly Figure[]> {
    await this.#largeFile();
    const counts = this.#options.threadCount === 1 ? [1] : [1, this.#options.threadCount];
    for (const threads of counts) await this.#random("randomRead", "4 KiB random read", threads);
    for (const threads of counts) await this.#random("randomWrite", "4 KiB random write + fsync", threads);
    for (const threads of counts) await this.#smallFiles(threads);
    return this.#figures;
  }

  get #largePath(): string {
    return join(this.#folder, "large");
  }

  #job(kind: Job["kind"], path: string, isDirect = false): Job {
    const { sizeBytes, fileCount, seconds } = this.#options;
    return { kind, path, sizeBytes, fileCount, seconds, isDirect };
  }

  async #step(shape: Omit<FigureShape, "how">, jobs: readonly Job[], how: (results: readonly JobResult[]) => string | null): Promise<void> {
    this.#parts.onStep(`${shape.name}, ${jobs.length === 1 ? "1 thread" : `${jobs.length} threads`}`);
    const results = await this.#workers.run(jobs);
    const figure = figureOf({ ...shape, how: how(results) }, results);
    this.#figures.push(figure);
    this.#parts.onFigure(figure);
  }

  async #largeFile(): Promise<void> {
    await this.#step(
      { name: "sequential write + fsync", unit: "MB/s", withLatency: false },
      [this.#job("write", this.#largePath)],
      () => null,
    );
    const isCold = await dropPageCache();
    await this.#step(
      { name: "sequential read", unit: "MB/s", withLatency: false },
      [this.#job("read", this.#largePath, !isCold)],
      ([result]) => {
        if (isCold) return "cold";
        return result?.wasDirect === true ? "direct" : "page cache";
      },
    );
  }

  async #random(kind: "randomRead" | "randomWrite", name: string, threads: number): Promise<void> {
    const isDirect = kind === "randomRead";
    const jobs = Array.from({ length: threads }, () => this.#job(kind, this.#largePath, isDirect));
    await this.#step({ name, unit: "per s", withLatency: true }, jobs, ([result]) => {
      if (!isDirect) return null;
      return result?.wasDirect === true ? "direct" : "page cache";
    });
  }

  async #smallFiles(threads: number): Promise<void> {
    const folders = Array.from({ length: threads }, (_unused, index) => join(this.#folder, `small-${threads}-${index}`));
    for (const folder of folders) await mkdir(folder);
    for (const [kind, name] of [
      ["create", "create 4 KiB file"],
      ["stat", "stat"],
      ["unlink", "unlink"],
    ] as const) {
      const jobs = folders.map((folder) => this.#job(kind, folder));
      await this.#step({ name, unit: "per s", withLatency: true }, jobs, () => null);
    }
  }
}

/** Measures `options.path`. Leaves nothing behind; an aborted signal ends it within one operation. */
export async function runBenchSteps(options: BenchOptions, parts: BenchParts): Promise<readonly Figure[]> {
  const folder = join(options.path, `.cfs-bench-${process.pid}`);
  try {
    await checkSpace(options.path, options);
    await mkdir(folder);
  } catch (reason) {
    throw fromNodeError(reason, options.path);
  }
  try {
    await using workers = new BenchWorkers(options.threadCount, parts.signal);
    return await new Bench(options, parts, folder, workers).run();
  } catch (reason) {
    throw fromNodeError(reason, options.path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
