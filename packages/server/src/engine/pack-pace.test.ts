/** Packing waits for writers to pause, but not for ever, and never on drives that are getting full. */
import { expect, it } from "vitest";
import { PackPace } from "./pack-pace.ts";
import type { PackLoad } from "./pack-pace.ts";

const options = { quietMs: 1_000, holdBytes: 1_000, journalBytes: 5_000, ageMs: 30_000 };
const load = (nowMs: number, more: Partial<PackLoad> = {}): PackLoad => ({
  nowMs,
  waitingBytes: 100,
  journalBytes: 500,
  availableBytes: 1_000_000,
  ...more,
});

it("waits until nothing came for a while, and goes on until somebody writes again", () => {
  const pace = new PackPace(options);
  pace.added(0);
  pace.added(900);
  expect(pace.waitMs(load(1_000))).toBe(900);
  expect(pace.waitMs(load(1_900))).toBe(0);
  pace.begin(load(1_900));
  expect(pace.goesOn(load(2_000, { waitingBytes: 1 }))).toBe(true);
  pace.added(2_100);
  expect(pace.goesOn(load(2_200, { waitingBytes: 40 }))).toBe(false);
});

it.each([
  ["enough waits", { waitingBytes: 1_000 }],
  ["the journal is long", { journalBytes: 5_000 }],
  ["the drives are getting full", { availableBytes: 3_200 }],
])("begins though somebody writes when %s, and does half of it", (_name, more) => {
  const pace = new PackPace(options);
  pace.added(0);
  expect(pace.waitMs(load(0, more))).toBeLessThanOrEqual(0);
  pace.begin(load(0, more));
  const { waitingBytes } = load(0, more);
  expect(pace.goesOn(load(0, { waitingBytes: waitingBytes * 0.6 }))).toBe(true);
  expect(pace.goesOn(load(0, { waitingBytes: waitingBytes * 0.4 }))).toBe(false);
});

it("does not let the oldest wait for ever behind those that keep coming", () => {
  const pace = new PackPace(options);
  for (let nowMs = 0; nowMs < 30_000; nowMs += 500) {
    pace.added(nowMs);
    expect(pace.waitMs(load(nowMs))).toBeGreaterThan(0);
  }
  expect(pace.waitMs(load(30_000))).toBeLessThanOrEqual(0);
  pace.begin(load(30_000));
  pace.added(30_500);
  expect(pace.waitMs(load(30_600))).toBeGreaterThan(0);
  pace.emptied();
  pace.added(50_000);
  expect(pace.waitMs(load(50_000))).toBe(1_000);
});
