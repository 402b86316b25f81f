/** The one line that brings a failure back. */
import { spawnSync } from "node:child_process";

export function replayLine(family: string, seed: number, planted: string | null, violation: Error): string {
  return `pnpm sim --${family} --seed ${seed}${planted === null ? "" : ` --bug ${planted}`} --trace # commit ${commit()}: ${violation.message}`;
}

let known: string | null = null;

function commit(): string {
  known ??=
    spawnSync("git", ["describe", "--always", "--dirty"], { cwd: import.meta.dirname, encoding: "utf8" }).stdout?.trim() || "unknown";
  return known;
}
