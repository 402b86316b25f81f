/**
 * `cfs mount` and `cfs umount`: checks, the kernel mount, and the worker process that serves it.
 *
 * This process opens /dev/fuse, mounts, and hands the descriptor to the worker, which it starts. It returns when the first stat works. So the
 * session's descriptor comes to the worker from outside, and whoever owns it may replace the worker.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { CfsError, listMounts, mountAt, placeOf, shellWord, systemClock } from "@cfs/core";
import type { LogLevel, MountEntry } from "@cfs/core";
import { fuseMount, fuseUnmount } from "@cfs/native";
import { addressText, adminService, localConnectName, UnaryClient } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { queryMount, serveControl, startingStatus } from "./control-socket.ts";
import type { MountStatus } from "./control-socket.ts";
import { whoUses } from "./mount-users.ts";
import type { WorkerConfig, WorkerMessage } from "./worker.ts";

export const cacheModes = ["writeback", "writethrough", "none"] as const;
/** writeback: the kernel gathers writes. writethrough: every write goes to cfs at once. none: reads and writes bypass the page cache. */
export type CacheMode = (typeof cacheModes)[number];

export interface MountOptions {
  readonly server: Address;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly allowDevices: boolean;
  readonly allowSetId: boolean;
  readonly cacheMode: CacheMode;
  /** Show and store all files as this user's; null shows owners as they are. */
  readonly uid: number | null;
  readonly gid: number | null;
  /** Where the worker logs; null for nowhere, or for this terminal in the foreground. */
  readonly logFile: string | null;
  readonly logLevel: LogLevel;
}

export interface Mounted {
  readonly mountpoint: string;
  readonly pid: number;
  /** Resolves with the worker's exit code. */
  readonly ended: Promise<number>;
}

const connectTimeoutMs = 5_000;
const startTimeoutMs = 20_000;
/**
 * A mount stays below 300 MiB, buffers included, also while a million files are walked. The collector is left in peace until the heap and the buffers that hang on it
 * reach the initial size: it would otherwise mark the whole heap for every few MiB that pass through (docs/benchmarks.md, "Memory").
 */
const workerHeap = ["--initial-old-space-size=128", "--max-old-space-size=192"];

/** Throws what is wrong with a mount point, before anything is done. Links are followed: the kernel and `cfs status` know it by its own path. */
export async function checkMountpoint(path: string): Promise<string> {
  const { path: mountpoint, mount } = placeOf(resolvePath(path));
  // A dead mount answers stat with ENOTCONN, so the mount table is asked first.
  if (mount?.mountpoint === mountpoint) throw await mountedAlready(mount);
  let info: ReturnType<typeof statSync>;
  try {
    info = statSync(mountpoint);
  } catch (reason) {
    throw mountpointError(mountpoint, reason);
  }
  if (!info.isDirectory()) throw new CfsError("NOT_DIRECTORY", `${mountpoint} is not a directory`);
  return mountpoint;
}

async function mountedAlready(mount: MountEntry): Promise<CfsError> {
  const { mountpoint, source } = mount;
  if ((await queryMount(mount)).kind === "dead") {
    return new CfsError("BUSY", `${mountpoint} holds a mount of ${source} whose process has ended`, {
      details: { next: `take it away, then mount again: cfs umount --lazy ${shellWord(mountpoint)}` },
    });
  }
  return new CfsError("BUSY", `${mountpoint} is already mounted from ${source}`, {
    details: { next: `unmount it first: cfs umount ${shellWord(mountpoint)}` },
  });
}

function mountpointError(mountpoint: string, reason: unknown): CfsError {
  const code = (reason as NodeJS.ErrnoException).code ?? "EIO";
  const options = { cause: reason };
  switch (code) {
    case "ENOENT":
      return new CfsError("NOT_FOUND", `${mountpoint} does not exist`, {
        ...options,
        details: { next: `make it first: mkdir -p ${shellWord(mountpoint)}` },
      });
    case "ENOTDIR":
      return new CfsError("NOT_DIRECTORY", `a part of ${mountpoint} is not a directory`, options);
    case "EACCES":
      return new CfsError("ACCESS_DENIED", `${mountpoint} cannot be reached by this user`, options);
    case "ENOTCONN":
      return new CfsError("BUSY", `${mountpoint} holds a FUSE mount whose process has ended`, {
        ...options,
        details: { next: `take it away, then mount again: umount -l ${shellWord(mountpoint)}` },
      });
    default:
      return new CfsError("IO", `${mountpoint} cannot be examined (${code})`, {
        ...options,
        details: { next: "check the file system that it is on" },
      });
  }
}

function checkDevice(): void {
  try {
    closeSync(openSync("/dev/fuse", "r+"));
  } catch (reason) {
    const code = (reason as NodeJS.ErrnoException).code ?? "EIO";
    if (code === "ENOENT" || code === "ENODEV" || code === "ENXIO") {
      throw new CfsError(
        "NO_DEVICE",
        "/dev/fuse is missing; load the fuse kernel module: modprobe fuse (in a container: give it the device)",
        { cause: reason },
      );
    }
    throw new CfsError("ACCESS_DENIED", `/dev/fuse cannot be opened (${code}); run as root or make it accessible to this user`, {
      cause: reason,
    });
  }
}

/** A mount that hides the program which serves it would wait for itself. */
function checkProgram(mountpoint: string): void {
  const program = [fileURLToPath(import.meta.url), process.execPath].find((path) => isInside(placeOf(path).path, mountpoint));
  if (program === undefined) return;
  throw new CfsError(
    "INVALID",
    `${mountpoint} holds the cfs program itself (${program}), which a mount there would hide; choose another directory`,
  );
}

/** Says within a few seconds whether the server is there, before the kernel knows of a mount; a mount that hides its server's drives is refused. */
async function checkServer(server: Address, mountpoint: string): Promise<void> {
  await using client = await UnaryClient.open({ clock: systemClock() }, server, { timeoutMs: connectTimeoutMs });
  const { drives } = await client.call(adminService.driveList, {}, { timeoutMs: connectTimeoutMs });
  if (localConnectName(server) === null) return;
  const hidden = drives.find(({ path }) => path !== "" && isInside(path, mountpoint));
  if (hidden === undefined) return;
  throw new CfsError(
    "INVALID",
    `${mountpoint} holds the drive ${hidden.path} of this server, which a mount there would hide; choose another directory`,
  );
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);
}

export async function mountCfs(options: MountOptions, isForeground: boolean, signal: AbortSignal): Promise<Mounted> {
  const mountpoint = await checkMountpoint(options.mountpoint);
  checkDevice();
  checkProgram(mountpoint);
  await checkServer(options.server, mountpoint);
  const log = options.logFile === null ? null : openLog(options.logFile, mountpoint);
  try {
    return await mountAndServe({ ...options, mountpoint }, log, isForeground, signal);
  } finally {
    if (log !== null) closeSync(log);
  }
}

/** Opened before the kernel knows of the mount: a file behind it could not be. */
function openLog(path: string, mountpoint: string): number {
  if (isInside(placeOf(path).path, mountpoint))
    throw new CfsError("INVALID", `the log file ${path} is inside the mount; choose another place`);
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    const { errno = -5, code = "EIO" } = cause as NodeJS.ErrnoException;
    throw CfsError.fromErrno(-errno, `the log file ${path} cannot be opened (${code})`, {
      cause,
      details: { next: "name a file that this user may write: --log FILE" },
    });
  }
}

async function mountAndServe(options: MountOptions, log: number | null, isForeground: boolean, signal: AbortSignal): Promise<Mounted> {
  const { mountpoint, cacheMode, readOnly } = options;
  const starting = { mountpoint, server: addressText(options.server), cacheMode, readOnly };
  const control = await serveControl(mountpoint, "starting", () => startingStatus(starting));
  try {
    return await mountThenServe(options, log, isForeground, signal);
  } finally {
    control.close();
  }
}

async function mountThenServe(options: MountOptions, log: number | null, isForeground: boolean, signal: AbortSignal): Promise<Mounted> {
  const { mountpoint } = options;
  const fd = await fuseMount({
    source: addressText(options.server),
    mountpoint,
    readOnly: options.readOnly,
    allowOther: options.allowOther,
    noDev: !options.allowDevices,
    noSuid: !options.allowSetId,
  });
  try {
    return await startWorker(options, fd, log ?? (isForeground ? "inherit" : "ignore"), isForeground, signal);
  } catch (reason) {
    await fuseUnmount(mountpoint, { lazy: true }).catch(() => undefined);
    throw reason;
  } finally {
    closeSync(fd);
  }
}

async function startWorker(
  options: MountOptions,
  fd: number,
  log: number | "inherit" | "ignore",
  isForeground: boolean,
  signal: AbortSignal,
): Promise<Mounted> {
  const worker = spawn(
    process.execPath,
    [...process.execArgv, ...workerHeap, fileURLToPath(new URL("./worker-main.ts", import.meta.url))],
    {
      stdio: ["ignore", log, log, fd, "ipc"],
      detached: !isForeground,
      cwd: "/",
    },
  );
  const ended = new Promise<number>((resolve) => worker.once("exit", (code, signal) => resolve(signal ? 128 : (code ?? 1))));
  try {
    await whenServing(worker, options, signal);
  } catch (reason) {
    worker.kill("SIGKILL");
    throw reason;
  }
  worker.disconnect();
  if (!isForeground) worker.unref();
  return { mountpoint: options.mountpoint, pid: worker.pid ?? 0, ended };
}

async function whenServing(worker: ChildProcess, options: MountOptions, signal: AbortSignal): Promise<void> {
  const { server, mountpoint, readOnly, cacheMode, uid, gid, logLevel } = options;
  const config: WorkerConfig = { server, mountpoint, readOnly, cacheMode, uid, gid, logLevel, fuseFd: 3 };
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CfsError("TIMED_OUT", `the worker did not answer within ${startTimeoutMs / 1000} s; see its log`)),
      startTimeoutMs,
    );
    const onAbort = (): void => settle(new CfsError("INTERRUPTED", "the mount was given up before it answered"));
    const settle = (error: CfsError | null): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      if (error) reject(error);
      else resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    worker.on("message", (message: WorkerMessage) => {
      if (message.type === "ready") settle(null);
      else settle(new CfsError(message.code, message.message));
    });
    worker.once("error", (reason) => settle(new CfsError("IO", "the worker could not be started", { cause: reason })));
    worker.once("exit", (code, signal) =>
      settle(new CfsError("IO", `the worker ended at once (${signal ?? `exit code ${code}`}); see its log`)),
    );
    worker.send(config);
  });
  await stat(mountpoint);
}

export interface UnmountOptions {
  /** Take it out of the tree now, even when it is in use. */
  readonly lazy: boolean;
  /** How long to wait for a server that is away, and how long for the worker to end. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Says what is waited for. */
  readonly onWaiting: (remark: string) => void;
}

const waitingPollMs = 200;

/** Unmounts and waits until the worker has brought everything to the server and ended. */
export async function unmountCfs(path: string, options: UnmountOptions): Promise<void> {
  const mount = mountToRemove(resolvePath(path));
  const { mountpoint } = mount;
  if (!options.lazy) await untilServerIsBack(mount, options);
  const answer = await queryMount(mount);
  try {
    await fuseUnmount(mountpoint, { lazy: options.lazy });
  } catch (reason) {
    if (CfsError.from(reason).code !== "BUSY") throw reason;
    throw new CfsError("BUSY", `${mountpoint} cannot be unmounted: ${whoUses(mountpoint, listMounts())}`, {
      cause: reason,
      details: {
        next: `end or leave that, then try again; or take it out of the tree while it is in use: cfs umount --lazy ${shellWord(mountpoint)}`,
      },
    });
  }
  if (answer.kind === "answers" && !options.lazy) await untilWorkerEnded(answer.status, options.timeoutMs);
}

/** The kernel brings what was written to the mount before it lets go, and cannot be told to stop: so a server that is away is waited for here. */
async function untilServerIsBack(mount: MountEntry, { timeoutMs, signal, onWaiting }: UnmountOptions): Promise<void> {
  const until = performance.now() + timeoutMs;
  for (let isTold = false; ; isTold = true) {
    const answer = await queryMount(mount);
    if (answer.kind !== "answers" || answer.status.state !== "waiting") return;
    const { server, waitingSeconds, undurableCommands } = answer.status;
    const where = `the server ${server} of ${mount.mountpoint} has been away for ${Math.round(waitingSeconds)} s`;
    if (performance.now() > until) {
      throw new CfsError("TIMED_OUT", `${where}, and ${undurableCommands} changes wait for it`, {
        details: {
          next: `start the server, then try again; what was not synced is lost with: cfs umount --lazy ${shellWord(mount.mountpoint)}`,
        },
      });
    }
    if (!isTold) onWaiting(`${where}; waiting for it (Ctrl-C gives up, the mount stays)`);
    await delay(waitingPollMs, undefined, { signal });
  }
}

function mountToRemove(wanted: string): MountEntry {
  const { path, mount } = placeOf(wanted);
  if (mount?.mountpoint === path) return mount;
  if (mount !== null) {
    const next = `unmount that: cfs umount ${shellWord(mount.mountpoint)}`;
    throw new CfsError("INVALID", `${path} is inside the mount at ${mount.mountpoint}`, { details: { next } });
  }
  const other = mountAt(path);
  if (other !== null) throw new CfsError("INVALID", `${path} is a mount of ${other.type}, not of cfs`);
  throw new CfsError("INVALID", `${path} is not a mount point`, { details: { next: "see: cfs status" } });
}

async function untilWorkerEnded({ pid, mountpoint, undurableCommands, server }: MountStatus, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs;
  while (isAlive(pid)) {
    if (performance.now() > until) {
      throw new CfsError(
        "TIMED_OUT",
        `${mountpoint} is unmounted, but its worker (pid ${pid}) still brings ${undurableCommands} changes to ${server}; do not end it`,
      );
    }
    await new Promise<void>((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // ESRCH: it is gone.
    return false;
  }
}
