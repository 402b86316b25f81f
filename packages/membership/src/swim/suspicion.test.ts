import { describe, expect, it } from "vitest";
import { Awareness } from "./awareness.ts";
import { standardRules } from "./rules.ts";
import { SteadyTime } from "./steady-time.ts";
import { Suspicion } from "./suspicion.ts";

describe("a suspicion", () => {
  it("gets shorter with each other accuser, down to the minimum", () => {
    const suspicion = new Suspicion(4, "a", 1_000, { minMs: 2_000, maxMs: 8_000, wanted: 3 }, standardRules);
    const deadlines = [suspicion.deadlineMs];
    for (const from of ["a", "b", "b", "c", "d", "e"]) {
      suspicion.confirm(from);
      deadlines.push(Math.round(suspicion.deadlineMs));
    }
    expect(deadlines).toEqual([9_000, 9_000, 6_000, 6_000, 4_245, 3_000, 3_000]);
    expect(suspicion.confirmed).toBe(3);
  });

  it("has the shortest time when nobody could confirm it, and starts again after a stall", () => {
    const suspicion = new Suspicion(1, "a", 0, { minMs: 2_000, maxMs: 8_000, wanted: 0 }, standardRules);
    expect([suspicion.deadlineMs, suspicion.confirm("b")]).toEqual([2_000, false]);
    suspicion.restart(500);
    expect(suspicion.deadlineMs).toBe(2_500);
  });
});

it("local health stays within its bounds and stretches times", () => {
  const awareness = new Awareness(3);
  awareness.change(-1);
  expect([awareness.score, awareness.stretch(100)]).toEqual([0, 100]);
  awareness.change(7);
  expect([awareness.score, awareness.stretch(100)]).toEqual([3, 400]);
});

it("steady time counts no more than a step, and never goes back", () => {
  const time = new SteadyTime(200, standardRules);
  const lost = [5_000, 5_100, 9_100, 1_000, 1_100].map((clockMs) => time.advance(clockMs));
  expect(lost).toEqual([0, 0, 3_800, -8_100, 0]);
  expect(time.nowMs).toBe(400);
});
