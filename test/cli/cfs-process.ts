/** Runs the real `cfs` program for tests: one-shot commands, servers in the background, and listings of what is on disk. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));
const nodeFlags = ["--conditions=cfs-source", "--disable-warning=ExperimentalWarning", program];
const startTimeoutMs = 60_000;

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function cfs(args: readonly string[], server?: string): Ran {
  const env = server === undefined ? process.env : { ...process.env, CFS_SERVER: server };
  const { status, stdout, stderr } = spawnSync(process.execPath, [...nodeFlags, ...args], { encoding: "utf8", env, timeout: 120_000 });
  return { code: status, out: stdout, err: stderr };
}

/** The value that `cfs … --json` prints. */
export function cfsJson<T>(args: readonly string[], server?: string): T {
  return JSON.parse(cfs([...args, "--json"], server).out) as T;
}

export interface Server {
  readonly address: string;
  readonly http: string;
  readonly process: ChildProcess;
  /** Ends it by a signal; the exit code, null when the signal killed it. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/** A place of its own for drives, removed by `dispose`, with the servers that were started there. */
export class Place {
  readonly folder: string = mkdtempSync(join(tmpdir(), "cfs-cli-test-"));
  readonly #servers: Server[] = [];

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Empty directories. */
  directories(...names: string[]): string[] {
    return names.map((name) => {
      mkdirSync(this.path(name), { recursive: true });
      return this.path(name);
    });
  }

  async serve(drives: readonly string[], flags: readonly string[] = []): Promise<Server> {
    const server = await startServer(drives, flags);
    this.#servers.push(server);
    return server;
  }

  async dispose(): Promise<void> {
    for (const server of this.#servers) await server.stop("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** For the program that runs this test. */
export function serverArguments(drives: readonly string[], flags: readonly string[] = []): string[] {
  const data = drives.flatMap((drive) => ["--data", drive]);
  return [...nodeFlags, "server", "start", ...data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", ...flags];
}

async function startServer(drives: readonly string[], flags: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, serverArguments(drives, flags), { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  const ready = Promise.withResolvers<RegExpExecArray>();
  const listen = (chunk: Buffer): void => {
    text += chunk.toString("utf8");
    const match = /cfs serves on (\S+) with .* http:\/\/(\S+)\/metrics/.exec(text);
    if (match !== null) ready.resolve(match);
  };
  child.stdout.on("data", listen);
  child.stderr.on("data", listen);
  const timer = setTimeout(() => ready.reject(new Error(`the server did not start:\n${text}`)), startTimeoutMs);
  child.once("exit", (code) => ready.reject(new Error(`the server ended with ${code}:\n${text}`)));
  try {
    const match = await ready.promise;
    return { address: match[1] ?? "", http: match[2] ?? "", process: child, stop: (signal) => stopChild(child, signal) };
  } catch (reason) {
    await stopChild(child, "SIGKILL");
    throw reason;
  } finally {
    clearTimeout(timer);
  }
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
  return child.exitCode;
}

/** Every name below the directories with kind, mode, size and content: what "nothing changed on disk" is held against. */
export function listing(directories: readonly string[]): string[] {
  const lines: string[] = [];
  for (const directory of directories) {
    if (!existsSync(directory)) {
      lines.push(`${directory} is missing`);
      continue;
    }
    for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted((a, b) => (a < b ? -1 : 1))) {
      const path = join(directory, name);
      const info = lstatSync(path);
      const content = info.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "";
      lines.push(`${path} ${info.mode.toString(8)} ${info.isFile() ? info.size : "-"} ${content}`);
    }
  }
  return lines;
}
