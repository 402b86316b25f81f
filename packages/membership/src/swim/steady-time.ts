/**
 * Time in which this process ran: the time of all timers of the core.
 *
 * A stopped process, a swapped-out machine or a jump of the clock adds nothing but one counted step, so that no timer runs out because of time in which
 * this node could not have heard an answer. Backward steps count as none. A process that is slow for long only has slow timers.
 */
import type { SwimRules } from "./rules.ts";

export class SteadyTime {
  readonly #mostMs: number;
  readonly #countedMs: SwimRules["countedMs"];
  #lastMs: number | null = null;
  #nowMs = 0;

  /** `mostMs` is the longest step that counts as running. */
  constructor(mostMs: number, rules: SwimRules) {
    this.#mostMs = mostMs;
    this.#countedMs = rules.countedMs;
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Takes the clock's time; returns the milliseconds that were lost: 0 when all is well, negative when the clock went back. */
  advance(clockMs: number): number {
    const elapsedMs = this.#lastMs === null ? 0 : clockMs - this.#lastMs;
    this.#lastMs = clockMs;
    const countedMs = this.#countedMs(elapsedMs, this.#mostMs);
    this.#nowMs += countedMs;
    return elapsedMs - countedMs;
  }
}
