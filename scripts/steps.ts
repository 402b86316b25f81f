/**
 * Runs commands one after the other, says which one and how long it took, and stops at the first that fails.
 *
 * Nothing is printed after the last step, so that its own closing lines are the end of the output.
 */
import { spawnSync } from "node:child_process";
import { performance } from "node:perf_hooks";

export interface Step {
  /** Shown before the step and in the message when it fails. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Default: the folder this process runs in. */
  readonly cwd?: string;
}

/** The exit code for this process: 0, or that of the step that failed (130 when a signal ended it). */
export function runSteps(steps: readonly Step[]): number {
  for (const [index, step] of steps.entries()) {
    const [program, ...args] = step.command;
    const beganMs = performance.now();
    console.log(`\n── ${step.name}: ${step.command.join(" ")}`);
    const done = spawnSync(program, args, { stdio: "inherit", ...(step.cwd === undefined ? {} : { cwd: step.cwd }) });
    if (done.error !== undefined) console.error(`cannot run ${program}: ${done.error.message}`);
    const isLast = index === steps.length - 1;
    if (done.status !== 0) {
      if (!isLast) console.error(`\n${step.name} failed${done.signal === null ? "" : ` (${done.signal})`}`);
      return done.error === undefined ? (done.status ?? 130) : 1;
    }
    if (!isLast) console.log(`── ${step.name}: ok, ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  }
  return 0;
}
