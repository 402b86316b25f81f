/**
 * What `cfs bench` measures, as data that passes between the main thread and its workers.
 *
 * The steps and their order are those of every well-known file system benchmark: one large file, then small blocks in it, then small files.
 * All data is incompressible and no two blocks are equal, so compression and deduplication gain nothing.
 */
export interface BenchOptions {
  /** A directory of the file system to measure. */
  readonly path: string;
  /** Size of the large file. */
  readonly sizeBytes: number;
  /** How many small files each worker makes. */
  readonly fileCount: number;
  /** Workers of the parallel steps; 1 leaves these out. */
  readonly threadCount: number;
  /** How long each random step lasts. */
  readonly seconds: number;
}

export const blockBytes = 4096;
export const transferBytes: number = 1024 * 1024;

/** One order to a worker. It answers with a JobResult, or a JobFailure. */
export interface Job {
  readonly kind: "write" | "read" | "randomRead" | "randomWrite" | "create" | "stat" | "unlink";
  /** The large file, or the worker's own folder of small files. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly seconds: number;
  /** Skip the kernel's page cache where the file system allows it. */
  readonly isDirect: boolean;
}

export interface JobResult {
  readonly operations: number;
  readonly bytes: number;
  /** When the work began and ended, in milliseconds since the process began (all threads share that clock). */
  readonly beginMs: number;
  readonly endMs: number;
  /** Nanoseconds per operation, one entry per operation. */
  readonly latenciesNs: Float64Array;
  /** False when O_DIRECT was asked for and refused. */
  readonly wasDirect: boolean;
}

export interface JobFailure {
  readonly errno: number;
  readonly message: string;
}

/** What a worker is told when it starts. `control[0]` becomes 1 when everything shall stop. */
export interface WorkerStart {
  readonly control: Int32Array;
  readonly seed: number;
}

export interface Figure {
  readonly name: string;
  readonly threads: number;
  readonly unit: "MB/s" | "per s";
  readonly value: number;
  readonly operations: number;
  readonly seconds: number;
  /** Microseconds; null for the steps that are measured as a whole. */
  readonly latencyUs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  /** How it was measured, where that matters: "cold", "direct", "page cache". */
  readonly how: string | null;
}
