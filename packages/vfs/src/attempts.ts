/**
 * Runs steps that may find out that they must wait: for a record to be fetched, for a grant, for space.
 *
 * A step is synchronous up to its last change. What it lacks it throws before its first change (NotCached, MustWait); then the
 * step is run again from its beginning once that is there. So between a check and the change that relies on it nothing else runs.
 */
import { CfsError } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import type { Missing } from "@cfs/metadata";
import type { Awaitable } from "./vfs.ts";

/** Thrown by a step: run it again when `until` has resolved. */
export class MustWait extends Error {
  override readonly name: string = "MustWait";
  readonly until: () => Promise<void>;

  constructor(until: () => Promise<void>) {
    super("must wait");
    this.until = until;
  }
}

/** Far more than any step needs; a cache so small that it evicts what was just fetched would run in circles. */
const attemptsMax = 10_000;

export class Attempts {
  readonly #fetch: (missing: Missing) => Promise<void>;

  constructor(fetch: (missing: Missing) => Promise<void>) {
    this.#fetch = fetch;
  }

  run<T>(step: () => Awaitable<T>): Awaitable<T> {
    try {
      return step();
    } catch (reason) {
      if (reason instanceof NotCached || reason instanceof MustWait) return this.#resume(reason, step);
      throw reason;
    }
  }

  async #resume<T>(reason: unknown, step: () => Awaitable<T>): Promise<T> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      await this.#waitFor(reason);
      try {
        return await step();
      } catch (next) {
        reason = next;
      }
    }
    throw new CfsError("IO", `gave up after ${attemptsMax} attempts: the cache does not keep what the operation needs`);
  }

  /** Rethrows what is not a reason to wait. */
  async #waitFor(reason: unknown): Promise<void> {
    if (reason instanceof NotCached) await this.#fetch(reason.missing);
    else if (reason instanceof MustWait) await reason.until();
    else throw reason;
  }
}
