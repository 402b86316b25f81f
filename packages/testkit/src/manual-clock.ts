/** A clock that a test moves: time stands still but for `advance`, or moves a little at every look. */
import type { Clock } from "@cfs/core";

interface Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  readonly #tickMs: number;
  #timers: Timer[] = [];

  /** `tickMs`: how far every look at the wall time moves the clock. */
  constructor(options: { readonly startMs?: number; readonly tickMs?: number } = {}) {
    this.#nowMs = options.startMs ?? 1_700_000_000_000;
    this.#tickMs = options.tickMs ?? 0;
  }

  wallTime(): { readonly sec: number; readonly nsec: number } {
    this.#nowMs += this.#tickMs;
    const sec = Math.floor(this.#nowMs / 1000);
    return { sec, nsec: Math.round((this.#nowMs - sec * 1000) * 1e6) };
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs).toSorted((a, b) => a.atMs - b.atMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs);
    for (const timer of due) timer.callback();
  }
}
