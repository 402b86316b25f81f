/** The log against an array: appends with and without conflict, storing late, commits, applying, compaction and snapshots in any order. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, entryKinds } from "./entry.ts";
import { Log } from "./log.ts";
import { MemoryLog } from "./memory-log.ts";
import { type LogStep, LogPair, noReady } from "./testing/log-model.ts";
import { emptyConfiguration } from "./configuration.ts";

const steps: fc.Arbitrary<LogStep> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("append" as const),
      back: fc.nat(4),
      count: fc.integer({ min: 1, max: 4 }),
      later: fc.nat(2),
      size: fc.nat(30),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom("take" as const, "store" as const, "apply" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom("commit" as const, "compact" as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
);

describe("log", () => {
  test("is an array, however late the host stores", () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 40 }), (list) => {
        const pair = new LogPair();
        expect(() => {
          for (const step of list) {
            pair.run(step);
            pair.check();
          }
        }).not.toThrow();
      }),
      { numRuns: 1500 },
    );
  });

  test("finds where it may agree with another log as the thesis says", () => {
    const terms = fc.array(fc.nat(2), { maxLength: 12 }).map((deltas) => {
      let term = 1;
      return deltas.map((delta) => (term += delta));
    });
    fc.assert(
      fc.property(terms, fc.nat(14), fc.nat(20), (list, index, term) => {
        const log = new Log(new MemoryLog(), 0, 0);
        log.append(list.map((own, at) => ({ term: own, index: at + 1, kind: entryKinds.command, data: new Uint8Array(0) })));
        const candidates = [0, ...list.map((own, at) => (own <= term && at + 1 <= index ? at + 1 : 0))];
        expect(log.lastIndexUpTo(index, term)).toBe(Math.max(...candidates));
      }),
    );
  });
});

describe("a log of which a part is gone", () => {
  const entry = (index: number, term: number): Entry => ({ term, index, kind: entryKinds.command, data: new Uint8Array(1) });

  test("does not search below what it knows", () => {
    const storage = new MemoryLog();
    const log = new Log(storage, 0, 0);
    const entries = [entry(1, 1), entry(2, 3), entry(3, 3)];
    log.append(entries);
    storage.store({ ...noReady, entries });
    log.stored(entries);
    storage.compact(2, emptyConfiguration);
    expect(log.lastIndexUpTo(3, 1)).toBe(1);
    expect(log.term(1)).toBeNull();
  });

  test("gives way to a snapshot, and goes on behind it", () => {
    const storage = new MemoryLog();
    const log = new Log(storage, 0, 0);
    log.append([entry(1, 1), entry(2, 1)]);
    const meta = { index: 5, term: 2, configuration: emptyConfiguration };
    log.restore(meta);
    log.append([entry(6, 2)]);
    expect([log.firstIndex, log.lastIndex, log.commit, log.term(5), log.term(4), log.term(6)]).toEqual([6, 6, 5, 2, null, 2]);
    const entries = log.unstableEntries();
    storage.store({ ...noReady, snapshot: meta, entries });
    log.snapshotInstalled(meta);
    log.stored(entries);
    expect([log.pendingSnapshot, log.stableIndex, log.applied]).toEqual([null, 6, 5]);
  });
});
