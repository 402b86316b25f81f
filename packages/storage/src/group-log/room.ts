/**
 * Room on the drive of a group log: what fails for want of it is done again, every so often, until there is some.
 *
 * Doing it again is sound because every such step leaves nothing behind, or the same bytes at the same place. What fails otherwise is not tried again.
 * Waits end when the log is closed, and an append's also by its signal.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import type { GroupLogRoom } from "@cfs/metadata";

const retryMs = 500;

export interface RoomParts {
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Room {
  readonly #parts: RoomParts;
  /** Steps that lack room now. */
  #lackCount = 0;
  /** Appends that cannot go on before a step is done. */
  #neededCount = 0;
  #isClosed = false;
  readonly #steps: Set<Promise<unknown>> = new Set();
  readonly #sleepers: Set<() => void> = new Set();
  /** Of appends with a signal: called when room begins to lack. */
  readonly #lookers: Set<() => void> = new Set();

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  get state(): GroupLogRoom {
    if (this.#lackCount === 0) return "enough";
    return this.#neededCount > 0 ? "none" : "low";
  }

  /** `step` again and again as long as there is no room for it. */
  whenThere<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#repeat(step).finally(() => {
      this.#steps.delete(done);
    });
    this.#steps.add(done);
    return done;
  }

  async #repeat<T>(step: () => Promise<T>): Promise<T> {
    let isLacking = false;
    try {
      for (;;) {
        try {
          return await step();
        } catch (reason) {
          if (CfsError.from(reason).code !== "NO_SPACE" || this.#isClosed) throw reason;
        }
        if (!isLacking) this.#beginLack();
        isLacking = true;
        await this.#sleep();
      }
    } finally {
      if (isLacking && --this.#lackCount === 0) this.#parts.logger.info("the drive of the group log has room again");
    }
  }

  #beginLack(): void {
    if (this.#lackCount++ === 0) this.#parts.logger.warn("the drive of the group log has no room");
    for (const look of this.#lookers) look();
  }

  /** What an append waits for. INTERRUPTED when `signal` ends a wait for room; what is not lacking room comes to its end. */
  async needed<T>(step: Promise<T>, signal: AbortSignal | null): Promise<T> {
    this.#neededCount++;
    try {
      return await (signal === null ? step : this.#orGivenUp(step, signal));
    } finally {
      this.#neededCount--;
    }
  }

  async #orGivenUp<T>(step: Promise<T>, signal: AbortSignal): Promise<T> {
    const given = Promise.withResolvers<never>();
    const look = (): void => {
      if (signal.aborted && this.#lackCount > 0) given.reject(new CfsError("INTERRUPTED", "an append did not wait for room any longer"));
    };
    this.#lookers.add(look);
    signal.addEventListener("abort", look);
    look();
    try {
      return await Promise.race([step, given.promise]);
    } finally {
      this.#lookers.delete(look);
      signal.removeEventListener("abort", look);
    }
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#sleepers.delete(wake);
        resolve();
      };
      const cancel = this.#parts.clock.after(retryMs, wake);
      this.#sleepers.add(wake);
      if (this.#isClosed) wake();
    });
  }

  /** Waits end after one more try each; resolves when no step runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const wake of this.#sleepers) wake();
    await Promise.allSettled(this.#steps);
  }
}
