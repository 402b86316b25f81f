/**
 * Proof that the simulator can fail: every planted bug is switched on by itself, and must be found within so many seeds.
 *
 * Prints the table of docs/internals/simulation.md: bug, the first seed that finds it, the promise that it breaks.
 */
import type { Family } from "@cfs/testkit/sim";

import { startShare } from "./share.ts";

export interface PlantedOptions {
  readonly seedsMax: number;
  readonly workerCount: number;
  /** Only this one. */
  readonly bug: string | null;
}

interface Row {
  readonly family: string;
  readonly bug: string;
  readonly text: string;
  readonly isFound: boolean;
}

export async function runPlanted(families: readonly Family[], options: PlantedOptions): Promise<boolean> {
  const tasks = families.flatMap((family) => family.planted.map((bug) => ({ family, bug })));
  const wanted = tasks.filter(({ bug }) => options.bug === null || options.bug === bug);
  const rows: Row[] = [];
  const work = async (): Promise<void> => {
    for (let task = wanted.shift(); task !== undefined; task = wanted.shift())
      rows.push(await hunt(task.family, task.bug, options.seedsMax));
  };
  await Promise.all(Array.from({ length: options.workerCount }, work));
  rows.sort((one, other) => one.family.localeCompare(other.family) || one.bug.localeCompare(other.bug));
  console.log("| family | planted bug | seeds needed | broken promise |\n|---|---|---|---|");
  for (const { text } of rows) console.log(text);
  const missed = rows.filter(({ isFound }) => !isFound);
  console.log(`\n${rows.length - missed.length} of ${rows.length} planted bugs were found within ${options.seedsMax} seeds`);
  return missed.length === 0 && rows.length > 0;
}

async function hunt(family: Family, bug: string, seedsMax: number): Promise<Row> {
  const share = { family: family.name, from: 1, step: 1, end: seedsMax + 1, planted: bug, minutes: null, stopsAtFirst: true };
  const { violation } = await startShare(share, () => {});
  const found = violation === null ? `**missed in ${seedsMax}** | ` : `${violation.seed} | ${violation.promise}`;
  return { family: family.name, bug, isFound: violation !== null, text: `| ${family.name} | \`${bug}\` | ${found} |` };
}
