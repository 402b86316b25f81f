/**
 * How long each part of a start took, for the log line that says "serving": the first thing to look at where a start was slow.
 *
 * `processMs` is what went by before the server's own work: the runtime and loading of code.
 */
import type { Clock, LogFields } from "@cfs/core";

export class StartTimes {
  readonly #clock: Clock;
  readonly #fields: Record<string, number> = {};
  readonly #beginMs: number;
  #lastMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beginMs = clock.monotonicMs();
    this.#lastMs = this.#beginMs;
    this.#fields["processMs"] = Math.round(this.#beginMs);
  }

  /** A part is done; it began when the one before it ended. `name` ends in Ms. */
  done(name: string): void {
    const now = this.#clock.monotonicMs();
    this.#fields[name] = Math.round(now - this.#lastMs);
    this.#lastMs = now;
  }

  get fields(): LogFields {
    return { ...this.#fields, startMs: Math.round(this.#lastMs) };
  }
}
