/** The threads of `cfs bench`: started once, given one job each at a time, stopped together. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { CfsError } from "@cfs/core";
import type { Job, JobFailure, JobResult, WorkerStart } from "./plan.ts";

/** The worker's file has the ending that this one has: .ts in a checkout, .js when shipped. */
const workerUrl = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);

export class BenchWorkers {
  readonly #workers: readonly Worker[];
  readonly #control: Int32Array;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => void Atomics.store(this.#control, 0, 1);

  constructor(count: number, signal: AbortSignal) {
    this.#control = new Int32Array(new SharedArrayBuffer(4));
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
    this.#workers = Array.from({ length: count }, (_unused, index) => {
      const start: WorkerStart = { control: this.#control, seed: index + 1 };
      return new Worker(workerUrl, { workerData: start });
    });
  }

  /** Gives each job to a worker of its own and waits for all; the first failure is thrown after all have ended. */
  async run(jobs: readonly Job[]): Promise<readonly JobResult[]> {
    this.#signal.throwIfAborted();
    const answers = await Promise.all(
      jobs.map(async (job, index) => {
        const worker = this.#workers[index];
        if (worker === undefined) throw new CfsError("INVALID", `${jobs.length} jobs for ${this.#workers.length} workers`);
        const replied = once(worker, "message") as Promise<[JobResult | JobFailure]>;
        worker.postMessage(job);
        const [answer] = await replied;
        return answer;
      }),
    );
    this.#signal.throwIfAborted();
    return answers.map((answer, index) => {
      if (!("errno" in answer)) return answer;
      throw CfsError.fromErrno(answer.errno, `bench ${jobs[index]?.kind ?? ""}: ${answer.message}`);
    });
  }

  async close(): Promise<void> {
    this.#onAbort();
    this.#signal.removeEventListener("abort", this.#onAbort);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
