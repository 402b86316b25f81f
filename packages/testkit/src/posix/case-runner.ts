/**
 * Runs the POSIX cases of test/posix in a directory and reads their results, one JSON line a case.
 *
 * The C program forks each case and limits its time, so that a run always ends; a line that is missing is a case that took the runner
 * with it, and is told as a failure.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export type CaseStatus = "pass" | "fail" | "skip";

export interface CaseResult {
  /** `group/claim`. */
  readonly name: string;
  readonly status: CaseStatus;
  /** Source line, call, errno got and wanted; empty when it passed. */
  readonly detail: string;
  readonly ms: number;
}

export function listCases(program: string): readonly string[] {
  return execFileSync(program, ["--list"], { encoding: "utf8" })
    .split("\n")
    .filter((name) => name !== "");
}

/** Names by the part before the slash, in the order of the names. */
export function groupCases(names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  return Map.groupBy(names, (name) => name.slice(0, name.indexOf("/")));
}

export function parseResult(line: string): CaseResult {
  const { name, status, detail, ms } = JSON.parse(line) as Record<string, unknown>;
  if (typeof name !== "string" || typeof detail !== "string" || typeof ms !== "number") throw new Error(`not a result: ${line}`);
  if (status !== "pass" && status !== "fail" && status !== "skip") throw new Error(`unknown status: ${line}`);
  return { name, status, detail, ms };
}

/** The results of all cases whose names begin with one of the prefixes; all cases without prefixes. */
export async function runCases(
  program: string,
  directory: string,
  prefixes: readonly string[] = [],
): Promise<ReadonlyMap<string, CaseResult>> {
  const child = spawn(program, [directory, ...prefixes], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const results = new Map<string, CaseResult>();
  for await (const line of createInterface({ input: child.stdout })) {
    const result = parseResult(line);
    results.set(result.name, result);
  }
  const [code, signal] = await exited;
  if (code === 0 || code === 1) return results;
  throw new Error(`the case runner ended with ${signal ?? code} after ${results.size} results`);
}
