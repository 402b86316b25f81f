/**
 * The clock of one process: simulated time, seen through its drift. Timers belong to the life in which they were set.
 *
 * Monotonic time runs at `drift.rate` and never back, whatever changes of the rate or of the wall clock happen meanwhile.
 */
import type { Clock } from "@cfs/core";

import type { EventQueue } from "./event-queue.ts";
import type { SimProcess } from "./sim-process.ts";

/** Where the simulated world begins: some day in 2023. */
const wallStartMs = 1_700_000_000_000;

export class SimClock implements Clock {
  readonly #process: SimProcess;
  readonly #queue: EventQueue;
  #seenUs: number;
  #seenMs: number;

  constructor(process: SimProcess, queue: EventQueue) {
    this.#process = process;
    this.#queue = queue;
    this.#seenUs = queue.nowUs;
    this.#seenMs = 1000 + queue.nowUs / 1000;
  }

  wallTime(): { readonly sec: number; readonly nsec: number } {
    const ms = wallStartMs + this.#queue.nowUs / 1000 + this.#process.drift.wallOffsetMs;
    const sec = Math.floor(ms / 1000);
    return { sec, nsec: Math.floor((ms - sec * 1000) * 1e6) };
  }

  monotonicMs(): number {
    this.#seenMs += ((this.#queue.nowUs - this.#seenUs) / 1000) * this.#process.drift.rate;
    this.#seenUs = this.#queue.nowUs;
    return this.#seenMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    this.monotonicMs();
    // Rounded up, so that a timer never comes before its time on this very clock.
    return this.#process.timer(Math.ceil((Math.max(0, delayMs) * 1000) / this.#process.drift.rate), callback);
  }

  /** The rate changes from now on; what passed until now counted at the old one. */
  setRate(rate: number): void {
    this.monotonicMs();
    this.#process.drift.rate = rate;
  }
}
