/**
 * The composition root of a node: everything real is made here, top to bottom in start order; stop is the reverse.
 */
import { statfs, stat } from "node:fs/promises";
import { CfsError, jsonLogger, systemClock, systemRandom } from "@cfs/core";
import type { Clock, Logger, LogLevel } from "@cfs/core";
import { crc32c, trimMemory } from "@cfs/native";
import { adminService, RpcServer, serveUnary } from "@cfs/rpc";
import type { Address } from "@cfs/rpc";
import { MirroredKv, RingIo } from "@cfs/storage";
import { adminHandlers } from "./admin/admin-service.ts";
import { NodeStatus } from "./admin/node-status.ts";
import { ownVersion } from "./admin/version.ts";
import type { DriveSpace } from "./engine/capacity.ts";
import { Engine } from "./engine/engine.ts";
import type { EngineParts } from "./engine/engine.ts";
import { payloadPool } from "./engine/payload-pool.ts";
import { openDrives } from "./drives.ts";
import type { OpenDrives } from "./drives.ts";
import { checkAddress } from "./http/check-address.ts";
import { HttpServer } from "./http/http-server.ts";
import { Metrics } from "./http/metrics.ts";
import { LoopWatch } from "./loop-watch.ts";
import { MemoryTrim } from "./memory-trim.ts";
import { DriveSet } from "./maintenance/drive-set.ts";
import type { DrivePresence } from "./maintenance/drive-set.ts";
import { StartTimes } from "./start-times.ts";
import { stateDirectories } from "./maintenance/state-directories.ts";

export interface ServerOptions {
  /** One directory per drive. New and empty ones make a new cluster, when all of them are. */
  readonly data: readonly string[];
  readonly listen: Address;
  /** Where /metrics and /healthz are served; null for nowhere. */
  readonly http: Address | null;
  readonly logLevel: LogLevel;
  /** Start without the drives that cannot be used. */
  readonly degraded: boolean;
}

export interface RunningServer {
  readonly address: Address;
  /** Null when nothing is served over HTTP. */
  readonly httpAddress: Address | null;
  /** Which drives were there when it began to serve. */
  readonly drives: DrivePresence;
  /** Resolves when the server has stopped; rejects with what it could not go on from. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

const poolBytes = 64 << 20;
const journalCacheBytes = 8 << 20;
const stateCacheBytes = 8 << 20;

export async function startServer(options: ServerOptions, writeLog: (line: string) => void): Promise<RunningServer> {
  const logger = jsonLogger(writeLog, options.logLevel);
  const [clock, random] = [systemClock(), systemRandom()];
  const ended = Promise.withResolvers<void>();
  const times = new StartTimes(clock);
  await using stack = new AsyncDisposableStack();

  await checkAddresses(options);
  const io = await RingIo.open({ poolBytes });
  stack.defer(() => io.shutDown());
  logger.info("drives are accessed", { by: io.description });
  const drives = await openDrives({ io, random, clock, logger }, options.data, { isDegraded: options.degraded });
  stack.defer(() => drives.close());
  times.done("drivesMs");
  let onStateFailed = (_directory: string): void => undefined;
  const store = await openState({ clock, logger }, drives, (directory) => onStateFailed(directory));
  stack.defer(() => store.close());
  times.done("stateMs");
  const engine = await openEngine({ io, store, clock, random, logger }, drives, options.degraded);
  stack.defer(() => engine.close());
  times.done("engineMs");
  const { clusterId, nodeId, list: open, unusable } = drives;
  const driveSet = await DriveSet.open({ engine, store, io, clock, random, logger, open, clusterId, nodeId, unusable });
  stack.defer(() => driveSet.close());
  onStateFailed = (directory) => driveSet.stateFailed(directory);
  const status = new NodeStatus({ engine, driveSet, store, open, io, clock }, { clusterId, nodeId, version: ownVersion() });
  const metrics = new Metrics({ engine, driveSet, status });
  const http =
    options.http === null
      ? null
      : await HttpServer.listen({ metrics, health: () => ({ ...status.health(), fatal: status.fatal }), logger }, options.http);
  stack.defer(() => http?.close());
  let onShutdown = (): void => undefined;
  const admin = adminHandlers({ engine, store, driveSet, status, clock, logger, onShutdown: () => onShutdown() });
  const rpc = await RpcServer.listen({ clock, pool: payloadPool(io.pool) }, options.listen, {
    onConnection: (connection) => engine.sessions.accept(connection),
    routes: serveUnary({ clock }, adminService, admin),
  });
  stack.defer(() => rpc.close());
  stack.use(new LoopWatch({ clock, logger, cpuMs: ownCpuMs }));
  stack.use(new MemoryTrim({ clock, residentBytes: process.memoryUsage.rss, trim: trimMemory }));
  times.done("servicesMs");
  logger.info("serving", { ...rpc.address, drives: drives.list.length, clusterId: drives.clusterId, ...times.fields });

  const running = stack.move();
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= stop(running, logger);
    return closing;
  };
  engine.onFailed = (error) => {
    logger.error("the server cannot go on", { reason: error.message });
    status.fatal = error.message;
    close().then(
      () => ended.reject(error),
      () => ended.reject(error),
    );
  };
  onShutdown = () => void close().then(ended.resolve, ended.reject);
  return {
    address: rpc.address,
    httpAddress: http?.address ?? null,
    drives: driveSet.presence,
    ended: ended.promise,
    close: async () => {
      await close();
      ended.resolve();
    },
  };
}

/** Before any drive is touched. */
async function checkAddresses({ listen, http }: ServerOptions): Promise<void> {
  await checkAddress(listen);
  if (http === null) return;
  await checkAddress(http);
  if (http.port !== 0 && http.port === listen.port && http.host === listen.host) {
    throw new CfsError("INVALID", `--listen and --http are both ${listen.host}:${listen.port}; give one of them another port`);
  }
}

function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function openEngine(
  parts: Pick<EngineParts, "io" | "store" | "clock" | "random" | "logger">,
  drives: OpenDrives,
  isDegraded: boolean,
): Promise<Engine> {
  return Engine.open(
    { ...parts, drives: drives.list, measure: (indexOf) => measureDrives(drives, indexOf) },
    {
      clusterId: drives.clusterId,
      nodeId: drives.nodeId,
      isDegraded,
      driveName: (driveId) => drives.nameOf(driveId),
      journalCacheBytes,
      rootUid: process.getuid?.() ?? 0,
      rootGid: process.getgid?.() ?? 0,
    },
  );
}

async function openState(
  { clock, logger }: { clock: Clock; logger: Logger },
  drives: OpenDrives,
  onFailed: (directory: string) => void,
): Promise<MirroredKv> {
  return MirroredKv.open(
    { crc32c, clock, log: logger },
    await stateDirectories(drives.list),
    {
      onMemberFailed: (directory, error) => {
        logger.error("a copy of the state failed", { directory, reason: error.message });
        onFailed(directory);
      },
      onResync: (directory, entries, isDone) => logger.info("a copy of the state is being filled", { directory, entries, isDone }),
    },
    { storeId: drives.nodeId, isGated: true, cacheBytes: stateCacheBytes },
  );
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
