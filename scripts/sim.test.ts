/** The simulator from the command line: the same trace in every process, the same story, one line for a failure, an exit code. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { families, Trace } from "@cfs/testkit/sim";

interface Ran {
  readonly output: string;
  readonly status: number | null;
}

function sim(...args: readonly string[]): Ran {
  const script = new URL("sim.ts", import.meta.url).pathname;
  const done = spawnSync(process.execPath, ["--conditions=cfs-source", "--disable-warning=ExperimentalWarning", script, ...args], {
    encoding: "utf8",
    timeout: 100_000,
  });
  return { output: done.stdout + done.stderr, status: done.status };
}

const hashOf = ({ output }: Ran): string | undefined => /^trace ([0-9a-f]{16})$/m.exec(output)?.[1];

test.each(families.map(({ name }) => name))(
  "%s: one seed is one trace, in another process and told as a story",
  async (name) => {
    const elsewhere = sim(`--${name}`, "--seed", "11");
    expect(elsewhere.status).toBe(0);
    expect(hashOf(elsewhere)).toMatch(/^[0-9a-f]{16}$/);
    const family = families.find((other) => other.name === name);
    const trace = new Trace({ isTold: true });
    await family?.run(11, { trace, planted: null });
    expect(trace.hash).toBe(hashOf(elsewhere));
    expect(trace.story.length).toBeGreaterThan(20);
  },
  120_000,
);

test("different seeds are different runs", async () => {
  const hashes = await Promise.all([11, 12].map(async (seed) => (await families[0]?.run(seed, { trace: null, planted: null }))?.hash));
  expect(new Set(hashes).size).toBe(2);
});

test("a broken promise is one line that brings it back, and an exit code", () => {
  const { output, status } = sim("--raft", "--seed", "1", "--bug", "commitByAMinority");
  expect(status).toBe(1);
  expect(output).toMatch(/^pnpm sim --raft --seed 1 --bug commitByAMinority --trace # commit \S+: durable commit: /m);
}, 60_000);

test("a planted bug that is missed fails the table", () => {
  expect(sim("--raft", "--planted", "--bug", "commitByAMinority", "--count", "3")).toMatchObject({ status: 0 });
  expect(sim("--raft", "--planted", "--bug", "leaseThatNeverEnds", "--count", "1")).toMatchObject({ status: 1 });
}, 60_000);

test("many seeds on two threads: figures, and 0 broken promises", () => {
  const { output, status } = sim("--raft", "--count", "6", "--workers", "2");
  expect(output).toMatch(/^raft: 6 seeds, .* cluster-hours in .* times real time per core/m);
  expect(output).toMatch(/simulated cluster-hours, 0 broken promises$/m);
  expect(status).toBe(0);
}, 60_000);

test.each([
  "--count abc",
  "--count 0",
  "--count=-1",
  "--count 1.5",
  "--from x",
  "--seed x",
  "--minutes 0",
  "--minutes x",
  "--workers x",
  "--workers 0",
  "--trace",
  "--bug commitByAMinority",
  "--planted --count 0",
  "--ci --workers x",
])("%s means nothing and is refused in one line", (line) => {
  const { output, status } = sim("--raft", ...line.split(" "));
  expect(output).toMatch(/^pnpm sim: --[^\n]+\n$/);
  expect(status).toBe(2);
});

test("a run of no seeds is not green", () => {
  const { output, status } = sim("--raft", "--minutes", "0.0000001");
  expect(output).toMatch(/^raft: no seed ran/m);
  expect(status).toBe(1);
});

test.each([
  ["an option that nobody knows", ["--foo"]],
  ["a bug that nobody planted", ["--raft", "--seed", "1", "--bug", "nonsense"]],
  ["a bug that nobody planted, for the table", ["--planted", "--bug", "nonsense"]],
  ["a bug of one family for all", ["--seed", "1", "--bug", "voteTwiceInATerm"]],
])("%s is exit code 2 and one line", (_, args) => {
  const { output, status } = sim(...args);
  expect([status, output.trimEnd().split("\n").length]).toEqual([2, 1]);
});
