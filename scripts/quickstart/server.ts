/** Starts and stops the server process of the quickstart. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Problem } from "./problem.ts";
import { isRunning, processStart, type ServerProcess } from "./state.ts";

const driveCount = 6;
/** A start replays its journal; two seconds are usual, a minute is far more than it may take. */
const readyTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;
const logBytesMax = 16 * 1024 * 1024;

export interface ServerParts {
  /** The checkout: `cfs` is started from there. */
  readonly root: string;
  /** Drives and log are kept there. */
  readonly folder: string;
  readonly port: number;
}

export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port, timeout: 1_000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

export function logTail(path: string, lineCount: number): string {
  if (!existsSync(path)) return "";
  return readFileSync(path, "utf8").trimEnd().split("\n").slice(-lineCount).join("\n");
}

export function driveFolders(folder: string): string[] {
  return Array.from({ length: driveCount }, (_unused, index) => join(folder, `drive${index + 1}`));
}

/** Starts the server in a session of its own. It is up when `waitUntilReady` returns. */
export function spawnServer({ root, folder, port }: ServerParts): ServerProcess {
  mkdirSync(folder, { recursive: true });
  const logPath = join(folder, "server.log");
  if (existsSync(logPath) && statSync(logPath).size > logBytesMax) renameSync(logPath, `${logPath}.1`);
  const drives = driveFolders(folder);
  for (const drive of drives) mkdirSync(drive, { recursive: true });
  const log = openSync(logPath, "a");
  try {
    const args = ["server", "start", ...drives.flatMap((drive) => ["--data", drive]), "--listen", `127.0.0.1:${port}`];
    const child = spawn(join(root, "cfs"), args, { cwd: folder, detached: true, stdio: ["ignore", log, log] });
    const startTicks = child.pid === undefined ? null : processStart(child.pid);
    if (child.pid === undefined || startTicks === null) throw new Problem("the server process could not be started", `See ${logPath}`);
    child.unref();
    return { pid: child.pid, startTicks };
  } finally {
    closeSync(log);
  }
}

export async function waitUntilReady(server: ServerProcess, { folder, port }: ServerParts, signal: AbortSignal): Promise<void> {
  const logPath = join(folder, "server.log");
  for (let waitedMs = 0; waitedMs < readyTimeoutMs; waitedMs += 50) {
    signal.throwIfAborted();
    if (!isRunning(server))
      throw new Problem(`the server ended while starting. The end of its log:\n${logTail(logPath, 15)}`, `The whole log: ${logPath}`);
    if (await isListening(port)) return;
    await delay(50, undefined, { signal });
  }
  throw new Problem(
    `the server does not answer on port ${port} after ${readyTimeoutMs / 1000} s. The end of its log:\n${logTail(logPath, 15)}`,
    `The whole log: ${logPath}`,
  );
}

/** Asks the server to end and waits for it; what does not end in time is killed, which loses nothing that was acknowledged. */
export async function stopServer(server: ServerProcess): Promise<"stopped" | "killed"> {
  if (!isRunning(server)) return "stopped";
  process.kill(server.pid, "SIGTERM");
  for (let waitedMs = 0; waitedMs < stopTimeoutMs; waitedMs += 50) {
    if (!isRunning(server)) return "stopped";
    await delay(50);
  }
  process.kill(server.pid, "SIGKILL");
  while (isRunning(server)) await delay(20);
  return "killed";
}

/** Runs `./cfs ARGS` with its output on this terminal; returns its exit code. */
export async function runCfs(root: string, args: readonly string[]): Promise<number> {
  const child = spawn(join(root, "cfs"), args, { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 130;
}
