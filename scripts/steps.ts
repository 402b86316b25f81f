/**
 * Runs commands one after the other, says which one and how long it took, and stops at the first that fails.
 *
 * A step that runs beside the others has the lowest priority, and what it prints is shown when it has ended; the run ends with it, if it is last.
 * Nothing is printed after the last step, so that its own closing lines are the end of the output: of a step beside it only when that is slower or fails. A signal that ends this process ends the step as
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
  /** Runs while the steps after it do, in the time that they leave. */
  readonly isBeside?: boolean;
}

interface Ended {
  readonly code: number;
  /** What to say beside the exit code. */
  readonly why: string;
}

async function runStep(step: Step, signal?: AbortSignal): Promise<Ended> {
  const command = step.isBeside === true ? (["nice", "-n", "19", ...step.command] as const) : step.command;
  const [program, ...args] = command;
  const output: Buffer[] = [];
  const child = spawn(program, args, {
    stdio: step.isBeside === true ? ["ignore", "pipe", "pipe"] : "inherit",
    ...(step.cwd === undefined ? {} : { cwd: step.cwd }),
  });
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (piece: Buffer) => output.push(piece));
  signal?.addEventListener("abort", () => child.kill("SIGTERM"));
  const handOn = (): void => void child.kill("SIGTERM");
  const wait = (): void => undefined;
  process.on("SIGTERM", handOn).on("SIGINT", wait);
  try {
    const [code, by] = (await once(child, step.isBeside === true ? "close" : "exit")) as [number | null, NodeJS.Signals | null];
    process.stdout.write(Buffer.concat(output));
    return { code: code ?? 130, why: by === null ? "" : ` (${by})` };
  } catch (reason) {
    return { code: 1, why: `: cannot run ${program}: ${(reason as Error).message}` };
  } finally {
    process.off("SIGTERM", handOn).off("SIGINT", wait);
  }
}

/** The exit code for this process: 0, or that of the step that failed (130 when a signal ended it). */
export async function runSteps(steps: readonly Step[]): Promise<number> {
  const beside: Promise<number>[] = [];
  const stop = new AbortController();
  for (const [index, step] of steps.entries()) {
    const isLast = index === steps.length - 1;
    const running = runNamed(step, isLast, stop.signal);
    if (step.isBeside === true) {
      beside.push(running);
      continue;
    }
    const code = await running;
    if (code === 0) continue;
    stop.abort();
    await Promise.all(beside);
    return code;
  }
  return (await Promise.all(beside)).find((code) => code !== 0) ?? 0;
}

async function runNamed(step: Step, isLast: boolean, signal: AbortSignal): Promise<number> {
  const beganMs = performance.now();
  console.log(`\n── ${step.name}: ${step.command.join(" ")}${step.isBeside === true ? " (beside what follows)" : ""}`);
  const { code, why } = await runStep(step, signal);
  if (code !== 0) {
    if (!isLast || why !== "") console.error(`\n${step.name} failed${why}`);
  } else if (!isLast) console.log(`── ${step.name}: ok, ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
  return code;
}
