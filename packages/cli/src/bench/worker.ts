/**
 * One thread of `cfs bench`: does the file system calls of one job in a row, synchronously, and times each.
 *
 * Synchronous calls in threads measure what a program with that many threads gets, without an event loop between the call and the clock.
 * Buffers for O_DIRECT come from WebAssembly memories, which begin on a page, as the kernel demands.
 */
import { closeSync, constants, fsyncSync, openSync, readSync, statSync, unlinkSync, writeSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import { performance } from "node:perf_hooks";
import { parentPort, workerData } from "node:worker_threads";
import { type Job, type JobFailure, type JobResult, type WorkerStart, blockBytes, transferBytes } from "./plan.ts";

/** The part of the WebAssembly interface that is used here; its full types belong to the browser's library. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer };
};

const { control, seed } = workerData as WorkerStart;
const wasmPageBytes = 65_536;
let state = seed >>> 0;
let stamp = seed * 2 ** 32;

/** xorshift32: enough to scatter offsets, the same in every run. */
function nextRandom(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return Math.floor((state / 2 ** 32) * below);
}

function pageAligned(sizeBytes: number): Buffer {
  const pages = Math.ceil(sizeBytes / wasmPageBytes);
  return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer, 0, sizeBytes);
}

/** Makes every block of the buffer different from every block written before. */
function stampBlocks(buffer: Buffer): void {
  for (let at = 0; at < buffer.length; at += blockBytes) buffer.writeDoubleLE(++stamp, at);
}

/** Times operations one by one; ends when the job says so or everything shall stop. */
class Stopwatch {
  readonly #latencies: number[] = [];
  readonly beginMs = performance.now();
  #lastMs = this.beginMs;

  get isStopped(): boolean {
    return Atomics.load(control, 0) === 1;
  }

  /** Marks the end of one operation and the beginning of the next. */
  lap(): void {
    const nowMs = performance.now();
    this.#latencies.push((nowMs - this.#lastMs) * 1e6);
    this.#lastMs = nowMs;
  }

  get elapsedSeconds(): number {
    return (this.#lastMs - this.beginMs) / 1000;
  }

  result(bytesPerOperation: number, wasDirect: boolean): JobResult {
    const operations = this.#latencies.length;
    return {
      operations,
      bytes: operations * bytesPerOperation,
      beginMs: this.beginMs,
      endMs: performance.now(),
      latenciesNs: Float64Array.from(this.#latencies),
      wasDirect,
    };
  }
}

/** Opens with O_DIRECT when asked for and possible. */
function open(path: string, flags: number, isDirect: boolean): { file: number; wasDirect: boolean } {
  if (isDirect) {
    try {
      return { file: openSync(path, flags | constants.O_DIRECT), wasDirect: true };
    } catch (reason) {
      if ((reason as NodeJS.ErrnoException).code !== "EINVAL") throw reason;
    }
  }
  return { file: openSync(path, flags), wasDirect: false };
}

function writeLarge(job: Job): JobResult {
  const buffer = pageAligned(transferBytes);
  randomFillSync(buffer);
  const file = openSync(job.path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC);
  try {
    const watch = new Stopwatch();
    for (let at = 0; at < job.sizeBytes && !watch.isStopped; at += transferBytes) {
      stampBlocks(buffer);
      writeSync(file, buffer, 0, transferBytes, at);
      watch.lap();
    }
    fsyncSync(file);
    return watch.result(transferBytes, false);
  } finally {
    closeSync(file);
  }
}

function readLarge(job: Job): JobResult {
  const buffer = pageAligned(transferBytes);
  const { file, wasDirect } = open(job.path, constants.O_RDONLY, job.isDirect);
  try {
    const watch = new Stopwatch();
    for (let at = 0; at < job.sizeBytes && !watch.isStopped; at += transferBytes) {
      readSync(file, buffer, 0, transferBytes, at);
      watch.lap();
    }
    return watch.result(transferBytes, wasDirect);
  } finally {
    closeSync(file);
  }
}

function randomBlocks(job: Job): JobResult {
  const isWrite = job.kind === "randomWrite";
  const buffer = pageAligned(blockBytes);
  randomFillSync(buffer);
  const { file, wasDirect } = open(job.path, isWrite ? constants.O_WRONLY : constants.O_RDONLY, job.isDirect);
  try {
    const blockCount = Math.floor(job.sizeBytes / blockBytes);
    const watch = new Stopwatch();
    while (watch.elapsedSeconds < job.seconds && !watch.isStopped) {
      const at = nextRandom(blockCount) * blockBytes;
      if (isWrite) {
        stampBlocks(buffer);
        writeSync(file, buffer, 0, blockBytes, at);
        fsyncSync(file);
      } else readSync(file, buffer, 0, blockBytes, at);
      watch.lap();
    }
    return watch.result(blockBytes, wasDirect);
  } finally {
    closeSync(file);
  }
}

function smallFiles(job: Job, each: (path: string) => void): JobResult {
  const watch = new Stopwatch();
  for (let index = 0; index < job.fileCount && !watch.isStopped; index++) {
    each(`${job.path}/file-${index}`);
    watch.lap();
  }
  return watch.result(job.kind === "create" ? blockBytes : 0, false);
}

function createFiles(job: Job): JobResult {
  const buffer = Buffer.from(randomFillSync(new Uint8Array(blockBytes)));
  return smallFiles(job, (path) => {
    const file = openSync(path, "wx");
    try {
      stampBlocks(buffer);
      writeSync(file, buffer, 0, blockBytes, 0);
    } finally {
      closeSync(file);
    }
  });
}

function perform(job: Job): JobResult {
  switch (job.kind) {
    case "write":
      return writeLarge(job);
    case "read":
      return readLarge(job);
    case "randomRead":
    case "randomWrite":
      return randomBlocks(job);
    case "create":
      return createFiles(job);
    case "stat":
      return smallFiles(job, (path) => void statSync(path));
    case "unlink":
      return smallFiles(job, (path) => unlinkSync(path));
  }
}

function answer(job: Job): JobResult | JobFailure {
  try {
    return perform(job);
  } catch (reason) {
    const { errno, message } = reason as NodeJS.ErrnoException;
    return { errno: -(errno ?? -5), message };
  }
}

parentPort?.on("message", (job: Job) => parentPort?.postMessage(answer(job)));
