/**
 * A family of simulations: what is run for a seed, and which wrong rules can be planted in it.
 *
 * The command line, the unit tests and the table of planted bugs know families only by this.
 */
import { Simulation } from "./engine/simulation.ts";
import type { Trace } from "./engine/trace.ts";

export interface RunOptions {
  readonly trace: Trace | null;
  /** Name of a planted bug, or null for the code as it is. */
  readonly planted: string | null;
}

export interface RunOutcome {
  readonly seed: number;
  readonly hash: string;
  readonly simulatedUs: number;
  readonly eventCount: number;
  /** Claims that a checker looked at. */
  readonly checkCount: number;
  /** What clients had done and answered. */
  readonly operationCount: number;
  readonly faultCount: number;
  readonly violation: Error | null;
}

export function simulationOf(seed: number, { trace }: RunOptions): Simulation {
  return new Simulation(trace === null ? { seed } : { seed, trace });
}

export interface Family {
  readonly name: string;
  /** One line for the help. */
  readonly about: string;
  readonly planted: readonly string[];
  run(seed: number, options: RunOptions): Promise<RunOutcome>;
}
