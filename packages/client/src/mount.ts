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
import { fileURLToPath } from "node:url";
import { CfsError, systemClock } from "@cfs/core";
import type { LogLevel } from "@cfs/core";
import { fuseMount, fuseUnmount } from "@cfs/native";
import { addressText, Http2Transport } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { queryMount } from "./control-socket.ts";
import { listMounts } from "./mount-table.ts";
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

/** Throws what is wrong with a mount point, before anything is done. */
export function checkMountpoint(path: string): string {
  const mountpoint = resolvePath(path);
  // A dead mount answers stat with ENOTCONN, so the mount table is asked first.
  const mounted = listMounts().findLast((entry) => entry.mountpoint === mountpoint);
  if (mounted?.type === "fuse.cfs") {
    throw new CfsError("BUSY", `${mountpoint} is already mounted from ${mounted.source}; unmount it first: cfs umount ${mountpoint}`);
  }
  let info: ReturnType<typeof statSync>;
  try {
    info = statSync(mountpoint);
  } catch (reason) {
    const code = (reason as NodeJS.ErrnoException).code ?? "EIO";
    if (code === "ENOENT")
      throw new CfsError("NOT_FOUND", `${mountpoint} does not exist; make it first: mkdir -p ${mountpoint}`, { cause: reason });
    throw new CfsError("IO", `${mountpoint} cannot be examined (${code})`, { cause: reason });
  }
  if (!info.isDirectory()) throw new CfsError("NOT_DIRECTORY", `${mountpoint} is not a directory`);
  return mountpoint;
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

/** Says within a few seconds whether the server is there, before the kernel knows of a mount. */
async function checkServer(server: Address): Promise<void> {
  const connection = await new Http2Transport({ clock: systemClock() }).connect(server, { timeoutMs: connectTimeoutMs });
  connection.onFrames = () => undefined;
  connection.onClosed = () => undefined;
  await connection.close();
}

export async function mountCfs(options: MountOptions, isForeground: boolean): Promise<Mounted> {
  const mountpoint = checkMountpoint(options.mountpoint);
  checkDevice();
  await checkServer(options.server);
  const fd = await fuseMount({
    source: addressText(options.server),
    mountpoint,
    readOnly: options.readOnly,
    allowOther: options.allowOther,
    noDev: !options.allowDevices,
    noSuid: !options.allowSetId,
  });
  try {
    return await startWorker({ ...options, mountpoint }, fd, isForeground);
  } catch (reason) {
    await fuseUnmount(mountpoint, { lazy: true }).catch(() => undefined);
    throw reason;
  } finally {
    closeSync(fd);
  }
}

async function startWorker(options: MountOptions, fd: number, isForeground: boolean): Promise<Mounted> {
  const log = options.logFile === null ? (isForeground ? "inherit" : "ignore") : openSync(options.logFile, "a", 0o600);
  const worker = spawn(
    process.execPath,
    [...process.execArgv, ...workerHeap, fileURLToPath(new URL("./worker-main.ts", import.meta.url))],
    {
      stdio: ["ignore", log, log, fd, "ipc"],
      detached: !isForeground,
      cwd: "/",
    },
  );
  if (typeof log === "number") closeSync(log);
  const ended = new Promise<number>((resolve) => worker.once("exit", (code, signal) => resolve(signal ? 128 : (code ?? 1))));
  try {
    await whenServing(worker, options);
  } catch (reason) {
    worker.kill("SIGKILL");
    throw reason;
  }
  worker.disconnect();
  if (!isForeground) worker.unref();
  return { mountpoint: options.mountpoint, pid: worker.pid ?? 0, ended };
}

async function whenServing(worker: ChildProcess, options: MountOptions): Promise<void> {
  const { server, mountpoint, readOnly, cacheMode, uid, gid, logLevel } = options;
  const config: WorkerConfig = { server, mountpoint, readOnly, cacheMode, uid, gid, logLevel, fuseFd: 3 };
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CfsError("TIMED_OUT", `the worker did not answer within ${startTimeoutMs / 1000} s; see its log`)),
      startTimeoutMs,
    );
    const settle = (error: CfsError | null): void => {
      clearTimeout(timer);
      if (error) reject(error);
      else resolve();
    };
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
  readonly timeoutMs: number;
}

/** Unmounts and waits until the worker has brought everything to the server and ended. */
export async function unmountCfs(path: string, options: UnmountOptions): Promise<void> {
  const mountpoint = resolvePath(path);
  const mounted = listMounts().findLast((entry) => entry.mountpoint === mountpoint);
  if (!mounted) throw new CfsError("INVALID", `${mountpoint} is not a mount point`);
  if (mounted.type !== "fuse.cfs") throw new CfsError("INVALID", `${mountpoint} is a mount of ${mounted.type}, not of cfs`);
  const status = await queryMount(mountpoint);
  await fuseUnmount(mountpoint, { lazy: options.lazy });
  if (!status || options.lazy) return;
  const until = performance.now() + options.timeoutMs;
  while (isAlive(status.pid)) {
    if (performance.now() > until) {
      throw new CfsError(
        "TIMED_OUT",
        `${mountpoint} is unmounted, but its worker (pid ${status.pid}) still brings ${status.undurableCommands} changes to ${status.server}; do not end it`,
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
