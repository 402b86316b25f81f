/** Named seeds: what once broke does not break again, and what must be noticed is. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { familyOf } from "./families.ts";

const text = readFileSync(new URL("../../testdata/regressions.txt", import.meta.url), "utf8");
const lines = text.split("\n").flatMap((line) => {
  const match = /^(\w+) (\d+)(?: (\w+))? *(?:# (.*))?$/.exec(line);
  return match === null ? [] : [{ family: match[1] as string, seed: Number(match[2]), planted: match[3] ?? null, about: match[4] ?? "" }];
});

describe("named seeds", () => {
  test("the list is read whole", () => {
    expect(lines.length).toBe(text.split("\n").filter((line) => /^\w/.test(line)).length);
  });

  test.each(lines.filter(({ planted }) => planted === null))("$family $seed: $about", async ({ family, seed }) => {
    const outcome = await familyOf(family).run(seed, { trace: null, planted: null });
    expect(outcome.violation).toBeNull();
    expect(outcome.eventCount).toBeGreaterThan(1000);
  });

  test.each(lines.filter(({ planted }) => planted !== null))(
    "$family notices $planted within 30 seeds from $seed",
    async ({ family, seed, planted }) => {
      let violation: Error | null = null;
      for (let next = seed; violation === null && next < seed + 30; next++)
        violation = (await familyOf(family).run(next, { trace: null, planted })).violation;
      expect(violation).not.toBeNull();
    },
  );
});
