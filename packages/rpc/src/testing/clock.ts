/** The machine's clock, for this package's tests and benchmarks; programs construct theirs in their composition root. */
import type { Clock } from "@cfs/core";

export const machineClock: Clock = {
  wallTime: () => ({ sec: Math.floor(Date.now() / 1000), nsec: (Date.now() % 1000) * 1e6 }),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
