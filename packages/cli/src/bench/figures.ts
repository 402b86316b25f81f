/** From what the workers counted to the figures that are shown: throughput over the whole step, percentiles over all operations. */
import type { Figure, JobResult } from "./plan.ts";

/** The value below which `share` (0 to 1) of the sorted values lie. */
export function percentile(sorted: Float64Array, share: number): number {
  const index = Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1);
  return sorted[Math.max(0, index)] ?? 0;
}

function mergedLatencies(results: readonly JobResult[]): Float64Array {
  const merged = new Float64Array(results.reduce((sum, result) => sum + result.latenciesNs.length, 0));
  let at = 0;
  for (const { latenciesNs } of results) {
    merged.set(latenciesNs, at);
    at += latenciesNs.length;
  }
  return merged.sort();
}

export interface FigureShape {
  readonly name: string;
  readonly unit: Figure["unit"];
  readonly withLatency: boolean;
  readonly how: string | null;
}

export function figureOf(shape: FigureShape, results: readonly JobResult[]): Figure {
  const seconds = (Math.max(...results.map((result) => result.endMs)) - Math.min(...results.map((result) => result.beginMs))) / 1000;
  const operations = results.reduce((sum, result) => sum + result.operations, 0);
  const bytes = results.reduce((sum, result) => sum + result.bytes, 0);
  const amount = shape.unit === "MB/s" ? bytes / 1e6 : operations;
  const sorted = shape.withLatency ? mergedLatencies(results) : null;
  return {
    name: shape.name,
    threads: results.length,
    unit: shape.unit,
    value: seconds > 0 ? amount / seconds : 0,
    operations,
    seconds,
    latencyUs:
      sorted === null
        ? null
        : { p50: percentile(sorted, 0.5) / 1000, p99: percentile(sorted, 0.99) / 1000, max: (sorted.at(-1) ?? 0) / 1000 },
    how: shape.how,
  };
}
