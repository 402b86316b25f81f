/** A timer that comes late is told with how late it was and how much CPU time went by. */
import type { Clock } from "@cfs/core";
import { expect, test } from "vitest";
import { LoopWatch } from "./loop-watch.ts";

function bed(): { now: number; cpu: number; said: unknown[]; pass(): void; watch: LoopWatch } {
  let pending: (() => void) | null = null;
  const clock: Clock = {
    wallTime: () => ({ sec: 0, nsec: 0 }),
    monotonicMs: () => state.now,
    after: (_delayMs, callback) => {
      pending = callback;
      return () => (pending = null);
    },
  };
  const said: unknown[] = [];
  const state = { now: 0, cpu: 0, said, pass: () => pending?.(), watch: null as unknown as LoopWatch };
  state.watch = new LoopWatch({ clock, logger: { warn: (message, fields) => said.push([message, fields]) }, cpuMs: () => state.cpu });
  return state;
}

test("a loop that is in time says nothing, one that stood still says for how long", () => {
  const state = bed();
  state.now = 510;
  state.pass();
  expect(state.said).toEqual([]);
  state.now = 510 + 500 + 9_000;
  state.cpu = 40;
  state.pass();
  expect(state.said).toEqual([["the event loop stood still", { forMs: 9_000, cpuMs: 40 }]]);
  expect(state.watch.longestMs).toBe(9_000);
});

test("a closed watch is silent", () => {
  const state = bed();
  state.watch.close();
  state.now = 60_000;
  state.pass();
  expect(state.said).toEqual([]);
});
