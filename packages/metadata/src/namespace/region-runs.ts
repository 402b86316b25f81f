/**
 * Runs of region numbers: which regions of a file exist, as sorted, disjoint, non-adjacent ranges [begin, end).
 *
 * Why runs: a state machine with point reads only must find the next region without asking for every number in between.
 */
import type { RegionRuns } from "./records.ts";

type Runs = RegionRuns["runs"];
type Run = Runs[number];

/** Index of the first run that ends at or after `index`. */
function find(runs: Runs, index: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle] as Run).end < index) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Adds a number that is not in the runs yet. */
export function addToRuns(runs: Runs, index: number): void {
  const at = find(runs, index);
  const run = runs[at];
  if (run === undefined || run.begin > index + 1) {
    runs.splice(at, 0, { begin: index, end: index + 1 });
  } else if (run.end === index) {
    run.end = index + 1;
    const next = runs[at + 1];
    if (next?.begin === run.end) {
      run.end = next.end;
      runs.splice(at + 1, 1);
    }
  } else {
    run.begin = index;
  }
}

/** Takes out a number that is in the runs. */
export function removeFromRuns(runs: Runs, index: number): void {
  const at = find(runs, index + 1);
  const run = runs[at] as Run;
  if (run.begin === index) {
    run.begin = index + 1;
    if (run.begin === run.end) runs.splice(at, 1);
  } else if (run.end === index + 1) {
    run.end = index;
  } else {
    runs.splice(at, 1, { begin: run.begin, end: index }, { begin: index + 1, end: run.end });
  }
}
