/**
 * `pnpm sim`: runs seeds of the simulator, and says in one line how to see a failure again.
 *
 *   pnpm sim --raft --seed 8123            one seed; prints its trace hash, the same for the same commit everywhere
 *   pnpm sim --raft --seed 8123 --trace    the same as a story
 *   pnpm sim --raft --from 1 --count 500   many seeds, on `--workers` threads; or `--minutes 10` instead of a count
 *   pnpm sim --planted                     each planted bug must be found within 500 seeds
 *   pnpm sim --ci                          what `npm test` runs: at least 100 simulated cluster-hours, and the table of planted bugs
 *
 * Exit code 0: seeds ran and no promise was broken (with --planted: every bug was found). 1: not so. 2: the arguments mean nothing, and nothing ran.
 */
import { parseArgs } from "node:util";
import { families, familyOf } from "@cfs/testkit/sim";
import { tellSeed } from "./sim/one-seed.ts";
import { runPlanted } from "./sim/planted.ts";
import { runSeeds } from "./sim/many-seeds.ts";

/** Seeds of the share for every change, by family: chosen by measured speed, see docs/internals/simulation.md. */
const ciSeeds: Readonly<Record<string, number>> = { raft: 3000, shard: 80, swim: 760 };

/** An option that nobody knows is exit code 2, as everything that means nothing. */
function parsed() {
  try {
    return parseArgs({
      options: {
        seed: { type: "string" },
        from: { type: "string", default: "1" },
        count: { type: "string" },
        minutes: { type: "string" },
        workers: { type: "string", default: "2" },
        trace: { type: "boolean", default: false },
        planted: { type: "boolean", default: false },
        bug: { type: "string" },
        ci: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        ...Object.fromEntries(families.map(({ name }) => [name, { type: "boolean", default: false } as const])),
      },
    });
  } catch (reason) {
    console.error(`pnpm sim: ${reason instanceof Error ? reason.message : String(reason)}`);
    process.exit(2);
  }
}

const { values } = parsed();

const chosen = families.filter(({ name }) => (values as Readonly<Record<string, unknown>>)[name] === true);
const asked = chosen.length > 0 ? chosen : families;
const workerCount = Number(values.workers);

/** Why the arguments mean nothing, in one line: else they would run no seed, and look like a success. */
function refusal(): string | null {
  const isWhole = (text: string): boolean => /^\d+$/.test(text) && Number.isSafeInteger(Number(text));
  for (const name of ["seed", "from"] as const) {
    const text = values[name];
    if (text !== undefined && !isWhole(text)) return `--${name} wants a whole number, not "${text}"`;
  }
  for (const name of ["count", "workers"] as const) {
    const text = values[name];
    if (text !== undefined && !(isWhole(text) && Number(text) > 0)) return `--${name} wants a whole number above 0, not "${text}"`;
  }
  const { minutes } = values;
  if (minutes !== undefined && !(/^\d+(\.\d+)?$/.test(minutes) && Number(minutes) > 0))
    return `--minutes wants a number above 0, not "${minutes}"`;
  if (values.trace && values.seed === undefined) return "--trace tells the story of one seed: say which with --seed";
  if (values.bug !== undefined && values.seed === undefined && !values.planted) return "--bug goes with --seed or --planted";
  const { bug } = values;
  const strangers = asked.filter(({ planted }) => bug !== undefined && !planted.includes(bug));
  // The table takes a bug from whichever family has it; a seed needs it in each that runs.
  if (strangers.length > (values.planted ? asked.length - 1 : 0))
    return `--bug ${bug} is not planted in ${strangers.map(({ name }) => name).join(", ")}`;
  return null;
}

async function main(): Promise<boolean> {
  if (values.help) {
    console.log(
      "pnpm sim [FAMILY…] [--seed N [--trace] [--bug NAME]] [--from N] [--count N | --minutes N] [--workers N] [--planted] [--ci]\n",
    );
    for (const { name, about } of families) console.log(`  --${name.padEnd(8)} ${about}`);
    return true;
  }
  if (values.ci) {
    const plan = asked.map((family) => ({ family, from: 1, count: ciSeeds[family.name] ?? 0 }));
    return (await runSeeds(plan, { workerCount, minutes: null })) && runPlanted(asked, { seedsMax: 500, workerCount, bug: null });
  }
  if (values.planted) return runPlanted(asked, { seedsMax: Number(values.count ?? 500), workerCount, bug: values.bug ?? null });
  if (values.seed !== undefined) {
    const outcomes = [];
    for (const family of asked)
      outcomes.push(await tellSeed(family, Number(values.seed), { isTold: values.trace, planted: values.bug ?? null }));
    return outcomes.every((isGood) => isGood);
  }
  const minutes = values.minutes === undefined ? null : Number(values.minutes);
  const plan = asked.map(({ name }) => {
    const count = minutes === null ? Number(values.count ?? 100) : Number.MAX_SAFE_INTEGER;
    return { family: familyOf(name), from: Number(values.from), count };
  });
  return runSeeds(plan, { workerCount, minutes });
}

const refused = refusal();
if (refused !== null) console.error(`pnpm sim: ${refused}`);
process.exitCode = refused !== null ? 2 : (await main()) ? 0 : 1;
