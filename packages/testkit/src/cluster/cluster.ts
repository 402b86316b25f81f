/**
 * A testbed: one cfs server over N drives and its mounts, all as real processes of the `cfs` program, in a directory that goes away with it.
 *
 * What a test does to it (kill, pause, restart, unmount) waits until it has happened. Whatever becomes of the test, the janitor takes away processes,
 * mounts and files. `report()` is what a failed test shows: the ends of the logs.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, readFileSync, realpathSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { TestDrive } from "./drive-bed.ts";
import type { DriveKind } from "./drive-bed.ts";
import { Janitor, testbedVariable } from "./janitor.ts";
import { freePort, programArguments, run, startLogged, tail } from "./program.ts";
import type { CommandResult } from "./program.ts";

export interface ClusterOptions {
  /** How many drives; default 6. */
  readonly drives?: number;
  /** Default `directory`. */
  readonly driveKind?: DriveKind;
  /** Size of each `loop` or `tmpfs` drive, default 1 GiB. */
  readonly driveBytes?: number;
  /** More flags for `cfs server start`. */
  readonly serverFlags?: readonly string[];
}

export interface ClusterMountOptions {
  /** Below the testbed's directory; default `mnt`. */
  readonly name?: string;
  /** Flags for `cfs mount`, such as `--ro`. */
  readonly flags?: readonly string[];
}

const startTimeoutMs = 60_000;
const commandTimeoutMs = 120_000;
const leaseTimeoutMs = 40_000;
const reportLines = 25;

/** Null when mounts work here, otherwise why not. */
export function whyNoMounts(): string | null {
  if (process.geteuid?.() !== 0) return "not root";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return null;
  } catch (reason) {
    return `/dev/fuse: ${(reason as NodeJS.ErrnoException).code ?? String(reason)}`;
  }
}

/** A mount of a testbed. */
export class ClusterMount {
  readonly path: string;
  /** The process that serves it. */
  readonly pid: number;
  readonly logPath: string;
  readonly #cluster: Cluster;

  constructor(cluster: Cluster, path: string, pid: number, logPath: string) {
    this.#cluster = cluster;
    this.path = path;
    this.pid = pid;
    this.logPath = logPath;
  }

  get isMounted(): boolean {
    return readFileSync("/proc/self/mounts", "utf8").includes(` ${this.path} `);
  }

  /** `cfs umount`: returns when everything is on the server. */
  async umount(): Promise<void> {
    await this.#cluster.cfsMust(["umount", this.path]);
  }

  /** SIGKILL for the process that serves the mount. The dead mount stays and fails until `detach`. */
  async kill9(): Promise<void> {
    process.kill(this.pid, "SIGKILL");
    await untilGone(this.pid);
  }

  /** Takes a dead mount out of the tree. */
  async detach(): Promise<void> {
    await run("umount", ["-l", this.path], { timeoutMs: commandTimeoutMs });
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }
}

function mustSucceed(args: readonly string[], result: CommandResult): CommandResult {
  if (result.code !== 0) throw new Error(`cfs ${args.join(" ")} ended with ${result.code}: ${(result.stderr + result.stdout).trim()}`);
  return result;
}

/** Waits until a process that is not our child has ended (or is a zombie, which serves nothing any more). */
async function untilGone(pid: number): Promise<void> {
  for (;;) {
    let state: string;
    try {
      state = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1] ?? "";
    } catch (reason) {
      const { code } = reason as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ESRCH") return;
      throw reason;
    }
    if (state === "Z" || state === "X") return;
    await setTimeout(2);
  }
}

export class Cluster implements AsyncDisposable {
  /** Everything of the testbed is below this directory. */
  readonly base: string;
  readonly port: number;
  readonly serverLog: string;
  readonly drives: TestDrive[] = [];
  readonly mounts: ClusterMount[] = [];
  readonly #janitor: Janitor;
  readonly #serverFlags: readonly string[];
  #server: ChildProcess | null = null;
  #isDestroyed = false;

  private constructor(base: string, port: number, serverFlags: readonly string[]) {
    this.base = base;
    this.port = port;
    this.serverLog = join(base, "server.log");
    this.#serverFlags = serverFlags;
    this.#janitor = new Janitor(base);
  }

  /** Makes the drives, starts the server on them and waits until it serves. */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const base = realpathSync(mkdtempSync(join(tmpdir(), "cfs-testbed-")));
    const cluster = new Cluster(base, await freePort(), options.serverFlags ?? []);
    try {
      for (let index = 0; index < (options.drives ?? 6); index++) {
        cluster.drives.push(await TestDrive.make(base, `d${index + 1}`, options.driveKind ?? "directory", options.driveBytes ?? 1 << 30));
      }
      await cluster.startServer();
      return cluster;
    } catch (reason) {
      const report = cluster.report();
      await cluster.destroy();
      throw new Error(`the testbed did not start\n${report}`, { cause: reason });
    }
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** For every process that belongs to this testbed: the janitor knows them by it. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, [testbedVariable]: this.base };
  }

  get serverPid(): number {
    const pid = this.#server?.pid;
    if (pid === undefined) throw new Error("the server does not run");
    return pid;
  }

  get isServerRunning(): boolean {
    return this.#server !== null && this.#server.exitCode === null && this.#server.signalCode === null;
  }

  /** Starts the server on `paths` (default: all drives). Resolves with the milliseconds from the start of the process until it serves. */
  async startServer(paths: readonly string[] = this.drives.map(({ path }) => path)): Promise<number> {
    if (this.isServerRunning) throw new Error("the server runs already");
    const data = paths.flatMap((path) => ["--data", path]);
    const args = programArguments(["server", "start", ...data, "--listen", this.address, ...this.#serverFlags]);
    const begin = performance.now();
    const child = startLogged(args, this.environment, this.serverLog);
    this.#server = child;
    const { stdout } = child;
    if (stdout === null) throw new Error("the server has no standard output");
    const served = once(stdout, "data").then(() => true);
    const ended = once(child, "exit").then(() => false);
    const timeout = AbortSignal.timeout(startTimeoutMs);
    const tooLate = once(timeout, "abort").then(() => null);
    const outcome = await Promise.race([served, ended, tooLate]);
    if (outcome === true) {
      stdout.resume();
      return performance.now() - begin;
    }
    if (outcome === null) child.kill("SIGKILL");
    const why = outcome === null ? `did not serve within ${startTimeoutMs / 1000} s` : `ended with ${child.exitCode ?? child.signalCode}`;
    throw new Error(`the server ${why}:\n${tail(this.serverLog, reportLines)}`);
  }

  async #endServer(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#server;
    if (child === null || !this.isServerRunning) return child?.exitCode ?? null;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill9Server(): Promise<void> {
    await this.#endServer("SIGKILL");
  }

  /** SIGTERM; resolves with the exit code. */
  stopServer(): Promise<number | null> {
    return this.#endServer("SIGTERM");
  }

  /** SIGSTOP for `ms` milliseconds. */
  async pauseServer(ms: number): Promise<void> {
    const pid = this.serverPid;
    process.kill(pid, "SIGSTOP");
    await setTimeout(ms);
    process.kill(pid, "SIGCONT");
  }

  /** `cfs mount`; the mount is in `mounts` until the testbed goes. */
  async mount(options: ClusterMountOptions = {}): Promise<ClusterMount> {
    const name = options.name ?? "mnt";
    const path = join(this.base, name);
    const logPath = join(this.base, `${name}.log`);
    await mkdir(path, { recursive: true });
    const args = ["mount", "--json", "--server", this.address, "--log", logPath, ...(options.flags ?? []), path];
    const { pid } = JSON.parse((await this.#mountWhenFree(args)).stdout) as { pid: number };
    const mount = new ClusterMount(this, path, pid, logPath);
    this.mounts.push(mount);
    return mount;
  }

  /** The server keeps the place of a client that was killed for the time of its lease; a machine that stood still makes the command give up. */
  async #mountWhenFree(args: readonly string[]): Promise<CommandResult> {
    const begin = performance.now();
    for (;;) {
      const result = await this.cfs(args);
      const isEarly = result.code !== 0 && /"code": "(BUSY|TIMED_OUT)"/.test(result.stdout);
      if (!isEarly || performance.now() - begin > leaseTimeoutMs) return mustSucceed(args, result);
      await setTimeout(200);
    }
  }

  /** Runs `cfs ARGS`; resolves whatever its exit code. Commands that talk to the server need `--server` in `args`. */
  cfs(args: readonly string[], timeoutMs: number = commandTimeoutMs): Promise<CommandResult> {
    return run(process.execPath, programArguments(args), { env: this.environment, timeoutMs });
  }

  /** The same, but a failure is an error that says what the command said. */
  async cfsMust(args: readonly string[], timeoutMs: number = commandTimeoutMs): Promise<CommandResult> {
    return mustSucceed(args, await this.cfs(args, timeoutMs));
  }

  /** Runs a program that uses the mounts, as the janitor knows it. */
  run(file: string, args: readonly string[], timeoutMs: number = commandTimeoutMs): Promise<CommandResult> {
    return run(file, args, { env: this.environment, timeoutMs });
  }

  /** The ends of the logs of the server and of the mounts. */
  report(): string {
    const logs = [this.serverLog, ...new Set(this.mounts.map(({ logPath }) => logPath))];
    return logs.map((path) => `--- ${path}\n${tail(path, reportLines)}`).join("\n");
  }

  /** Ends processes, unmounts, removes files. Idempotent. */
  async destroy(): Promise<void> {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    if (!(await this.#janitor.clean())) throw new Error(`${this.base} could not be removed`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }
}

/** Starts a testbed, hands it to `body`, and takes it away. A failure is told with the ends of the logs and with `replay`, a command. */
export async function withCluster(
  options: ClusterOptions & { readonly replay?: string },
  body: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  await using cluster = await Cluster.start(options);
  try {
    await body(cluster);
  } catch (reason) {
    const keep = process.env["CFS_KEEP_LOGS"];
    if (keep !== undefined) {
      await run("bash", ["-c", 'cp "$1"/*.log "$1"/*.manifest "$2"', "keep", cluster.base, keep], { timeoutMs: commandTimeoutMs });
    }
    const message = reason instanceof Error ? reason.message : String(reason);
    const replay = options.replay === undefined ? "" : `\nreplay: ${options.replay}`;
    throw new Error(`${message}${replay}\n${cluster.report()}`, { cause: reason });
  }
}

/** The same as `Cluster.start`. */
export function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  return Cluster.start(options);
}
