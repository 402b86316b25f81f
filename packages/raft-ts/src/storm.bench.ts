/**
 * Many storms by command: safety and progress over a range of seeds, and which planted bugs are found.
 *
 *   node --conditions=cfs-source packages/raft-ts/src/storm.bench.ts [first seed] [count] [steps] [planted bug]
 */
import { argv } from "node:process";
import { rulesWithBug } from "./testing/planted.ts";
import { storm } from "./testing/storm.ts";

const first = Number(argv[2] ?? 1);
const count = Number(argv[3] ?? 1000);
const steps = Number(argv[4] ?? 3000);
const bug = argv[5];
const total = { committed: 0, reads: 0, elections: 0, snapshots: 0 };
const startMs = performance.now();
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  try {
    const readMode = seed % 3 === 0 ? { readMode: "lease" as const } : {};
    const result = storm({ seed, steps, raft: readMode, ...(bug === undefined ? {} : { rules: rulesWithBug(bug) }) });
    for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += result[key];
  } catch (reason) {
    failed++;
    console.log(`seed ${seed}: ${reason instanceof Error ? (failed < 3 ? reason.stack : reason.message.slice(0, 200)) : String(reason)}`);
    if (bug !== undefined) break;
  }
}
const seconds = (performance.now() - startMs) / 1000;
console.log(`${count} storms of ${steps} steps in ${seconds.toFixed(1)} s, ${failed} failed`, total);
