/** One seed: its trace hash, its figures, and with --trace its story. */
import { Trace } from "@cfs/testkit/sim";
import type { Family, RunOutcome } from "@cfs/testkit/sim";

import { replayLine } from "./replay-line.ts";

export interface SeedOptions {
  readonly isTold: boolean;
  readonly planted: string | null;
}

export async function tellSeed(family: Family, seed: number, options: SeedOptions): Promise<boolean> {
  const trace = new Trace(options.isTold ? { isTold: true, print: (line) => console.log(line) } : {});
  const outcome = await family.run(seed, { trace, planted: options.planted });
  console.log(`${family.name} seed ${seed}: ${figures(outcome)}`);
  console.log(`trace ${outcome.hash}`);
  if (outcome.violation === null) return true;
  console.log(replayLine(family.name, outcome.seed, options.planted, outcome.violation));
  if (outcome.violation.stack !== undefined && options.isTold) console.log(outcome.violation.stack);
  return false;
}

function figures({ simulatedUs, eventCount, checkCount, operationCount, faultCount }: RunOutcome): string {
  return `${(simulatedUs / 1e6).toFixed(0)} s simulated, ${eventCount} events, ${operationCount} operations, ${faultCount} faults, ${checkCount} checks`;
}
