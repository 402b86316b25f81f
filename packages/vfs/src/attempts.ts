/**
 * Runs steps that may find out that they must wait: for a record to be fetched, for a grant, for space.
 *
 * A step is synchronous up to its last change. What it lacks it throws before its first change (NotCached, MustWait); then the
 * step is run again from its beginning once that is there. So between a check and the change that relies on it nothing else runs.
 *
 * Operations that need more records together than the cache holds evict each other's. One that has tried for long gets a turn: until its step has run,
 * the others fetch nothing. So one after the other is done, as long as the cache holds what a single one needs.
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
/** So often an operation tries beside the others before it asks for a turn: more than nearly any needs that nobody disturbs. */
const attemptsBeforeTurn = 100;

export class Attempts {
  readonly #fetch: (missing: Missing) => Promise<void>;
  /** Resolves when the one that has a turn has run; null while nobody has one. */
  #turn: Promise<void> | null = null;

  constructor(fetch: (missing: Missing) => Promise<void>) {
    this.#fetch = fetch;
  }

  run<T>(step: () => Awaitable<T>): Awaitable<T> {
    try {
      return step();
    } catch (reason) {
      return this.#resume(reasonToWait(reason), step);
    }
  }

  async #resume<T>(first: NotCached | MustWait, step: () => Awaitable<T>): Promise<T> {
    let reason = first;
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      try {
        if (attempt >= attemptsBeforeTurn && reason instanceof NotCached) return await (await this.#inTurn(reason, step)).result;
        await this.#waitFor(reason);
        return await step();
      } catch (next) {
        reason = reasonToWait(next);
      }
    }
    throw gaveUp();
  }

  async #waitFor(reason: NotCached | MustWait): Promise<void> {
    if (reason instanceof MustWait) return reason.until();
    while (this.#turn !== null) await this.#turn;
    await this.#fetch(reason.missing);
  }

  /**
   * Fetches alone until the step has all its records. The turn ends with the step's synchronous part: what it waits for afterwards may need fetches of
   * others, or its own.
   */
  async #inTurn<T>(first: NotCached, step: () => Awaitable<T>): Promise<{ readonly result: Awaitable<T> }> {
    while (this.#turn !== null) await this.#turn;
    let end = (): void => undefined;
    this.#turn = new Promise((resolve) => (end = resolve));
    try {
      let { missing } = first;
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        await this.#fetch(missing);
        try {
          return { result: step() };
        } catch (reason) {
          if (!(reason instanceof NotCached)) throw reason;
          missing = reason.missing;
        }
      }
      throw gaveUp();
    } finally {
      this.#turn = null;
      end();
    }
  }
}

/** Rethrows everything else. */
function reasonToWait(reason: unknown): NotCached | MustWait {
  if (reason instanceof NotCached || reason instanceof MustWait) return reason;
  throw reason;
}

function gaveUp(): CfsError {
  return new CfsError("IO", `gave up after ${attemptsMax} attempts: the cache does not keep what the operation needs`);
}
