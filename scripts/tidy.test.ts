import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { arrowRule, arrows } from "./tidy/arrows.ts";
import { errorPageRule, linkRule, readmeRule } from "./tidy/docs.ts";
import { leftoverRule } from "./tidy/leftovers.ts";
import { type Finding, Project, type Rule } from "./tidy/project.ts";
import { purityRule } from "./tidy/purity.ts";
import { headerRule, sizeRule, syntaxRule, tightened } from "./tidy/size.ts";

/** Findings as "path:line message", the way a person reads them. */
function check(rule: Rule, files: Readonly<Record<string, string>>): string[] {
  return rule(Project.of(files)).map(({ path, line, message }: Finding) => `${path}:${line ?? "-"} ${message}`);
}

const body = (lineCount: number): string => "  use();\n".repeat(lineCount);

test("no package imports one above it", () => {
  expect(check(arrowRule, { "packages/core/src/a.ts": 'import { x } from "@cfs/rpc";' })).toEqual([
    "packages/core/src/a.ts:1 core may not import rpc (the arrows are in scripts/tidy/arrows.ts)",
  ]);
  expect(check(arrowRule, { "packages/rpc/src/a.ts": 'import { x } from "@cfs/core";\nimport "./b.ts";' })).toEqual([]);
});

test.each([
  'export * from "@cfs/rpc";',
  'export { x } from "@cfs/rpc";',
  'await import("@cfs/rpc");',
  'type T = import("@cfs/rpc").T;',
  'import type { T } from "@cfs/rpc";',
])("an arrow is seen in %s", (text) => {
  expect(check(arrowRule, { "packages/vfs/src/a.ts": text })).toHaveLength(1);
});

test("nobody reaches into another package, by name or by path", () => {
  expect(check(arrowRule, { "packages/rpc/src/a.ts": 'import "@cfs/core/src/codec.ts";\nimport "../../core/src/codec.ts";' })).toEqual([
    "packages/rpc/src/a.ts:1 imports the inside of another package: @cfs/core/src/codec.ts",
    "packages/rpc/src/a.ts:2 leaves its package by a relative import: ../../core/src/codec.ts",
  ]);
});

test("the testkit is for tests only", () => {
  const text = 'import "@cfs/testkit";';
  expect(check(arrowRule, { "packages/vfs/src/a.test.ts": text })).toEqual([]);
  expect(check(arrowRule, { "packages/vfs/src/a.ts": text })).toHaveLength(1);
});

test("package.json and tsconfig references follow the same arrows", () => {
  expect(
    check(arrowRule, {
      "packages/vfs/package.json": '{"dependencies":{"@cfs/core":"workspace:*","@cfs/rpc":"workspace:*","yaml":"1"}}',
      "packages/vfs/tsconfig.json": '{"references":[{"path":"../core"},{"path":"../../native"}]}',
      "packages/novel/package.json": "{}",
    }),
  ).toEqual([
    "packages/novel/package.json:- package novel has no arrows yet: add it to scripts/tidy/arrows.ts",
    "packages/vfs/package.json:- vfs may not depend on rpc",
    "packages/vfs/tsconfig.json:- vfs may not depend on native",
  ]);
});

test("the arrows have no cycle", () => {
  const visit = (name: string, above: readonly string[]): void => {
    expect(above).not.toContain(name);
    for (const next of arrows[name] ?? []) visit(next, [...above, name]);
  };
  for (const name of Object.keys(arrows)) visit(name, []);
});

test("a pure core imports core and itself only", () => {
  const path = "packages/metadata/src/namespace/a.ts";
  expect(check(arrowRule, { [path]: 'import "@cfs/core";\nimport "./b.ts";\nimport "node:fs";\nimport "../shard/x.ts";' })).toEqual([
    `${path}:3 a pure core imports only @cfs/core and itself, not node:fs`,
    `${path}:4 a pure core imports only @cfs/core and itself, not packages/metadata/src/shard/x.ts`,
  ]);
});

test.each(["Date.now()", "new Date()", "Math.random()", "process.hrtime.bigint()", "setTimeout(f, 1)", "performance.now()"])(
  "%s belongs to composition roots",
  (use) => {
    expect(check(purityRule, { "packages/storage/src/a.ts": `const x = ${use};` })).toHaveLength(1);
    expect(check(purityRule, { "packages/testkit/src/sim/a.ts": `const x = ${use};` })).toHaveLength(1);
    for (const path of ["packages/server/src/a.ts", "packages/storage/src/a.test.ts", "packages/storage/src/a.bench.ts", "scripts/a.ts"]) {
      expect(check(purityRule, { [path]: `const x = ${use};` }), path).toEqual([]);
    }
  },
);

test("banned names do not come in by import either", () => {
  const text =
    'import { randomBytes } from "node:crypto";\nimport { setTimeout as delay } from "node:timers/promises";\nimport { createHash } from "node:crypto";';
  expect(check(purityRule, { "packages/rpc/src/a.ts": text })).toHaveLength(2);
});

test("what looks like a banned name and is none passes", () => {
  expect(
    check(purityRule, {
      "packages/rpc/src/a.ts": 'const text = "Date.now()"; // Math.random()\nnew Date(5); clock.after(5, f); parts.setTimeout(1);',
    }),
  ).toEqual([]);
});

test.each([
  "async function f() {}",
  "const f = async () => 1;",
  "class A { async m() {} }",
  "const p = new Promise(f);",
  "setImmediate(f);",
])("a pure core does not wait: %s", (text) => {
  expect(check(purityRule, { "packages/metadata/src/namespace/a.ts": text })).toHaveLength(1);
  expect(check(purityRule, { "packages/metadata/src/shard/a.ts": text })).toEqual([]);
});

test("every file begins by saying what it is", () => {
  expect(
    check(headerRule, {
      "packages/core/src/a.ts": "/** Says it. */\nexport {};",
      "packages/core/src/b.ts": "use();\n/** Too late. */",
      "packages/core/src/c.ts": "// not a block\nuse();",
      "packages/core/src/d.test.ts": "use();",
      "packages/core/src/empty.ts": "export {};\n",
      "scripts/e.mjs": "#!/usr/bin/env node\n/** Says it. */\n",
      "native/crates/x/src/lib.rs": "//! Says it.\n",
      "native/crates/x/src/other.rs": "use std::fs;\n",
    }).map((finding) => finding.split(" ")[0]),
  ).toEqual(["packages/core/src/b.ts:1", "packages/core/src/c.ts:1", "native/crates/x/src/other.rs:1"]);
});

test("functions have at most 70 lines, in both languages", () => {
  const files = {
    "packages/core/src/a.ts": `function long() {\n${body(69)}}\nfunction short() {\n${body(68)}}\nclass A {\n  method() {\n${body(69)}  }\n}\n`,
    "native/crates/x/src/a.rs": `pub fn long() {\n${body(69)}}\n\nimpl A {\n    fn short(&self) {\n${body(68)}    }\n}\n#[cfg(test)]\nmod tests {\n    fn story() {\n${body(90)}    }\n}\n`,
    "packages/core/src/a.test.ts": `test("x", () => {\n${body(90)}});\n`,
  };
  expect(check(sizeRule({}), files)).toEqual([
    "native/crates/x/src/a.rs:1 long has 71 lines, at most 70: look for the second idea in it",
    "packages/core/src/a.ts:1 long has 71 lines, at most 70: look for the second idea in it",
    "packages/core/src/a.ts:143 method has 71 lines, at most 70: look for the second idea in it",
  ]);
});

test("files have at most 500 lines, tests too", () => {
  expect(
    check(sizeRule({}), { "packages/core/src/a.test.ts": "x();\n".repeat(501), "packages/core/src/b.ts": "x();\n".repeat(500) }),
  ).toEqual(["packages/core/src/a.test.ts:- the file has 501 lines, at most 500: look for the second idea in it"]);
});

test("the ratchet lets old offenders be, and never grow", () => {
  const files = { "packages/core/src/a.ts": `function long() {\n${body(78)}}\n` };
  expect(check(sizeRule({ "packages/core/src/a.ts#long": 80 }), files)).toEqual([]);
  expect(check(sizeRule({ "packages/core/src/a.ts#long": 79 }), files)).toHaveLength(1);
  expect(check(sizeRule({ "packages/core/src/a.ts#long": 80, "gone.ts#f": 90 }), files)).toEqual([
    "scripts/tidy.ratchet.json:- gone.ts#f is short enough now: take it out (node scripts/tidy.ts --update)",
  ]);
  expect(tightened({ "packages/core/src/a.ts#long": 99, "gone.ts#f": 90 }, Project.of(files))).toEqual({
    "packages/core/src/a.ts#long": 80,
  });
});

test("the ratchet of the repository holds nothing that was never needed", () => {
  const ratchet = JSON.parse(readFileSync(new URL("./tidy.ratchet.json", import.meta.url), "utf8")) as Record<string, number>;
  for (const [key, lines] of Object.entries(ratchet)) expect(lines, key).toBeGreaterThan(key.includes("#") ? 70 : 500);
});

test("leftovers are found where they stand", () => {
  const note = ["TO", "DO"].join("");
  const focused = ["test.on", "ly("].join("");
  const path = ["", "ro" + "ot", "x", "y"].join("/");
  const registry = ["registry", "npmjs", "org"].join(".");
  expect(
    check(leftoverRule, {
      "packages/core/src/index.ts": `f(); // ${note}: more\n`,
      "packages/core/src/a.test.ts": `${focused}"x", f);\n`,
      "docs/a.md": `see ${path}\nand https://${registry}/x\n`,
      "pnpm-lock.yaml": `https://${registry}/x\n`,
    }),
  ).toEqual([
    "packages/core/src/index.ts:1 a note to oneself is left: do it, or write an issue",
    "packages/core/src/a.test.ts:1 a focused or empty test hides the others",
    "docs/a.md:1 a path of one machine",
    "docs/a.md:2 an address of a package registry: the machine's settings name it",
  ]);
});

test("a test that is off needs a reason", () => {
  const off = ["test.sk", "ip("].join("");
  expect(check(leftoverRule, { "test/a.test.ts": `${off}"x", f);` })).toHaveLength(1);
  expect(check(leftoverRule, { "test/a.test.ts": `${off}"mount: no /dev/fuse here", f);` })).toEqual([]);
  expect(check(leftoverRule, { "test/a.test.ts": `// The kernel before 6.1 lacks it.\n${off}"x", f);` })).toEqual([]);
});

test("a source that nothing names is dead", () => {
  const files = {
    "packages/core/src/index.ts": 'export * from "./used.ts";',
    "packages/core/src/used.ts": "",
    "packages/core/src/dead.ts": "",
  };
  expect(check(leftoverRule, files)).toEqual(["packages/core/src/dead.ts:- nothing imports this file"]);
});

test("error codes and their page agree both ways", () => {
  const source = "/** x */\nexport const errnoByCode = { IO: 5, BUSY: 16, AGAIN: 11 } as const;\n";
  const page = "| `IO` | 5 (EIO) | a drive failed | replace it |\n| `AGAIN` | 12 | busy | wait |\n| `GONE` | 1 | x | y |\n";
  expect(check(errorPageRule, { "packages/core/src/errors.ts": source, "docs/operating/errors.md": page })).toEqual([
    "docs/operating/errors.md:- BUSY (errno 16) is not explained: add a row with cause and cure",
    "docs/operating/errors.md:2 AGAIN is errno 11 in the code, not 12",
    "docs/operating/errors.md:3 GONE is no code of packages/core/src/errors.ts",
  ]);
});

test("packages without README and links that lead nowhere", () => {
  expect(check(readmeRule, { "packages/core/package.json": "{}", "native/package.json": "{}", "native/README.md": "" })).toEqual([
    "packages/core/README.md:- every package has a README",
  ]);
  const text = "[a](../b.md) [b](c.md#x) [c](#here) [d](https://x.y) [e](nested)\n[f](gone.md)";
  expect(check(linkRule, { "docs/a.md": text, "b.md": "", "docs/c.md": "", "docs/nested/x.md": "" })).toEqual([
    "docs/a.md:2 the link to gone.md leads nowhere",
  ]);
});

test("a file that does not parse is a finding, not a pass", () => {
  expect(check(syntaxRule, { "packages/core/src/a.ts": "const = 1;" })).toHaveLength(1);
});
