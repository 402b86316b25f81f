/**
 * What can be set for the tests that break things, by the environment: CFS_CRASH_SEED (default: another one each time, printed), CFS_CRASH_ROUNDS
 * (default 50; more is a soak) and CFS_KEEP_LOGS (a directory for the logs of a failed run).
 */
import { execFileSync } from "node:child_process";
import { whyNoMounts } from "@cfs/testkit";

function numberFrom(name: string): number | null {
  const text = process.env[name];
  return text === undefined ? null : Number(text);
}

export const seed: number = numberFrom("CFS_CRASH_SEED") ?? Date.now() % 1_000_000;
export const rounds: number = numberFrom("CFS_CRASH_ROUNDS") ?? 50;

/** The command that runs a test file again with the same choices; the moments of the faults are as the machine lets them be. */
export function replayCommand(file: string): string {
  return `CFS_CRASH_SEED=${seed} CFS_CRASH_ROUNDS=${rounds} pnpm exec vitest run --project system ${file}`;
}

/** Null when mounts work here; otherwise why not, said aloud. */
export function whySkipped(what: string): string | null {
  const reason = whyNoMounts();
  if (reason !== null) console.warn(`${what} is not tested: ${reason}`);
  return reason;
}

export function hasProgram(name: string): boolean {
  try {
    execFileSync("which", [name], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
