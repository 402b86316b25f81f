/** Operations at once over a cache that is too small for all of them: each has its turn. */
import { inodeNumber } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import type { Missing } from "@cfs/metadata";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { Attempts, MustWait } from "./attempts.ts";

/** Holds so many inodes, the ones that were fetched last; a fetch takes a turn of the loop. */
class SmallCache {
  readonly attempts: Attempts = new Attempts((missing) => this.#fetch(missing));
  readonly #countMax: number;
  readonly #known = new Set<InodeNumber>();
  fetches = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  async #fetch(missing: Missing): Promise<void> {
    await setImmediate();
    if (missing.kind !== "inode") throw new Error("only inodes are fetched here");
    this.fetches++;
    this.#known.delete(missing.ino);
    this.#known.add(missing.ino);
    for (const ino of this.#known) if (this.#known.size > this.#countMax) this.#known.delete(ino);
  }

  need(inodes: readonly InodeNumber[]): void {
    for (const ino of inodes) if (!this.#known.has(ino)) throw new NotCached({ kind: "inode", ino, withInline: false });
  }
}

function inodes(first: number, count: number): InodeNumber[] {
  return Array.from({ length: count }, (_, index) => inodeNumber(first + index, 0));
}

test("three that need more than there is room for are all done", async () => {
  const cache = new SmallCache(5);
  const wanted = [1, 11, 21].map((first) => inodes(first, 4));
  const done = wanted.map(async (ones, index) =>
    cache.attempts.run(() => {
      cache.need(ones);
      return index;
    }),
  );
  expect(await Promise.all(done)).toEqual([0, 1, 2]);
  expect(cache.fetches).toBeLessThan(2_000);
});

test("one that waits for something else lets others fetch meanwhile, also for what it runs itself", async () => {
  const cache = new SmallCache(5);
  let isReady = false;
  const stepOf = (ones: readonly InodeNumber[]) => (): Promise<string> => {
    cache.need(ones);
    if (!isReady) {
      throw new MustWait(async () => {
        await cache.attempts.run(() => cache.need(inodes(31, 4)));
        isReady = true;
      });
    }
    return Promise.resolve(cache.attempts.run(() => (cache.need(inodes(41, 4)), "done")));
  };
  const both = [inodes(1, 4), inodes(11, 4)].map(async (ones) => cache.attempts.run(stepOf(ones)));
  expect(await Promise.all(both)).toEqual(["done", "done"]);
});

test("what one operation needs and the cache never holds is an error, and the next has its turn", async () => {
  const cache = new SmallCache(3);
  const tooMuch = cache.attempts.run(() => cache.need(inodes(1, 4)));
  const next = cache.attempts.run(() => cache.need(inodes(11, 3)));
  await expect(tooMuch).rejects.toThrow("gave up after 10000 attempts");
  await next;
  await expect(
    cache.attempts.run(() => {
      cache.need(inodes(21, 1));
      throw new Error("of the step");
    }),
  ).rejects.toThrow("of the step");
});
