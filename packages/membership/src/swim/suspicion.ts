/**
 * The time that a suspect has to show that it lives: long while one node says so, shorter with each other node that confirms it.
 *
 * Invariant: at most `wanted` confirmations count, each from another node, and the one who started it is not one of them. What was only found in another
 * table confirms nothing: that table may have it from here.
 * Source: Lifeguard, section 3.B (Dynamic Suspicion Timeout).
 */
import type { SwimRules } from "./rules.ts";

/** The accuser of a suspicion that was only found in another table, whoever's table it was. */
export const hearsay = "(sync)";

export interface SuspicionTimes {
  readonly minMs: number;
  readonly maxMs: number;
  /** 0: there is nobody who could confirm, and the shortest time holds at once. */
  readonly wanted: number;
}

export class Suspicion {
  readonly incarnation: number;
  readonly #times: SuspicionTimes;
  readonly #rules: SwimRules;
  readonly #confirmers: Set<string>;
  #confirmed = 0;
  #startMs: number;

  constructor(incarnation: number, from: string, startMs: number, times: SuspicionTimes, rules: SwimRules) {
    this.incarnation = incarnation;
    this.#times = times;
    this.#rules = rules;
    this.#confirmers = new Set([from, hearsay]);
    this.#startMs = startMs;
  }

  get deadlineMs(): number {
    const { minMs, maxMs, wanted } = this.#times;
    return this.#startMs + this.#rules.suspicionMs(minMs, maxMs, this.#confirmed, wanted);
  }

  get confirmed(): number {
    return this.#confirmed;
  }

  /** True when this is news that others should hear. */
  confirm(from: string): boolean {
    if (this.#confirmed >= this.#times.wanted) return false;
    if (!this.#rules.countsAsConfirmation(from, this.#confirmers)) return false;
    this.#confirmers.add(from);
    this.#confirmed++;
    return true;
  }

  /** After a stall: what was not heard meanwhile may still come. */
  restart(nowMs: number): void {
    this.#startMs = nowMs;
  }
}
