import type { Entry } from "raft-ts";
import { expect, test } from "vitest";

import { SimRandom } from "../engine/sim-random.ts";
import { BareLog, emptyBatch } from "./bare-log.ts";
import type { Batch } from "./bare-log.ts";
import { encodeCommand, RegisterMachine } from "./register-machine.ts";

const configuration = { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
const entries = (begin: number, end: number, term: number): Entry[] =>
  Array.from({ length: end - begin }, (_, at) => ({ index: begin + at, term, kind: 1, data: new Uint8Array(0) }));
const batch = (parts: Partial<Batch>): Batch => ({ ...emptyBatch, ...parts });
const termsOf = (log: BareLog): (number | null)[] =>
  Array.from({ length: log.lastIndex - log.firstIndex + 1 }, (_, at) => log.term(log.firstIndex + at));

function written(log: BareLog, parts: Partial<Batch>, isSynced: boolean): void {
  const one = batch(parts);
  log.store(one);
  if (isSynced) log.sync();
  log.confirm(one);
}

test("a power failure keeps what was synced, and the first batches of the rest", () => {
  const found = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    const log = BareLog.founded(configuration, new Uint8Array(0));
    written(log, { entries: entries(1, 4, 1), hardState: { term: 1, vote: 1, commit: 0 } }, true);
    written(log, { entries: entries(3, 6, 2), hardState: { term: 2, vote: 2, commit: 0 } }, false);
    written(log, { entries: entries(6, 7, 2) }, false);
    expect(termsOf(log)).toEqual([1, 1, 2, 2, 2, 2]);
    const after = log.crashed("power", new SimRandom(seed));
    found.add(`${after.hardState.term}: ${termsOf(after).join("")}`);
    expect(termsOf(log.crashed("kill", new SimRandom(seed)))).toEqual([1, 1, 2, 2, 2, 2]);
  }
  expect([...found].toSorted()).toEqual(["1: 111", "2: 11222", "2: 112222"]);
});

test("a snapshot may be newer than the log begins, and one from outside replaces the log", () => {
  const log = BareLog.founded(configuration, new Uint8Array(0));
  written(log, { entries: entries(1, 9, 1) }, true);
  const bytes = new Uint8Array(100).map((_, at) => at);
  written(log, { compaction: { meta: { index: 6, term: 1, configuration }, bytes, dropIndex: 4 } }, true);
  expect([log.firstIndex, log.lastIndex, log.term(4), log.term(3), log.snapshot()?.meta.index]).toEqual([5, 8, 1, null, 6]);
  expect(log.entries(5, 9, 1).map(({ index }) => index)).toEqual([5]);
  expect(log.entries(5, 9, 1000).map(({ index }) => index)).toEqual([5, 6, 7, 8]);
  const source = log.snapshot();
  expect(source?.read(90, 20)).toEqual({ bytes: bytes.subarray(90), isLast: true });
  written(log, { snapshot: { meta: { index: 20, term: 3, configuration }, bytes }, entries: entries(21, 23, 3) }, false);
  expect([log.firstIndex, log.lastIndex, log.term(20)]).toEqual([21, 22, 3]);
});

test("the machine tells histories and contents apart, and a snapshot brings both", () => {
  const machine = new RegisterMachine();
  machine.apply(1, 1, encodeCommand({ kind: "write", key: "k1", value: 5 }, 0));
  expect(machine.apply(2, 1, encodeCommand({ kind: "swap", key: "k1", expected: 5, value: 6 }, 9))).toEqual({
    kind: "swapped",
    found: 5,
  });
  expect(machine.apply(3, 1, encodeCommand({ kind: "swap", key: "k1", expected: 5, value: 7 }, 0))).toEqual({
    kind: "swapped",
    found: 6,
  });
  const copy = RegisterMachine.restore(machine.snapshot(50));
  expect([copy.appliedIndex, copy.digest, copy.read("k1")]).toEqual([3, machine.digest, 6]);
  copy.apply(4, 1, null);
  machine.apply(4, 2, null);
  expect(copy.digest).not.toBe(machine.digest);
  expect(() => machine.apply(6, 2, null)).toThrow("entries are applied in order");
});
