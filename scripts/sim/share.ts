/** A thread's share of seeds: the main thread starts it here, and the thread itself begins at the end of this file. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { familyOf, promiseOf } from "@cfs/testkit/sim";

export interface Share {
  readonly family: string;
  readonly from: number;
  readonly step: number;
  /** Behind the last seed. */
  readonly end: number;
  readonly planted: string | null;
  readonly minutes: number | null;
  readonly stopsAtFirst: boolean;
}

export interface FoundViolation {
  readonly seed: number;
  readonly message: string;
  readonly promise: string;
}

export interface ShareFigures {
  readonly seedCount: number;
  readonly simulatedUs: number;
  readonly eventCount: number;
  readonly checkCount: number;
  readonly operationCount: number;
  readonly faultCount: number;
  readonly cpuSeconds: number;
  /** The last one that was found. */
  readonly violation: FoundViolation | null;
}

type Told = { readonly kind: "violation"; readonly found: FoundViolation } | { readonly kind: "end"; readonly figures: ShareFigures };

/** Resolves with the figures of the share; `onViolation` hears each broken promise when it is found. */
export function startShare(share: Share, onViolation: (found: FoundViolation) => void): Promise<ShareFigures> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: share, execArgv: [...process.execArgv] });
    worker.on("message", (told: Told) => {
      if (told.kind === "violation") onViolation(told.found);
      else resolve(told.figures);
    });
    worker.on("error", reject);
    worker.on("exit", (code) => reject(new Error(`a thread of the simulator ended with code ${code}`)));
  });
}

async function runShare(share: Share): Promise<ShareFigures> {
  const family = familyOf(share.family);
  const endsAtMs = share.minutes === null ? Infinity : performance.now() + share.minutes * 60_000;
  const figures = { seedCount: 0, simulatedUs: 0, eventCount: 0, checkCount: 0, operationCount: 0, faultCount: 0 };
  let violation: FoundViolation | null = null;
  for (let seed = share.from; seed < share.end && performance.now() < endsAtMs; seed += share.step) {
    const outcome = await family.run(seed, { trace: null, planted: share.planted });
    figures.seedCount++;
    figures.simulatedUs += outcome.simulatedUs;
    figures.eventCount += outcome.eventCount;
    figures.checkCount += outcome.checkCount;
    figures.operationCount += outcome.operationCount;
    figures.faultCount += outcome.faultCount;
    if (outcome.violation === null) continue;
    violation = { seed, message: outcome.violation.message, promise: promiseOf(outcome.violation) };
    parentPort?.postMessage({ kind: "violation", found: violation } satisfies Told);
    if (share.stopsAtFirst) break;
  }
  const { user, system } = process.threadCpuUsage();
  return { ...figures, cpuSeconds: (user + system) / 1e6, violation };
}

if (!isMainThread) {
  const figures = await runShare(workerData as Share);
  parentPort?.postMessage({ kind: "end", figures } satisfies Told);
}
