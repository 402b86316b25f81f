/**
 * The worker of a mount: session with the server, vfs, FUSE session. Reads like a parts list, in start order; stop is the reverse.
 */
import { hostname } from "node:os";
import { randomBytes } from "node:crypto";
import { CfsError, jsonLogger, systemClock } from "@cfs/core";
import type { ClientId, ErrorCode, LogLevel } from "@cfs/core";
import { FuseSession, setReadAhead } from "@cfs/gateways/fuse";
import { FuseDevice } from "@cfs/native";
import { addressText, Http2Transport } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { CachedVfs } from "@cfs/vfs";
import { serveControl, startingStatus } from "./control-socket.ts";
import type { MountStatus } from "./control-socket.ts";
import type { CacheMode } from "./mount.ts";
import { PayloadMemory } from "./payload-memory.ts";
import { SessionClient } from "./session-client.ts";
import type { SessionClientOptions, SessionClientParts } from "./session-client.ts";

/** What the mounting process tells its worker. */
export interface WorkerConfig {
  readonly server: Address;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly cacheMode: CacheMode;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly logLevel: LogLevel;
  /** An open /dev/fuse descriptor that is already mounted. */
  readonly fuseFd: number;
}

/** What the worker answers, once. */
export type WorkerMessage = { readonly type: "ready" } | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string };

const connectTimeoutMs = 5_000;
const retryMs = 200;
const readAheadBytes = 8 << 20;
/** Longer than any lease (server: leaseMs), and shorter than the patience of the mounting process. */
const leaseWaitMs = 12_000;

export interface Worker {
  /** Resolves when the mount is gone and everything is durable on the server. */
  readonly ended: Promise<void>;
  /** Ends the session without unmounting: what waits fails. */
  close(): void;
}

export async function startWorker(config: WorkerConfig, writeLog: (line: string) => void): Promise<Worker> {
  const logger = jsonLogger(writeLog, config.logLevel);
  const clock = systemClock();
  const memory = new PayloadMemory();
  // First of all, so that a mount which waits for its session is not taken for a dead one.
  const starting = { ...config, server: addressText(config.server) };
  let status = (): MountStatus => startingStatus(starting);
  const control = await serveControl(config.mountpoint, "serving", () => status());
  const transport = new Http2Transport({ clock, pool: memory });
  const remote = await openSession(
    {
      connect: (signal) => transport.connect(config.server, { timeoutMs: connectTimeoutMs, signal }),
      clock,
      logger,
      give: (buffer) => memory.release(buffer),
      newClientId: () => randomBytes(16).toString("hex") as ClientId,
    },
    { host: hostname(), mountpoint: config.mountpoint, retryMs },
  );
  const vfs = new CachedVfs(
    { remote, clock, logger },
    { isReadOnly: config.readOnly, kernelOwnsTimes: config.cacheMode === "writeback", bypassPageCache: config.cacheMode === "none" },
  );
  const device = new FuseDevice({ fd: config.fuseFd, ownsFd: true });
  const presented = config.uid === null && config.gid === null ? null : { uid: config.uid, gid: config.gid };
  const session = new FuseSession(
    { vfs, device, clock, logger },
    { readOnly: config.readOnly, writebackCache: config.cacheMode === "writeback", presented },
  );
  session.start();
  await session.ready;
  await setReadAhead(config.mountpoint, readAheadBytes, logger);
  status = () => mountStatus(config, remote, vfs);
  logger.info("mounted", { mountpoint: config.mountpoint, server: addressText(config.server) });
  const ended = session.ended.then(async () => {
    logger.info("unmounted", { mountpoint: config.mountpoint });
    await vfs.close();
    await remote.close();
    device.close();
    control.close();
  });
  return { ended, close: () => session.close() };
}

/** A client that died keeps its session for its lease: then the next one waits for the end of it. */
async function openSession(parts: SessionClientParts, options: SessionClientOptions): Promise<SessionClient> {
  const untilMs = parts.clock.monotonicMs() + leaseWaitMs;
  for (;;) {
    try {
      return await SessionClient.open(parts, options);
    } catch (reason) {
      if (CfsError.from(reason).code !== "AGAIN" || parts.clock.monotonicMs() > untilMs) throw reason;
      parts.logger.info("waiting for the session of a client that is gone", { reason: CfsError.from(reason).message });
      await new Promise<void>((resolve) => {
        setTimeout(resolve, retryMs);
      });
    }
  }
}

function mountStatus(config: WorkerConfig, remote: SessionClient, vfs: CachedVfs): MountStatus {
  const { state } = remote;
  const waitingSeconds = state.kind === "connecting" ? (performance.now() - state.sinceMs) / 1000 : 0;
  return {
    ...startingStatus({ ...config, server: addressText(config.server) }),
    state: ({ connected: "connected", connecting: "waiting", closed: "closing" } as const)[state.kind],
    reason: state.kind === "connecting" ? state.lastError : "",
    waitingSeconds,
    undurableCommands: remote.undurableCount,
    undurableBytes: vfs.holdings.undurableBytes,
    clientId: remote.clientId,
  };
}

/** For the mounting process: why the worker did not start. */
export function failureMessage(reason: unknown): WorkerMessage {
  const error = CfsError.from(reason);
  return { type: "failed", code: error.code, message: error.message.replace(/^[A-Z_]+: /, "") };
}
