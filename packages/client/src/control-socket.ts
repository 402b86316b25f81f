/**
 * How other processes of this machine ask a mount how it is: a Unix socket that answers with one JSON line per connection.
 *
 * It is served from memory and never waits for the server or the kernel, so that `cfs status` answers while everything else waits.
 * Sockets lie in the run directory of the user who mounts, which nobody else may enter, named by a hash of the mount point. Those of mounts
 * that are gone are removed by the next mount.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { CfsError, listCfsMounts } from "@cfs/core";
import type { MountEntry } from "@cfs/core";

export interface MountStatus {
  readonly mountpoint: string;
  readonly server: string;
  readonly pid: number;
  readonly state: "starting" | "connected" | "waiting" | "closing";
  /** Why and since when it waits; empty and 0 when connected. */
  readonly reason: string;
  readonly waitingSeconds: number;
  /** Commands given to the server that are not yet durable there. */
  readonly undurableCommands: number;
  readonly undurableBytes: number;
  readonly cacheMode: string;
  readonly readOnly: boolean;
  readonly residentBytes: number;
  readonly clientId: string;
}

export type MountAnswer =
  | { readonly kind: "answers"; readonly status: MountStatus }
  /** Nobody listens: the process of the mount has ended. */
  | { readonly kind: "dead" }
  /** Somebody listens and says nothing. */
  | { readonly kind: "silent" }
  /** Another user's mount: whether it works, this user may not see. */
  | { readonly kind: "hidden"; readonly ownerUid: number };

const ownUid = process.getuid?.() ?? 0;

function runDirectory(): string {
  const base = ownUid === 0 ? "/run" : (process.env["XDG_RUNTIME_DIR"] ?? `/tmp/cfs-${ownUid}`);
  return `${base}/cfs`;
}

/** Where the mounts of a user may have their sockets. */
function runDirectoriesOf(uid: number): string[] {
  if (uid === 0) return ["/run/cfs"];
  const usual = [`/run/user/${uid}/cfs`, `/tmp/cfs-${uid}/cfs`];
  return uid === ownUid ? [...new Set([runDirectory(), ...usual])] : usual;
}

/** Who listens: the process that mounts until its worker serves, then the worker. So a mount is never without one that answers for it. */
type Phase = "starting" | "serving";

function socketName(mountpoint: string, phase: Phase): string {
  const name = createHash("sha256").update(mountpoint).digest("hex").slice(0, 24);
  return phase === "serving" ? `${name}.sock` : `${name}.start.sock`;
}

/** Sockets of mounts that are gone; one that answers is left alone, because its mount may be in another namespace. */
export async function removeDeadSockets(directory: string, mounts: readonly MountEntry[]): Promise<void> {
  const living = new Set(mounts.map(({ mountpoint }) => socketName(mountpoint, "serving")));
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(".sock") || living.has(name)) continue;
    const path = `${directory}/${name}`;
    if ((await ask(path, askTimeoutMs)).kind === "dead") rmSync(path, { force: true });
  }
}

/** What a mount says of itself before it is connected. */
export function startingStatus(mount: Pick<MountStatus, "mountpoint" | "server" | "cacheMode" | "readOnly">): MountStatus {
  const { mountpoint, server, cacheMode, readOnly } = mount;
  return {
    mountpoint,
    server,
    pid: process.pid,
    state: "starting",
    reason: "",
    waitingSeconds: 0,
    undurableCommands: 0,
    undurableBytes: 0,
    cacheMode,
    readOnly,
    residentBytes: process.memoryUsage.rss(),
    clientId: "",
  };
}

/** Closing the server removes its socket. */
export async function serveControl(mountpoint: string, phase: Phase, status: () => MountStatus): Promise<Server> {
  const directory = runDirectory();
  const path = `${directory}/${socketName(mountpoint, phase)}`;
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(`${JSON.stringify(status())}\n`);
  });
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    await removeDeadSockets(directory, listCfsMounts());
    // Left over from a process that was killed: this one holds the mount now.
    rmSync(path, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } catch (cause) {
    const { errno = -5, code = "EIO" } = cause as NodeJS.ErrnoException;
    throw CfsError.fromErrno(-errno, `${directory}, where a mount answers cfs status, cannot be used (${code})`, { cause });
  }
  return server;
}

const askTimeoutMs = 1_000;

/** The user who mounted, as the kernel has it in the options of a FUSE mount. */
function ownerOf({ options }: Pick<MountEntry, "options">): number {
  return Number(/(?:^|,)user_id=(\d+)/.exec(options)?.[1] ?? 0);
}

/** Asks the process of a mount. */
export async function queryMount(mount: Pick<MountEntry, "mountpoint" | "options">): Promise<MountAnswer> {
  const ownerUid = ownerOf(mount);
  let worst: MountAnswer = { kind: "dead" };
  for (const directory of runDirectoriesOf(ownerUid)) {
    // The worker is asked last as well: it may have taken over in between.
    for (const phase of ["serving", "starting", "serving"] as const) {
      const answer = await ask(`${directory}/${socketName(mount.mountpoint, phase)}`, askTimeoutMs);
      if (answer.kind === "answers") return answer;
      if (answer.kind !== "dead") worst = answer.kind === "hidden" ? { kind: "hidden", ownerUid } : answer;
    }
  }
  return worst;
}

function ask(path: string, timeoutMs: number): Promise<MountAnswer> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let text = "";
    const finish = (answer: MountAnswer): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => finish({ kind: "silent" }));
    socket.on("error", ({ code }: NodeJS.ErrnoException) => {
      if (code === "EACCES" || code === "EPERM") finish({ kind: "hidden", ownerUid: 0 });
      else finish({ kind: code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTDIR" ? "dead" : "silent" });
    });
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
    });
    socket.on("end", () => {
      try {
        finish({ kind: "answers", status: JSON.parse(text) as MountStatus });
      } catch (reason) {
        if (!(reason instanceof SyntaxError)) throw CfsError.from(reason);
        finish({ kind: "silent" });
      }
    });
  });
}
