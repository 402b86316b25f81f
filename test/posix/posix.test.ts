/**
 * Some thousand claims about POSIX, each a named C function in cases/, run in a directory on the file system under test.
 *
 * Needs root (cases change users) and a C compiler. They run on a mount of their own; CFS_TEST_DIR=reference runs them on
 * the machine's own disk, which shows that the claims themselves hold, and CFS_TEST_DIR=DIRECTORY on any other mount.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildC, type CaseResult, groupCases, judge, listCases, openTestDirectory, runCases } from "@cfs/testkit/posix";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const isRoot = process.geteuid?.() === 0;
const folder = fileURLToPath(new URL("./cases/", import.meta.url));
const sources = readdirSync(folder)
  .sort()
  .map((name) => join(folder, name));
const groupMs = 300_000;

// Not run without root: the cases switch between users and make devices; the title tells whoever runs the suite.
if (!isRoot) test.skip("POSIX cases: they change users, so they need root", () => {});
else {
  const program = buildC({ name: "posix-cases", sources });
  const directory = await openTestDirectory();
  afterAll(() => directory[Symbol.asyncDispose]());
  for (const [group, names] of groupCases(listCases(program)))
    describe(`${group}`, () => {
      let results: ReadonlyMap<string, CaseResult> = new Map();
      beforeAll(async () => {
        results = await runCases(program, directory.path, [`${group}/`]);
      }, groupMs);
      for (const name of names)
        test(`${name}`, (context) => {
          const verdict = judge(results.get(name), directory.kind, name);
          // A case that says what this kernel or file system lacks, or a gap that testkit/posix/known-gaps.ts names with its reason; a gap that passes fails.
          if (verdict.type === "skip") context.skip(verdict.reason);
          expect(verdict).toEqual({ type: "pass" });
        });
    });
}
