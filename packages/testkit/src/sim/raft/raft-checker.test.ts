import type { Entry } from "raft-ts";
import { expect, test } from "vitest";

import { RaftChecker } from "./raft-checker.ts";

const entry = (index: number, term: number, text = "x"): Entry => ({ index, term, kind: 1, data: Buffer.from(text) });
const logOf =
  (...terms: readonly number[]): ((index: number) => number | null) =>
  (index) =>
    index === 0 ? 0 : (terms[index - 1] ?? null);

function applied(checker: RaftChecker, node: number, term: number, ...entries: readonly Entry[]): void {
  for (const one of entries) checker.applied(node, term, one, one.index * 100);
}

test("one leader a term", () => {
  const checker = new RaftChecker(0);
  checker.elected(1, 2, 0, logOf());
  checker.elected(1, 2, 0, logOf());
  checker.elected(3, 3, 0, logOf());
  expect(() => checker.elected(2, 3, 0, logOf())).toThrow("election safety: group 0: n2 leads term 3, which n3 leads");
});

test("who becomes leader has what was committed before its term", () => {
  const checker = new RaftChecker(0);
  applied(checker, 1, 2, entry(1, 1), entry(2, 2));
  checker.elected(2, 3, 2, logOf(1, 2));
  checker.elected(3, 2, 1, logOf(1));
  expect(() => checker.elected(3, 4, 1, logOf(1))).toThrow("leader completeness");
  expect(() => checker.elected(3, 5, 2, logOf(1, 1))).toThrow("leader completeness");
  checker.elected(3, 6, 9, () => null);
});

test("an index and a term name one entry after one predecessor", () => {
  const checker = new RaftChecker(0);
  checker.stored(1, [entry(1, 1), entry(2, 1), entry(3, 2)], 0);
  checker.stored(2, [entry(2, 1), entry(3, 2)], 1);
  expect(() => checker.stored(2, [entry(3, 2, "other")], 1)).toThrow("log matching");
  expect(() => checker.stored(3, [entry(3, 2)], 2)).toThrow("log matching");
});

test("one entry is applied at an index, and leaves one state", () => {
  const checker = new RaftChecker(0);
  applied(checker, 1, 2, entry(1, 1), entry(2, 2));
  applied(checker, 2, 2, entry(1, 1));
  expect(() => applied(checker, 2, 2, entry(2, 1))).toThrow("state machine safety");
  expect(() => applied(checker, 3, 2, entry(1, 1, "other"))).toThrow("state machine safety");
  checker.state(4, 2, 200);
  expect(() => checker.state(4, 1, 101)).toThrow("equal states");
});

test("commit does not go back within a life, the gate holds, and what is acknowledged is committed", () => {
  const checker = new RaftChecker(0);
  checker.commit(1, 5, true);
  checker.commit(1, 5, false);
  expect(() => checker.commit(1, 4, false)).toThrow("monotonic commit");
  checker.commit(1, 3, true);
  checker.gate(1, 3, 3);
  expect(() => checker.gate(1, 4, 3)).toThrow("commit gate");
  checker.read(1, 3, 3);
  expect(() => checker.read(1, 2, 3)).toThrow("fresh reads");
  expect(() => checker.answered(1, "its vote", false)).toThrow("durable answers");
  expect(() => checker.durable(1, 4, false)).toThrow("durable commit");
  expect(() => checker.counted(1, 4, 1, 2)).toThrow("commit by own term");
  expect(() => checker.changed(1, entry(9, 2), 5, 4, 2)).toThrow("one change at a time");
  expect(() => checker.changed(1, entry(9, 2), 3, 4, 1)).toThrow("one change at a time");
  applied(checker, 1, 2, entry(1, 1));
  checker.acknowledged(1, 1, 1);
  expect(() => checker.acknowledged(1, 1, 2)).toThrow("acknowledged commands");
  expect(() => checker.acknowledged(1, 2, 2)).toThrow("acknowledged commands");
});
