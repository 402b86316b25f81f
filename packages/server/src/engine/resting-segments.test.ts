/** A segment rests for ten minutes, and the list of them does not grow for ever. */
import type { SegmentId } from "@cfs/core";
import { expect, test } from "vitest";
import { RestingSegments } from "./resting-segments.ts";

const id = (number: number): SegmentId => number as SegmentId;

test("a segment rests for ten minutes from when it was added last", () => {
  let nowMs = 5;
  const resting = new RestingSegments({ monotonicMs: () => nowMs });
  expect(resting.has(id(1))).toBe(false);
  resting.add(id(1));
  nowMs += 599_999;
  expect([resting.has(id(1)), resting.has(id(2))]).toEqual([true, false]);
  nowMs += 1;
  expect(resting.has(id(1))).toBe(false);
  resting.add(id(1));
  expect(resting.has(id(1))).toBe(true);
});

test("at most 65,536 rest at once", () => {
  const resting = new RestingSegments({ monotonicMs: () => 0 });
  for (let number = 1; number <= 65_536; number++) resting.add(id(number));
  expect([resting.has(id(1)), resting.has(id(65_536))]).toEqual([true, true]);
  resting.add(id(65_537));
  expect([resting.has(id(1)), resting.has(id(65_537))]).toEqual([false, true]);
});
