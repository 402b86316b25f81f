/**
 * How other processes of this machine ask a mount how it is: a Unix socket that answers with one JSON line per connection.
 *
 * It is served from memory and never waits for the server or the kernel, so that `cfs status` answers while everything else waits.
 * Sockets lie in one directory (run directory of the user), named by a hash of the mount point.
 */
import { createHash } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { CfsError } from "@cfs/core";

export interface MountStatus {
  readonly mountpoint: string;
  readonly server: string;
  readonly pid: number;
  readonly state: "connected" | "waiting" | "closing";
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

export function runDirectory(): string {
  const base = process.getuid?.() === 0 ? "/run" : (process.env["XDG_RUNTIME_DIR"] ?? `/tmp/cfs-${process.getuid?.() ?? 0}`);
  return `${base}/cfs`;
}

export function controlPath(mountpoint: string): string {
  return `${runDirectory()}/${createHash("sha256").update(mountpoint).digest("hex").slice(0, 24)}.sock`;
}

export async function serveControl(mountpoint: string, status: () => MountStatus): Promise<Server> {
  const path = controlPath(mountpoint);
  mkdirSync(runDirectory(), { recursive: true, mode: 0o700 });
  // Left over from a worker that was killed: this process holds the mount now.
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(`${JSON.stringify(status())}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return server;
}

/** Asks the mount at `mountpoint`; null when nobody answers for it. */
export function queryMount(mountpoint: string, timeoutMs = 1_000): Promise<MountStatus | null> {
  return new Promise((resolve) => {
    const socket = connect(controlPath(mountpoint));
    let text = "";
    const finish = (result: MountStatus | null): void => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => finish(null));
    socket.on("error", () => finish(null));
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
    });
    socket.on("end", () => {
      try {
        finish(JSON.parse(text) as MountStatus);
      } catch (reason) {
        if (!(reason instanceof SyntaxError)) throw CfsError.from(reason);
        finish(null);
      }
    });
  });
}
