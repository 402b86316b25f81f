/**
 * The `cfs` program: arguments, terminals, clock and signals of this process, handed to `runCli`.
 *
 * This file alone touches `process`; everything below it takes what it needs.
 */
import { performance } from "node:perf_hooks";
import type { WriteStream } from "node:tty";
import type { Terminal } from "./output.ts";
import { runCli } from "./program.ts";

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

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: terminal(process.stdout),
  stderr: terminal(process.stderr),
  env: process.env,
  signal: interrupted.signal,
  nowMs: () => performance.now(),
});
