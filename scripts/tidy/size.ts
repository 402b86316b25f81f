/**
 * Files begin by saying what they are, and stay short: 500 lines a file, 70 a function.
 *
 * What was longer when the rule came stands in scripts/tidy.ratchet.json with its length; an entry may shrink and go, never grow, and no new one is added.
 */
import { type Finding, isTestFile, nameOf, type Project, type Source, type SyntaxNode, childOf, walk } from "./project.ts";

export const fileLinesMax = 500;
export const functionLinesMax = 70;

/** Lines by "path" for files and by "path#function" for functions. */
export type Ratchet = Readonly<Record<string, number>>;

export interface Oversize {
  readonly key: string;
  readonly path: string;
  readonly line: number | null;
  readonly lines: number;
  readonly linesMax: number;
}

function lineCount(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}

const functionTypes = new Set(["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"]);

/** The name that a function is known by: its own, or that of the method, field or variable that holds it. */
function functionName(node: SyntaxNode, parent: SyntaxNode | null): string {
  const holder = parent === null ? null : (childOf(parent, "key") ?? childOf(parent, "id"));
  return nameOf(childOf(node, "id")) ?? nameOf(holder) ?? "anonymous";
}

function scriptFunctions(project: Project, path: string): Oversize[] {
  const found: Oversize[] = [];
  walk(project.parse(path).program, (node, parent) => {
    if (!functionTypes.has(node.type)) return;
    const line = project.lineOf(path, node.start);
    const lines = project.lineOf(path, node.end) - line + 1;
    if (lines > functionLinesMax)
      found.push({ key: `${path}#${functionName(node, parent)}`, path, line, lines, linesMax: functionLinesMax });
  });
  return found;
}

/** By indentation, which rustfmt keeps: a function ends at the brace below its first letter. Tests at the end of the file do not count. */
function rustFunctions({ path, text }: Source): Oversize[] {
  const lines = (text.split("#[cfg(test)]")[0] ?? "").split("\n");
  const found: Oversize[] = [];
  for (const [index, line] of lines.entries()) {
    const head = /^(\s*)(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe |extern "C" )*fn (\w+)/.exec(line);
    if (head === null || line.endsWith(";")) continue;
    const end = lines.findIndex((candidate, at) => at >= index && candidate === `${head[1] ?? ""}}`);
    const count = end - index + 1;
    if (count > functionLinesMax)
      found.push({ key: `${path}#${head[2] ?? ""}`, path, line: index + 1, lines: count, linesMax: functionLinesMax });
  }
  return found;
}

/** Everything that is too long. Functions in tests and conformance suites are stories and may be long; their files may not. */
export function oversizes(project: Project): readonly Oversize[] {
  const files = project.matching(/\.(ts|mjs|rs)$/);
  return files.flatMap((source) => {
    const lines = lineCount(source.text);
    const file = lines > fileLinesMax ? [{ key: source.path, path: source.path, line: null, lines, linesMax: fileLinesMax }] : [];
    if (isTestFile(source.path) || source.path.startsWith("packages/testkit/src/conformance/")) return file;
    return [...file, ...(source.path.endsWith(".rs") ? rustFunctions(source) : scriptFunctions(project, source.path))];
  });
}

export function sizeRule(ratchet: Ratchet): (project: Project) => readonly Finding[] {
  return (project) => {
    const found = oversizes(project);
    const tooLong = found
      .filter(({ key, lines, linesMax }) => lines > (ratchet[key] ?? linesMax))
      .map(({ path, line, lines, key, linesMax }) => ({
        path,
        line,
        message: `${key.split("#")[1] ?? "the file"} has ${lines} lines, at most ${ratchet[key] ?? linesMax}: look for the second idea in it`,
      }));
    const keys = new Set(found.map(({ key }) => key));
    const stale = Object.keys(ratchet).filter((key) => !keys.has(key));
    return [
      ...tooLong,
      ...stale.map((key) => ({
        path: "scripts/tidy.ratchet.json",
        line: null,
        message: `${key} is short enough now: take it out (node scripts/tidy.ts --update)`,
      })),
    ];
  };
}

/** The ratchet after what is in the tree now: entries shrink and go, none is added. */
export function tightened(ratchet: Ratchet, project: Project): Ratchet {
  const lines = new Map(oversizes(project).map((oversize) => [oversize.key, oversize.lines]));
  const kept = Object.entries(ratchet).flatMap(([key, limit]) => {
    const now = lines.get(key);
    return now === undefined ? [] : [[key, Math.min(now, limit)] as const];
  });
  return Object.fromEntries(kept);
}

export function headerRule(project: Project): readonly Finding[] {
  const scripts = project.scripts.filter(({ path }) => !isTestFile(path));
  // A file that holds nothing has nothing to say.
  const withoutHeader = scripts.filter(
    ({ text }) =>
      text.trim() !== "export {};" &&
      !text
        .replace(/^#!.*\n/, "")
        .trimStart()
        .startsWith("/**"),
  );
  const rust = project
    .matching(/\.rs$/)
    .filter(({ path, text }) => !path.endsWith("build.rs") && !path.includes("/tests/") && !text.startsWith("//!"));
  return [...withoutHeader, ...rust].map(({ path }) => ({
    path,
    line: 1,
    message: "begins without a comment that says what the file is and what it keeps true",
  }));
}

export function syntaxRule(project: Project): readonly Finding[] {
  return project.scripts.flatMap(({ path }) => {
    const { problem } = project.parse(path);
    return problem === null ? [] : [{ path, line: null, message: problem }];
  });
}
