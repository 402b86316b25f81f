import { describe, expect, it } from "vitest";
import { standardRules } from "../swim/rules.ts";
import { plantedSwimBugs } from "./planted.ts";
import { scenarios } from "./scenarios.ts";

/** The first scenario that finds the bug, as `name at seed n: complaint`; null when none does. */
function firstComplaint(rules: typeof standardRules, seedsMax: number): string | null {
  for (let seed = 1; seed <= seedsMax; seed++)
    for (const [name, scenario] of Object.entries(scenarios)) {
      const complaint = scenario(rules, seed);
      if (complaint !== null) return `${name} at seed ${seed}: ${complaint}`;
    }
  return null;
}

describe("scenarios", () => {
  it.each(Object.keys(scenarios))("%s ends well with the right rules", (name) => {
    for (let seed = 1; seed <= 10; seed++) expect(scenarios[name]?.(standardRules, seed), `seed ${seed}`).toBeNull();
  });
});

describe("planted bugs", () => {
  it.each(Object.entries(plantedSwimBugs))("%s is found", (_name, { rules }) => {
    expect(firstComplaint(rules, 10)).not.toBeNull();
  });
});
