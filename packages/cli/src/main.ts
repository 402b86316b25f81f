/**
 * The `cfs` program: arguments, terminals, clock and signals of this process, handed to `runCli`.
 *
 * This file alone touches `process`; everything below it takes what it needs. The rest is loaded late, so that a package which is not installed
 * is one line, too.
 */
import { performance } from "node:perf_hooks";
import type { WriteStream } from "node:tty";
import type { Terminal } from "./output.ts";
import type { runCli } from "./program.ts";
import { setupFailure } from "./setup-failure.ts";

function terminal(stream: WriteStream): Terminal {
  // A reader that went away (`cfs … | head`) is no failure of ours.
  stream.on("error", (reason: NodeJS.ErrnoException) => {
    if (reason.code !== "EPIPE") throw reason;
    process.exit(process.exitCode ?? 0);
  });
  return {
    write: (text) => void stream.write(text),
    isTerminal: stream.isTTY,
    get columns() {
      return stream.isTTY ? stream.columns : 80;
    },
  };
}

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    // The second time means: now.
    if (interrupted.signal.aborted) process.exit(130);
    interrupted.abort();
  });
}

async function loadProgram(): Promise<typeof runCli> {
  try {
    return (await import("./program.ts")).runCli;
  } catch (reason) {
    const failure = setupFailure(reason);
    if (failure === null) throw reason;
    if (process.argv.includes("--json")) process.stdout.write(`${JSON.stringify({ error: failure }, null, 2)}\n`);
    else process.stderr.write(`cfs: ${failure.code}: ${failure.message}\n  ${failure.next}\n`);
    return process.exit(1);
  }
}

const run = await loadProgram();
process.exitCode = await run(process.argv.slice(2), {
  stdout: terminal(process.stdout),
  stderr: terminal(process.stderr),
  env: process.env,
  signal: interrupted.signal,
  nowMs: () => performance.now(),
});
