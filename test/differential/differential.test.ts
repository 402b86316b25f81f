/**
 * Random operations on an ordinary disk and on the file system under test must give equal answers and equal trees; one file under random
 * access must always hold what a model in memory holds.
 *
 * CFS_DIFFERENTIAL_SEEDS (default 6, half of them for the one file) and CFS_DIFFERENTIAL_STEPS (default 3000) make a longer run, CFS_DIFFERENTIAL_SEED starts at another
 * seed. A failure prints seed, step and the last steps; the same seed gives the same run. Needs root: a quarter of the steps change the user.
 */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildC, openReferenceDirectory, openTestDirectory, type TestDirectory } from "@cfs/testkit/posix";
import { afterAll, describe, expect, test } from "vitest";

const isRoot = process.geteuid?.() === 0;
const source = (name: string): string => fileURLToPath(new URL(`./src/${name}`, import.meta.url));
const count = Number(process.env["CFS_DIFFERENTIAL_SEEDS"] ?? 6);
const steps = Number(process.env["CFS_DIFFERENTIAL_STEPS"] ?? 3000);
const firstSeed = Number(process.env["CFS_DIFFERENTIAL_SEED"] ?? 1);
const seeds = Array.from({ length: count }, (_, index) => firstSeed + index);
/** One run: 20 ms a step is far more than any file system needs. */
const runMs = 60_000 + steps * 20;

interface Run {
  readonly code: number | null;
  readonly said: string;
}

function run(program: string, args: readonly (string | number)[]): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(program, args.map(String), { timeout: runMs, killSignal: "SIGKILL" }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, said: `${stdout}${stderr}${child.signalCode === null ? "" : `ended by ${child.signalCode}`}` });
    });
  });
}

function fresh(directory: TestDirectory, name: string): string {
  const path = join(directory.path, name);
  mkdirSync(path);
  return path;
}

// Not run without root: the operations switch between users, which only root may do; the title tells whoever runs the suite.
if (!isRoot) test.skip("differential runs: they change users, so they need root", () => {});
else {
  const reference = openReferenceDirectory();
  const tested = await openTestDirectory();
  afterAll(async () => {
    await tested[Symbol.asyncDispose]();
    await reference[Symbol.asyncDispose]();
  });

  describe("two file systems", () => {
    const sources = ["story.h", "tree.h", "story.c", "tree.c", "differential.c"].map(source);
    const program = buildC({ name: "differential", sources });

    test.each(seeds)("answer alike, seed %i", { timeout: runMs + 5000 }, async (seed) => {
      const name = `seed-${seed}`;
      const { code, said } = await run(program, [fresh(reference, name), fresh(tested, name), seed, steps]);
      expect(said).toContain("equal after");
      expect(code).toBe(0);
    });

    const planted = { content: "byte 5", mode: "its mode", attribute: "user.planted", name: "holds", link: "holds", size: "its size" };
    test.each(Object.entries(planted))("a planted difference of %s is found", async (kind, complaint) => {
      const name = `planted-${kind}`;
      const { code, said } = await run(program, [fresh(reference, name), fresh(reference, `${name}-right`), 1, 1000, "plant", 450, kind]);
      expect(said).toMatch(new RegExp(`seed 1 step 599: .*${complaint}`));
      expect(code).toBe(1);
    });
  });

  describe("one file", () => {
    const program = buildC({ name: "exerciser", sources: ["story.h", "story.c", "exerciser.c"].map(source) });

    test.each(seeds.filter((_, index) => index % 2 === 0))(
      "holds what the model holds, seed %i",
      { timeout: runMs + 5000 },
      async (seed) => {
        const { code, said } = await run(program, [join(tested.path, `file-${seed}`), seed, steps]);
        expect(said).toContain("right after");
        expect(code).toBe(0);
      },
    );

    test("a wrong byte is found", async () => {
      const { code, said } = await run(program, [join(reference.path, "wrong"), 1, 1000, "plant", 499]);
      expect(said).toMatch(/seed 1 step 499: read: byte/);
      expect(code).toBe(1);
    });
  });
}
