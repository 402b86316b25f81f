/** Seeds of faults against three nodes (`CFS_CHAOS_RUNS` for more), and the proof that planted bugs are found that way. */
import { driverRulesWithBug, plantedDriverBugs } from "@cfs/metadata/testing";
import { expect, test } from "vitest";
import { Chaos } from "./chaos.ts";

test("nothing that was answered is lost or changed, whatever happens to power and network", { timeout: 600_000 }, async () => {
  const first = Number(process.env["CFS_CHAOS_SEED"] ?? 1);
  const count = Number(process.env["CFS_CHAOS_RUNS"] ?? 40);
  const totals = { answered: 0, reads: 0, crashes: 0 };
  for (let seed = first; seed < first + count; seed++) {
    const chaos = await Chaos.run({ seed });
    expect(chaos.violations, `CFS_CHAOS_SEED=${seed} CFS_CHAOS_RUNS=1`).toEqual([]);
    totals.answered += chaos.answeredCount;
    totals.reads += chaos.readCount;
    totals.crashes += chaos.crashCount;
  }
  console.log(`${count} seeds: ${JSON.stringify(totals)}`);
  expect(totals.answered).toBeGreaterThan(count);
});

/** Found within so many seeds; which one it is changes with every change of driver, raft-ts or faults. */
const plantedSeedsMax = 300;

/** Chaos reads by quorum; the simulator's families read by lease too. */
const leaseBugs: ReadonlySet<string> = new Set(["forgetTicksThatAreDue"]);

test("every planted bug is found", { timeout: 600_000 }, async () => {
  const found: string[] = [];
  for (const bug of Object.keys(plantedDriverBugs).filter((name) => !leaseBugs.has(name))) {
    let seed = 1;
    for (; seed <= plantedSeedsMax; seed++) {
      const chaos = await Chaos.run({ seed, rules: driverRulesWithBug(bug) });
      if (chaos.violations.length > 0) break;
    }
    expect(seed, bug).toBeLessThanOrEqual(plantedSeedsMax);
    found.push(`${bug} ${seed}`);
  }
  console.log(`seeds that find planted bugs: ${found.join(", ")}`);
});
