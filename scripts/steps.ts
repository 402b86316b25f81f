/**
 * Runs commands one after the other, says which one and how long it took, and stops at the first that fails.
 *
 * Nothing is printed after the last step, so that its own closing lines are the end of the output. A signal that ends this process ends the step as
 * well: Ctrl-C reaches it by the terminal, SIGTERM is handed on.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";

export interface Step {
  /** Shown before the step and in the message when it fails. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** Default: the folder this process runs in. */
  readonly cwd?: string;
}

interface Ended {
  readonly code: number;
  /** What to say beside the exit code. */
  readonly why: string;
}

async function runStep({ command: [program, ...args], cwd }: Step): Promise<Ended> {
  const handOn = (): void => void child.kill("SIGTERM");
  const wait = (): void => undefined;
  // Before the step runs: a signal meanwhile is heard after `spawn` has returned, and must not end this process alone.
  process.on("SIGTERM", handOn).on("SIGINT", wait);
  const child = spawn(program, args, { stdio: "inherit", ...(cwd === undefined ? {} : { cwd }) });
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    return { code: code ?? 130, why: signal === null ? "" : ` (${signal})` };
  } catch (reason) {
    return { code: 1, why: `: cannot run ${program}: ${(reason as Error).message}` };
  } finally {
    process.off("SIGTERM", handOn).off("SIGINT", wait);
  }
}

/** The exit code for this process: 0, or that of the step that failed (130 when a signal ended it). */
export async function runSteps(steps: readonly Step[]): Promise<number> {
  for (const [index, step] of steps.entries()) {
    const beganMs = performance.now();
    console.log(`\n── ${step.name}: ${step.command.join(" ")}`);
    const { code, why } = await runStep(step);
    const isLast = index === steps.length - 1;
    if (code !== 0) {
      if (!isLast || why !== "") console.error(`\n${step.name} failed${why}`);
      return code;
    }
    if (!isLast) console.log(`── ${step.name}: ok, ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  }
  return 0;
}
