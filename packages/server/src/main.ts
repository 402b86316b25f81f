/**
 * The composition root of a node: everything real is made here, top to bottom in start order; stop is the reverse.
 */
import { statfs, stat } from "node:fs/promises";
import { CfsError, jsonLogger, systemClock, systemRandom } from "@cfs/core";
import type { Logger, LogLevel } from "@cfs/core";
import { crc32c } from "@cfs/native";
import { RpcServer } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { MirroredKv, RingIo } from "@cfs/storage";
import type { DriveSpace } from "./engine/capacity.ts";
import { Engine } from "./engine/engine.ts";
import { payloadPool } from "./engine/payload-pool.ts";
import { openDrives } from "./drives.ts";
import type { OpenDrives } from "./drives.ts";

export interface ServerOptions {
  /** One directory per drive. New and empty ones make a new cluster, when all of them are. */
  readonly data: readonly string[];
  readonly listen: Address;
  /** Where /metrics and /healthz are served; null for nowhere. */
  readonly http: Address | null;
  readonly logLevel: LogLevel;
}

export interface RunningServer {
  readonly address: Address;
  /** Resolves when the server has stopped; rejects with what it could not go on from. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

const poolBytes = 96 << 20;
const journalCacheBytes = 16 << 20;
const stateCacheBytes = 32 << 20;
/** Copies of the state, each on a drive of its own. */
const stateCopies = 3;

export async function startServer(options: ServerOptions, writeLog: (line: string) => void): Promise<RunningServer> {
  const logger = jsonLogger(writeLog, options.logLevel);
  const clock = systemClock();
  const random = systemRandom();
  const ended = Promise.withResolvers<void>();
  await using stack = new AsyncDisposableStack();

  const io = await RingIo.open({ poolBytes });
  stack.defer(() => io.shutDown());
  logger.info("drives are accessed", { by: io.description });
  const drives = await openDrives({ io, random, clock, logger }, options.data);
  stack.defer(() => drives.close());
  const store = await MirroredKv.open(
    { crc32c, clock, log: logger },
    drives.list.slice(0, stateCopies).map(({ statePath }) => statePath),
    {
      onMemberFailed: (directory, error) => logger.error("a copy of the state failed", { directory, reason: error.message }),
      onResync: (directory, entries, isDone) => logger.info("a copy of the state is being filled", { directory, entries, isDone }),
    },
    { storeId: drives.nodeId, isGated: true, cacheBytes: stateCacheBytes },
  );
  stack.defer(() => store.close());
  const engine = await Engine.open(
    { io, store, drives: drives.list, measure: (indexOf) => measureDrives(drives, indexOf), clock, random, logger },
    { clusterId: drives.clusterId, nodeId: drives.nodeId, journalCacheBytes, rootUid: process.getuid?.() ?? 0, rootGid: process.getgid?.() ?? 0 },
  );
  stack.defer(() => engine.close());
  const rpc = await RpcServer.listen({ clock, pool: payloadPool(io.pool) }, options.listen, { onConnection: (connection) => engine.sessions.accept(connection), routes: [] });
  stack.defer(() => rpc.close());
  logger.info("serving", { host: rpc.address.host, port: rpc.address.port, drives: drives.list.length, clusterId: drives.clusterId });

  const running = stack.move();
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= stop(running, logger);
    return closing;
  };
  engine.onFailed = (error) => {
    logger.error("the server cannot go on", { reason: error.message });
    close().then(
      () => ended.reject(error),
      () => ended.reject(error),
    );
  };
  return {
    address: rpc.address,
    ended: ended.promise,
    close: async () => {
      await close();
      ended.resolve();
    },
  };
}

async function stop(stack: AsyncDisposableStack, logger: Logger): Promise<void> {
  try {
    await stack.disposeAsync();
    logger.info("stopped");
  } catch (reason) {
    logger.error("stopping failed", { reason: CfsError.from(reason).message });
    throw reason;
  }
}

async function measureDrives(drives: OpenDrives, indexOf: (driveId: string) => number): Promise<DriveSpace[]> {
  const spaces: DriveSpace[] = [];
  for (const { driveId, path } of drives.list) {
    try {
      const [{ bsize, blocks, bavail }, { dev }] = await Promise.all([statfs(path), stat(path)]);
      spaces.push({ drive: indexOf(driveId), device: dev, totalBytes: blocks * bsize, freeBytes: bavail * bsize });
    } catch (reason) {
      // A drive that cannot be measured takes no new data; what is wrong with it is found and told by those who write to it.
      if (!(reason instanceof Error)) throw reason;
    }
  }
  return spaces;
}
