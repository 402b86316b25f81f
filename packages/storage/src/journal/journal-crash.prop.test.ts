/**
 * Power cuts at any moment, with requests settling in any order: whatever was acknowledged is there afterwards, as it was, in order, and what
 * comes back is a prefix of what was appended.
 */
import { CfsError } from "@cfs/core";
import fc from "fast-check";
import { expect, it } from "vitest";

import { seededRandom } from "../device/seeded-random.ts";
import { bedWith, headOf, openOn, payloadOf, quiet, replayAll } from "./testing/journal-bed.ts";
import type { Bed } from "./testing/journal-bed.ts";
import type { Journal } from "./journal.ts";

/** Settles requests in a random order, a few per turn; `budget` counts down to the cut. */
class Weather {
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #waiting: (() => void)[] = [];
  #isRunning = false;
  budget = Number.MAX_SAFE_INTEGER;
  onEnd: () => void = () => undefined;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  readonly schedule = (settle: () => void): void => {
    this.#waiting.push(settle);
    if (this.#isRunning) return;
    this.#isRunning = true;
    setImmediate(() => this.#run());
  };

  #run(): void {
    this.#isRunning = false;
    for (let count = 1 + Math.floor(this.#random.next() * 4); count > 0 && this.#waiting.length > 0; count--) {
      if (this.budget-- === 0) this.onEnd();
      const at = Math.floor(this.#random.next() * this.#waiting.length);
      (this.#waiting.splice(at, 1)[0] as () => void)();
    }
    if (this.#waiting.length === 0) return;
    this.#isRunning = true;
    setImmediate(() => this.#run());
  }
}

interface Written {
  readonly headBytes: number;
  readonly payloadBytes: number;
  readonly salt: number;
}

function append(journal: Journal, log: Written[], written: Written): void {
  const index = journal.lastIndex + 1;
  log[index] = written;
  journal.append(headOf(index + written.salt, written.headBytes), [payloadOf(index + written.salt, written.payloadBytes)]);
}

/** What the journal gives back must be what was appended last under each index, without a gap, and at least what was acknowledged. */
async function check(journal: Journal, log: readonly Written[], applied: number, acknowledged: number): Promise<void> {
  expect(journal.lastIndex).toBeGreaterThanOrEqual(acknowledged);
  let expected = applied + 1;
  for (const record of await replayAll(journal, applied + 1)) {
    expect(record.index).toBe(expected++);
    const written = log[record.index] as Written;
    expect(Buffer.compare(record.head, headOf(record.index + written.salt, written.headBytes))).toBe(0);
    expect(Buffer.compare(record.payload, payloadOf(record.index + written.salt, written.payloadBytes))).toBe(0);
  }
  expect(expected).toBe(journal.lastIndex + 1);
}

async function round(
  bed: Bed,
  weather: Weather,
  random: ReturnType<typeof seededRandom>,
  log: Written[],
  applied: number,
  salt: number,
): Promise<number> {
  const journal = await openOn(bed, { appliedIndex: applied, depth: 3 });
  await check(journal, log, applied, bed.durableIndex);
  bed.durableIndex = journal.lastIndex;
  let isUp = true;
  let retired = applied; // What the state says it holds may not fall below what was let go.
  weather.budget = Math.floor(random.next() * 200);
  let acknowledged = 0;
  weather.onEnd = () => {
    isUp = false;
    acknowledged = bed.durableIndex; // What the dead process would still say counts for nothing.
    bed.memory.crash();
  };
  while (isUp) {
    for (let count = Math.floor(random.next() * 5); count > 0 && isUp; count--) {
      const payloadBytes = random.next() < 0.3 ? Math.floor(random.next() * 12_000) : Math.floor(random.next() * 300);
      append(journal, log, { headBytes: 4 + Math.floor(random.next() * 200), payloadBytes, salt });
    }
    if (random.next() < 0.05) {
      retired = Math.max(applied, journal.durableIndex - 20);
      await journal.retire(retired, () => false);
    }
    await quiet(1 + Math.floor(random.next() * 3));
  }
  await quiet(30);
  await journal.close().catch((reason: unknown) => {
    if (!(reason instanceof AggregateError) && CfsError.from(reason).code !== "BAD_HANDLE") throw reason;
  });
  bed.durableIndex = acknowledged;
  return Math.max(retired, acknowledged - Math.floor(random.next() * 20) - 20);
}

it("an acknowledged entry survives every power cut", { timeout: 120_000 }, async () => {
  expect.hasAssertions();
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 4 }), async (seed, driveCount) => {
      const weather = new Weather(seed);
      const random = seededRandom(seed ^ 0x5555);
      const bed = await bedWith({ seed, driveCount, schedule: weather.schedule });
      const log: Written[] = [];
      let applied = 0;
      for (let turn = 0; turn < 5; turn++) {
        bed.broken = null;
        weather.budget = Number.MAX_SAFE_INTEGER;
        applied = await round(bed, weather, random, log, applied, turn);
      }
    }),
    { numRuns: Number(process.env["CFS_CRASH_RUNS"] ?? 60) },
  );
});
