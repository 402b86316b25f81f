/**
 * The engine of a node: journal, state, segments and the background work on them. Reads like a parts list, in start order; stop is the reverse.
 *
 * Order at start: drives, store, journal, state (replay), segments, capacity, then what works in the background. Nothing is served before the
 * replay is done, so what clients see is what was acknowledged.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, Random, SegmentId } from "@cfs/core";
import {
  KvState,
  SingleReplica,
  singleReplicaDefaults,
  listJournalFiles,
  listRegions,
  listSegments,
  listSessions,
  regionBytes,
} from "@cfs/metadata";
import type { DriveRecord, ListedRegion, Segment, ShardStore } from "@cfs/metadata";
import { crc32c } from "@cfs/native";
import { Containers, Journal, NativePacker, SegmentStore, nativeCodec } from "@cfs/storage";
import type { Ballast, Io, JournalDrive } from "@cfs/storage";
import { Capacity, journalFileBytes } from "./capacity.ts";
import type { DriveSpace } from "./capacity.ts";
import { Compactor } from "./compactor.ts";
import { OperationFigures } from "./operation-figures.ts";
import { PackQueue } from "./pack-queue.ts";
import { commitOwn } from "./own-command.ts";
import { Packer } from "./packer.ts";
import { ReadPath } from "./read-path.ts";
import { PreparedSpace } from "./prepared-space.ts";
import { Recoder } from "./recoder.ts";
import { ReferenceWalk } from "./reference-walk.ts";
import { Reclaimer } from "./reclaimer.ts";
import { Repairer } from "./repairer.ts";
import { RequestHandler } from "./request-handler.ts";
import { SegmentProof } from "./segment-proof.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { SessionService } from "./session-service.ts";
import { Sweeper } from "./sweeper.ts";
import { endTruncations } from "./truncations.ts";

/** A drive that is open: its identity was checked and it is locked by this process. */
export interface EngineDrive {
  readonly driveId: string;
  readonly path: string;
  readonly ballast: Ballast;
}

export interface EngineParts {
  readonly io: Io;
  readonly store: ShardStore;
  /** Drives come and go while the engine runs. */
  readonly drives: readonly EngineDrive[];
  /** Space on the drives; `indexOf` is the cluster's drive table. */
  readonly measure: (indexOf: (driveId: string) => number) => Promise<readonly DriveSpace[]>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export interface EngineOptions {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Recent journal kept in memory, bytes. */
  readonly journalCacheBytes: number;
  /** What people call a drive, also one that is not here. */
  readonly driveName: (driveId: string) => string;
  /** Start although most drives of the newest journal file are missing. */
  readonly isDegraded: boolean;
  /** Owner of the root directory of a new file system. */
  readonly rootUid: number;
  readonly rootGid: number;
}

/** Segment numbers that a crash may have used without logging them. */
const segmentGap = 4_096;
const stateCaches = { inodes: 3_000, dirents: 30_000, regions: 4_000, segments: 8_000, xattrs: 1_000, others: 16_000 };

export class Engine {
  readonly #parts: EngineParts;
  readonly state: KvState;
  readonly journal: Journal;
  readonly driver: SingleReplica;
  readonly segments: SegmentStore;
  readonly capacity: Capacity;
  readonly reads: ReadPath;
  readonly writer: SegmentWriter;
  readonly figures: OperationFigures;
  readonly packQueue: PackQueue = new PackQueue();
  readonly packer: Packer;
  readonly compactor: Compactor;
  readonly recoder: Recoder;
  readonly reclaimer: Reclaimer;
  readonly repairer: Repairer;
  readonly sessions: SessionService;
  readonly sweeper: Sweeper;
  #nextSegment: number;
  #background: Promise<void> = Promise.resolve();
  #isClosed = false;
  /** Hears what the node cannot go on from. */
  onFailed: ((error: CfsError) => void) | null = null;
  /** Hears of a drive that the journal does not use any more. */
  onDriveFailed: ((driveId: string, error: CfsError) => void) | null = null;

  private constructor(
    parts: EngineParts,
    built: {
      state: KvState;
      journal: Journal;
      driver: SingleReplica;
      segments: SegmentStore;
      capacity: Capacity;
      clusterId: string;
      figures: OperationFigures;
    },
  ) {
    const { io, clock, logger } = parts;
    const { state, journal, driver, segments, capacity, clusterId, figures } = built;
    this.#parts = parts;
    this.state = state;
    this.journal = journal;
    this.driver = driver;
    this.segments = segments;
    this.capacity = capacity;
    this.figures = figures;
    const { pool } = io;
    const store = segments;
    const packerOfBytes = new NativePacker(pool, clusterId);
    this.#nextSegment = (state.content.superblock()?.nextSegment ?? 1) + segmentGap;
    this.reads = new ReadPath({ state, store, packer: packerOfBytes, pool, journal });
    this.writer = new SegmentWriter({ packer: packerOfBytes, store, pool, nextSegment: () => this.#nextSegment++ as SegmentId });
    const availableBytes = (): number => capacity.availableBytes;
    this.packer = new Packer({ state, driver, journal, queue: this.packQueue, writer: this.writer, availableBytes, clock, logger });
    const walk = new ReferenceWalk({ state, availableBytes, clock, logger });
    this.compactor = new Compactor({ state, driver, store, reads: this.reads, writer: this.writer, walk, clock, logger });
    this.recoder = new Recoder({ state, store, compactor: this.compactor, availableBytes, clock, logger });
    this.sweeper = new Sweeper({ state, store, clock, logger });
    this.reclaimer = new Reclaimer({
      state,
      driver,
      store,
      proof: new SegmentProof({ state, store, walk, clock, logger }),
      clock,
      logger,
      onDropped: (id) => this.sweeper.dropped(id),
      compact: (segments) => this.compactor.compact(segments),
    });
    this.repairer = new Repairer({ state, driver, store, clock, logger });
    const handler = new RequestHandler({ state, driver, reads: this.reads, capacity, clock, figures });
    this.sessions = new SessionService({
      driver,
      state,
      queue: { state, driver, log: journal, writer: this.writer, packQueue: this.packQueue, pool, capacity },
      handler,
      capacity,
      pool,
      clock,
      logger,
      figures,
      onSessionClosed: (clientId) => this.#inBackground(() => this.reclaimer.endSession(clientId, () => this.sessions.isHeld(clientId))),
    });
    driver.onFailed = (error) => this.onFailed?.(error);
  }

  static async open(parts: EngineParts, options: EngineOptions): Promise<Engine> {
    const { io, store, clock, random, logger } = parts;
    const state = new KvState(store, stateCaches);
    state.onDamage = (what) => logger.error("the state contradicts itself", { what });
    const fileBytes = journalFileBytes(await parts.measure(() => 0));
    let onDurable = (_index: number): void => undefined;
    let onBroken = (_error: Error): void => undefined;
    let onDriveFailed = (_driveId: string, _error: CfsError): void => undefined;
    const figures = new OperationFigures();
    const journalDrives: JournalDrive[] = parts.drives.map(({ driveId, path }) => ({ driveId, path }));
    const journal = await Journal.open(
      { io, crc32c, clock, random, log: logger },
      journalDrives,
      {
        onDurable: (index) => onDurable(index),
        onSynced: (milliseconds) => figures.journalSync.observeMs(milliseconds),
        onBroken: (error) => onBroken(error),
        onDriveFailed: (drive, error) => onDriveFailed(drive.driveId, CfsError.from(error)),
        onLoss: (loss) => logger.error("acknowledged entries are lost", { loss: JSON.stringify(loss) }),
      },
      {
        clusterId: options.clusterId,
        nodeId: options.nodeId,
        appliedIndex: store.appliedIndex,
        cacheBytes: options.journalCacheBytes,
        acceptMissing: options.isDegraded,
        fileBytes,
        driveName: options.driveName,
      },
    );
    try {
      const checkpoints = { ...singleReplicaDefaults, checkpointBytes: fileBytes };
      const driver = await SingleReplica.open({ log: journal, store, state, clock, logger }, checkpoints);
      onDurable = (index) => driver.logDurable(index);
      await formatOrCheck(parts, options, state, driver);
      await endTruncations({ state, driver, clock, logger });
      const segments = await openSegments(parts, options, state);
      const { drives } = parts;
      const prepared = new PreparedSpace({ state, journal, segments, drives, journalFileBytes: fileBytes, logger });
      const measure = (): ReturnType<EngineParts["measure"]> => parts.measure((id) => driveIndex(state, id));
      const promised = (): number => state.content.usage().reservedBytes;
      const capacity = await Capacity.open({ measure, prepared, promisedBytes: promised, clock, logger });
      const engine = new Engine(parts, { state, journal, driver, segments, capacity, clusterId: options.clusterId, figures });
      onBroken = (error) => {
        driver.logBroken(CfsError.from(error));
        engine.onFailed?.(CfsError.from(error));
      };
      onDriveFailed = (driveId, error) => engine.onDriveFailed?.(driveId, error);
      await engine.#start();
      return engine;
    } catch (reason) {
      await journal.close();
      throw reason;
    }
  }

  async #start(): Promise<void> {
    const sessions = await listSessions(this.state, null, 1_000);
    this.sessions.expectReturn(sessions.map(({ clientId }) => clientId));
    this.reclaimer.start();
    this.recoder.start();
    this.#inBackground(() => this.#requeue());
    this.sweeper.start();
    this.#inBackground(async () => void (await this.repairer.addMissing()));
  }

  /** One thing after the other, none of them unheard. */
  #inBackground(work: () => Promise<void>): void {
    if (this.#isClosed) return;
    this.#background = this.#background.then(work).catch((reason: unknown) => {
      this.#parts.logger.error("background work failed", { reason: CfsError.from(reason).message });
    });
  }

  /** What still lies in the journal from before the start is queued for packing. */
  async #requeue(): Promise<void> {
    if ((await listJournalFiles(this.state, -1, 10_000)).every(({ liveExtents }) => liveExtents === 0)) return;
    let after: Pick<ListedRegion, "ino" | "index"> | null = null;
    for (let isEnd = false; !isEnd && !this.#isClosed;) {
      const page: readonly ListedRegion[] = await listRegions(this.state, after, 1_000);
      for (const { ino, index, region } of page) {
        const beginBytes = index * regionBytes;
        const placed = region.extents.map((extent) => ({ ...extent, offsetBytes: beginBytes + extent.offsetBytes }));
        this.packQueue.addPlaced(ino, placed);
      }
      const last: ListedRegion | undefined = page.at(-1);
      isEnd = page.length < 1_000 || last === undefined;
      after = last ?? null;
    }
  }

  /** All segments, page by page, for whoever walks them. */
  async *allSegments(): AsyncGenerator<Segment> {
    for (let after: SegmentId | 0 = 0; ;) {
      const page: readonly Segment[] = await listSegments(this.state, after, 512);
      yield* page;
      const last: Segment | undefined = page.at(-1);
      if (page.length < 512 || !last) return;
      after = last.id;
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The repairer first: what runs in the background may wait for it.
    const { sessions, repairer, sweeper, recoder, reclaimer, compactor, packer, capacity, driver, segments, journal } = this;
    const steps = [
      () => sessions.close(),
      () => repairer.close(),
      () => sweeper.close(),
      () => this.#background,
      ...[recoder, reclaimer, compactor, packer, capacity, driver, segments, journal].map((part) => () => part.close()),
    ];
    const failures: unknown[] = [];
    for (const step of steps) await step().catch((reason: unknown) => failures.push(reason));
    if (failures.length > 0) throw new AggregateError(failures, "the engine did not close cleanly");
  }
}

function driveIndex(state: KvState, driveId: string): number {
  return state.content.superblock()?.drives.find(({ id }) => id === driveId)?.index ?? -1;
}

/** A new store gets its superblock and root; an old one must be the cluster that the drives say. */
async function formatOrCheck(parts: EngineParts, options: EngineOptions, state: KvState, driver: SingleReplica): Promise<void> {
  const superblock = state.content.superblock();
  if (superblock) {
    if (superblock.clusterId !== options.clusterId) {
      throw new CfsError("CORRUPT", `the drives are of cluster ${options.clusterId} but their state is of cluster ${superblock.clusterId}`);
    }
    return;
  }
  const drives: DriveRecord[] = parts.drives.map(({ driveId }, index) => ({ index, id: driveId, state: "ok" }));
  const { rootUid: uid, rootGid: gid, clusterId } = options;
  const time = parts.clock.wallTime();
  await commitOwn(driver, { type: "format", clusterId, drives, uid, gid, time }, "a new file system could not be made");
}

async function openSegments(parts: EngineParts, options: EngineOptions, state: KvState): Promise<SegmentStore> {
  const { io, logger } = parts;
  const segments = new SegmentStore({ pool: io.pool, codec: nativeCodec, logger, clusterId: options.clusterId });
  const table = state.content.superblock()?.drives ?? [];
  segments.memberCount = table.filter((record) => record.state !== "removed").length;
  const opening: Promise<Containers>[] = [];
  for (const { driveId, path } of parts.drives) {
    const record = table.find(({ id }) => id === driveId);
    if (!record)
      throw new CfsError("INVALID", `drive ${driveId} at ${path} is not part of this cluster; add it with: cfs admin drive add ${path}`);
    if (record.state === "removed")
      logger.warn("a drive that is named was removed from this node and is left alone", { path, drive: driveId });
    else opening.push(Containers.open(io, { index: record.index, directory: path }));
  }
  for (const containers of await Promise.all(opening)) segments.addDrive(containers);
  return segments;
}
