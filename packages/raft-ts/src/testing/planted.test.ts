/** The tests can fail: each wrong rule is noticed by a story of testdata/ or by a storm. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseDataFile } from "./data-file.ts";
import { plantedRaftBugs, rulesWithBug } from "./planted.ts";
import { storm } from "./storm.ts";
import { Transcript } from "./transcript.ts";

const folder = new URL("../../testdata/", import.meta.url);
const stories = readdirSync(folder).map((name) => ({ name, blocks: parseDataFile(readFileSync(new URL(name, folder), "utf8")) }));
const stormsMax = 500;

/** The first story that ends otherwise, or in an assertion. */
function storyThatNotices(bug: string): string | null {
  const rules = rulesWithBug(bug);
  for (const { name, blocks } of stories) {
    const transcript = new Transcript(rules);
    try {
      if (blocks.some(({ commands, expected }) => transcript.run(commands) !== expected)) return name;
    } catch {
      // An assertion of the core or of the cluster: noticed too.
      return name;
    }
  }
  return null;
}

function stormThatNotices(bug: string): string | null {
  for (let seed = 1; seed <= stormsMax; seed++) {
    try {
      storm({ seed, steps: 4000, rules: rulesWithBug(bug) });
    } catch {
      return `storm ${seed}`;
    }
  }
  return null;
}

describe("planted bugs", () => {
  test.each(Object.keys(plantedRaftBugs))("%s is noticed", (bug) => {
    const found = storyThatNotices(bug) ?? stormThatNotices(bug);
    if (process.env["CFS_SHOW"] === "1") console.log(`${bug}: ${found ?? "missed"}`);
    expect(found).not.toBeNull();
  });

  test("there are enough of them", () => {
    expect(Object.keys(plantedRaftBugs).length).toBeGreaterThanOrEqual(20);
  });
});

describe("storms with the right rules", () => {
  test.each([{ readMode: "quorum" as const }, { readMode: "lease" as const }, { commitGate: true }])("are survived: %o", (raft) => {
    let committed = 0;
    for (let seed = 1; seed <= 100; seed++) committed += storm({ seed, steps: 3000, raft }).committed;
    expect(committed).toBeGreaterThan(1000);
  });
});
