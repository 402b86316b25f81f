/**
 * Many seeds on some threads: each takes every n-th seed, tells its figures, and every broken promise at once.
 *
 * The seeds that run do not depend on the number of threads, and what a seed does depends on nothing but itself.
 */
import { performance } from "node:perf_hooks";
import type { Family } from "@cfs/testkit/sim";

import { replayLine } from "./replay-line.ts";
import { startShare } from "./share.ts";
import type { ShareFigures } from "./share.ts";

export interface Range {
  readonly family: Family;
  readonly from: number;
  readonly count: number;
}

export interface SeedsOptions {
  readonly workerCount: number;
  /** Ends each family after this; null: when all its seeds are done. */
  readonly minutes: number | null;
}

/** True: every range ran at least one seed, and no promise was broken. */
export async function runSeeds(ranges: readonly Range[], options: SeedsOptions): Promise<boolean> {
  let violationCount = 0;
  let hours = 0;
  let isAnyIdle = ranges.length === 0;
  for (const range of ranges) {
    const beganMs = performance.now();
    const shares = Array.from({ length: options.workerCount }, (_, at) =>
      startShare(
        {
          family: range.family.name,
          from: range.from + at,
          step: options.workerCount,
          end: Math.min(range.from + range.count, Number.MAX_SAFE_INTEGER),
          planted: null,
          minutes: options.minutes,
          stopsAtFirst: false,
        },
        ({ seed, message }) => {
          violationCount++;
          console.log(replayLine(range.family.name, seed, null, new Error(message)));
        },
      ),
    );
    const sum = added(await Promise.all(shares));
    hours += sum.simulatedUs / 3.6e9;
    if (sum.seedCount === 0) {
      isAnyIdle = true;
      console.log(`${range.family.name}: no seed ran, which proves nothing`);
      continue;
    }
    console.log(`${range.family.name}: ${described(sum, (performance.now() - beganMs) / 1000)}`);
  }
  console.log(`${hours.toFixed(1)} simulated cluster-hours, ${violationCount} broken promises`);
  return violationCount === 0 && !isAnyIdle;
}

function added(all: readonly ShareFigures[]): ShareFigures {
  const sum = (pick: (figures: ShareFigures) => number): number => all.reduce((total, figures) => total + pick(figures), 0);
  return {
    seedCount: sum((figures) => figures.seedCount),
    simulatedUs: sum((figures) => figures.simulatedUs),
    eventCount: sum((figures) => figures.eventCount),
    checkCount: sum((figures) => figures.checkCount),
    operationCount: sum((figures) => figures.operationCount),
    faultCount: sum((figures) => figures.faultCount),
    cpuSeconds: sum((figures) => figures.cpuSeconds),
    violation: null,
  };
}

function described(sum: ShareFigures, seconds: number): string {
  const simulated = sum.simulatedUs / 1e6;
  return (
    `${sum.seedCount} seeds, ${(simulated / 3600).toFixed(1)} cluster-hours in ${seconds.toFixed(0)} s (${(simulated / sum.cpuSeconds).toFixed(0)} times real time ` +
    `per core), ${sum.operationCount} operations, ${sum.faultCount} faults, ${sum.eventCount} events, ${sum.checkCount} checks`
  );
}
