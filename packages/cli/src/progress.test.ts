import { expect, test } from "vitest";
import { Progress, rateOf, renderProgress } from "./progress.ts";
import { memoryUi } from "./testing.ts";

const scrub = { label: "scrub", unit: "bytes", total: 1024 ** 3 } as const;

test("shows share, amount, rate and the time that is left", () => {
  expect(renderProgress(scrub, 256 * 1024 ** 2, 64 * 1024 ** 2)).toBe(
    "scrub  [######------------------] 25 %  256 MiB of 1.00 GiB  64.0 MiB/s  12 s left",
  );
});

test("without a total there is no bar and no remaining time; without samples no rate", () => {
  expect(renderProgress({ label: "walk", unit: "items", total: null }, 1234, null)).toBe("walk  1,234");
});

test("the rate needs samples that are apart in time", () => {
  expect(rateOf([])).toBeNull();
  expect(
    rateOf([
      { atMs: 0, done: 0 },
      { atMs: 100, done: 5 },
    ]),
  ).toBeNull();
  expect(
    rateOf([
      { atMs: 0, done: 10 },
      { atMs: 2_000, done: 30 },
    ]),
  ).toBe(10);
});

test("on a terminal the bar is drawn over itself and gone at the end", () => {
  const ui = memoryUi({ isTerminal: true });
  const progress = new Progress(ui.ui, scrub);
  progress.update(0);
  progress.update(1);
  ui.advance(200);
  progress.update(1024 ** 2);
  progress.end();
  progress.end();
  expect(ui.errText().match(/\r/g)).toHaveLength(3);
  expect(ui.errText()).toMatch(/\r\u001B\[K$/);
});

test("elsewhere a line appears every ten seconds, and none with --json", () => {
  const plain = memoryUi({});
  const progress = new Progress(plain.ui, scrub);
  for (let second = 0; second < 25; second++) {
    progress.update(second * 1024 ** 2);
    plain.advance(1_000);
  }
  expect(plain.errText().split("\n")).toHaveLength(3);
  const json = memoryUi({ isTerminal: true });
  json.ui.isJson = true;
  new Progress(json.ui, scrub).update(1);
  expect(json.errText()).toBe("");
});
