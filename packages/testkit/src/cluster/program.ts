/** Runs the `cfs` program of this checkout as people do: real processes, arguments and exit codes. */
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { openSync, closeSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const programPath = fileURLToPath(new URL("../../../cli/src/main.ts", import.meta.url));
const nodeFlags = ["--conditions=cfs-source", "--disable-warning=ExperimentalWarning"];

/** How a command ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Arguments for Node that run `cfs ARGS`. */
export function programArguments(args: readonly string[]): string[] {
  return [...nodeFlags, programPath, ...args];
}

/** Arguments for Node that run a script of this repository. */
export function scriptArguments(script: string, args: readonly string[]): string[] {
  return [...nodeFlags, script, ...args];
}

const outputBytesMax = 16 << 20;

/** Runs a program to its end; never rejects because of its exit code. Never a synchronous call: what waits for a mount must not stop the test. */
export function run(
  file: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string; timeoutMs: number },
): Promise<CommandResult> {
  const { env, cwd, timeoutMs } = options;
  return new Promise((resolve) => {
    execFile(file, args, { env, cwd, timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: outputBytesMax }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 255;
      const note = error !== null && code === 255 ? `\n(${error.killed === true ? `killed after ${timeoutMs} ms` : error.message})` : "";
      resolve({ code, stdout, stderr: stderr + note });
    });
  });
}

/** Starts a long-running process whose standard error goes to a file and whose standard output is a pipe. */
export function startLogged(args: readonly string[], env: NodeJS.ProcessEnv, logPath: string): ChildProcess {
  const log = openSync(logPath, "a");
  try {
    return spawn(process.execPath, args, { stdio: ["ignore", "pipe", log], env, cwd: "/" });
  } finally {
    closeSync(log);
  }
}

/** A TCP port of the loopback interface that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => (address !== null && typeof address === "object" ? resolve(address.port) : reject(new Error("no port was given"))));
    });
  });
}

/** The last lines of a file, for the report of a failure. */
export function tail(path: string, linesMax: number): string {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-linesMax).join("\n");
  } catch (reason) {
    return `(${(reason as NodeJS.ErrnoException).code ?? String(reason)})`;
  }
}
