/**
 * Says when the event loop stood still: everything else waits then, and nothing else would tell.
 *
 * A timer that comes late by more than `lateMs` was held up by synchronous work of this process (a look into the state that waited for the drive, a
 * collection of garbage), by a machine without a free core, or because the process was stopped. CPU time tells these apart: a loop that
 * worked has used it, one that waited has not.
 */
import type { Clock, Logger } from "@cfs/core";

export interface LoopWatchParts {
  readonly clock: Clock;
  readonly logger: Pick<Logger, "warn">;
  /** CPU time of this process so far, milliseconds. */
  readonly cpuMs: () => number;
}

export interface LoopWatchOptions {
  readonly intervalMs: number;
  readonly lateMs: number;
}

export const loopWatchDefaults: LoopWatchOptions = { intervalMs: 500, lateMs: 1_000 };

export class LoopWatch {
  readonly #parts: LoopWatchParts;
  readonly #options: LoopWatchOptions;
  #cancel: () => void = () => undefined;
  #isClosed = false;
  /** The longest time that the loop stood still so far. */
  longestMs = 0;

  constructor(parts: LoopWatchParts, options: LoopWatchOptions = loopWatchDefaults) {
    this.#parts = parts;
    this.#options = options;
    this.#wait();
  }

  #wait(): void {
    if (this.#isClosed) return;
    const { clock, logger, cpuMs } = this.#parts;
    const { intervalMs, lateMs } = this.#options;
    const begunMs = clock.monotonicMs();
    const begunCpuMs = cpuMs();
    this.#cancel = clock.after(intervalMs, () => {
      const late = clock.monotonicMs() - begunMs - intervalMs;
      this.longestMs = Math.max(this.longestMs, late);
      if (late >= lateMs) logger.warn("the event loop stood still", { forMs: Math.round(late), cpuMs: Math.round(cpuMs() - begunCpuMs) });
      this.#wait();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
