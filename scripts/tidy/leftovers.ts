/**
 * What must not stay behind: focused tests, notes to oneself, tests that are off without a reason, paths of one machine, addresses of registries, dead files.
 *
 * The patterns are put together from pieces, so that this file does not find itself.
 */
import { basename } from "node:path";
import { type Finding, isTestFile, type Project } from "./project.ts";

interface Pattern {
  readonly files: RegExp;
  readonly text: RegExp;
  readonly message: string;
}

const code = /\.(ts|mjs|rs|toml|yaml|yml|sh)$/;
const everywhere = /^(?!.*(?:pnpm-lock\.yaml|Cargo\.lock)$)/;
const word = (...parts: readonly string[]): string => parts.join("");

const patterns: readonly Pattern[] = [
  {
    files: code,
    text: new RegExp(`\\b(${word("TO", "DO")}|${word("FIX", "ME")}|${word("XX", "X")}|${word("HA", "CK")})\\b`),
    message: "a note to oneself is left: do it, or write an issue",
  },
  { files: /\.rs$/, text: new RegExp(`\\b(${word("to", "do")}|${word("unimple", "mented")})!\\(`), message: "unfinished code" },
  {
    files: /\.test\.ts$/,
    text: new RegExp(`\\b(test|it|describe)\\.(${word("on", "ly")}|${word("to", "do")})\\b`),
    message: "a focused or empty test hides the others",
  },
  {
    files: everywhere,
    text: new RegExp(`(^|[^\\w./-])/(${word("wo", "rk")}|${word("ro", "ot")}|${word("fa", "rm")}|${word("ho", "me")}/\\w+)/`, "m"),
    message: "a path of one machine",
  },
  {
    files: everywhere,
    text: new RegExp(
      [
        ["registry", "npmjs", "org"],
        ["deb", "debian", "org"],
        ["static", "crates", "io"],
        ["index", "crates", "io"],
        ["proxy", "golang", "org"],
      ]
        .map((name) => name.join("\\."))
        .join("|"),
    ),
    message: "an address of a package registry: the machine's settings name it",
  },
];

function matches({ files, text, message }: Pattern, project: Project): Finding[] {
  return project
    .matching(files)
    .flatMap((source) =>
      source.text.split("\n").flatMap((line, index) => (text.test(line) ? [{ path: source.path, line: index + 1, message }] : [])),
    );
}

/** A test that is switched off says why: in its name ("what: reason"), or in a comment on its line or the one above. */
function skippedTests(project: Project): Finding[] {
  return project.matching(/\.test\.ts$/).flatMap(({ path, text }) => {
    const lines = text.split("\n");
    return lines.flatMap((line, index) => {
      if (!/\b(test|it|describe)\.skip\(/.test(line)) return [];
      const hasReason = /\.skip\(["'`].*: /.test(line) || line.includes("//") || /^\s*(\/\/|\*|\/\*)/.test(lines[index - 1] ?? "");
      return hasReason ? [] : [{ path, line: index + 1, message: "a test is switched off without a reason beside it" }];
    });
  });
}

/** Sources that nothing names: no import, no worker URL, no script of package.json. */
function deadFiles(project: Project): Finding[] {
  const sources = project.matching(/^(packages\/[^/]+|native)\/src\/.*\.ts$/).filter(({ path }) => !isTestFile(path));
  const texts = project.matching(/\.(ts|mjs|json)$/);
  return sources
    .filter(({ path }) => !/\/(index|main)\.ts$/.test(path))
    .filter(({ path }) => !texts.some((other) => other.path !== path && other.text.includes(`/${basename(path)}"`)))
    .map(({ path }) => ({ path, line: null, message: "nothing imports this file" }));
}

export function leftoverRule(project: Project): readonly Finding[] {
  return [...patterns.flatMap((pattern) => matches(pattern, project)), ...skippedTests(project), ...deadFiles(project)];
}
