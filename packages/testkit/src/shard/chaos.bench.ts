/**
 * Runs seeds of chaos by hand: `node --conditions=cfs-source packages/testkit/src/shard/chaos.bench.ts FIRST COUNT [BUG]`.
 *
 * With the name of a planted bug it says which seed finds it; exit code 1 when something is found without one, or nothing with one.
 */
import { driverRulesWithBug } from "@cfs/metadata/testing";
import { Chaos } from "./chaos.ts";

const first = Number(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 100);
const bug = process.argv[4] ?? null;
const begin = performance.now();
let isFound = false;
for (let seed = first; seed < first + count && !isFound; seed++) {
  const chaos = await Chaos.run({ seed, ...(bug === null ? {} : { rules: driverRulesWithBug(bug) }) });
  if (chaos.violations.length === 0) continue;
  isFound = true;
  console.log(`seed ${seed}${bug === null ? "" : ` finds ${bug}`}: ${chaos.violations[0] ?? ""}`);
}
if (!isFound) console.log(`${count} seeds, nothing found, ${Math.round(performance.now() - begin)} ms`);
process.exitCode = isFound === (bug !== null) ? 0 : 1;
