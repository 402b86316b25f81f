/**
 * The status of a node, gathered from every part when somebody asks. Nothing here waits for the data path: figures are read from memory, but
 * the sizes of the journal and state directories, which are measured at most every few seconds.
 */
import type { Clock } from "@cfs/core";
import type { JsonObject, StatusReply } from "@cfs/rpc";
import type { Drive, Io, MirroredKv } from "@cfs/storage";
import type { Engine } from "../engine/engine.ts";
import type { DriveSet } from "../maintenance/drive-set.ts";
import type { NodeDetails } from "./details.ts";
import { directoryBytes } from "./directory-size.ts";
import { judgeHealth } from "./health.ts";
import type { Health } from "./health.ts";
import { explainSpace } from "./space.ts";
import type { MeasuredSpace } from "./space.ts";

export interface NodeStatusParts {
  readonly engine: Engine;
  readonly driveSet: DriveSet;
  readonly store: Pick<MirroredKv, "directories">;
  readonly open: readonly Drive[];
  readonly io: Io;
  readonly clock: Clock;
}

export interface NodeStatusOptions {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly version: string;
}

const measureEveryMs = 5_000;
const stateCopiesWanted = 3;

export class NodeStatus {
  readonly #parts: NodeStatusParts;
  readonly #options: NodeStatusOptions;
  readonly #startedMs: number;
  #measured: MeasuredSpace = { journalBytes: 0, stateBytes: 0 };
  #measuredMs = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | null = null;
  /** Why the node cannot go on; null while it can. */
  fatal: string | null = null;

  constructor(parts: NodeStatusParts, options: NodeStatusOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#startedMs = parts.clock.monotonicMs();
  }

  get uptimeMs(): number {
    return Math.floor(this.#parts.clock.monotonicMs() - this.#startedMs);
  }

  async report(): Promise<StatusReply> {
    await this.#measure();
    const { engine, driveSet } = this.#parts;
    const { report } = engine.capacity;
    const usage = engine.state.content.usage();
    const health = this.health();
    const usedBytes = usage.segmentLiveBytes + usage.journalLiveBytes + usage.reservedBytes;
    return {
      clusterId: this.#options.clusterId,
      nodeId: this.#options.nodeId,
      version: this.#options.version,
      uptimeMs: this.uptimeMs,
      capacityBytes: usage.segmentLiveBytes + usage.journalLiveBytes + report.freeBytes,
      usedBytes,
      availableBytes: engine.capacity.availableBytes,
      atRiskBytes: usage.journalLiveBytes,
      connections: engine.sessions.sessions.filter(({ isConnected }) => isConnected).length,
      drives: driveSet.list(),
      warnings: health.warnings,
      details: { ...this.details(health) } as unknown as JsonObject,
    };
  }

  health(): Health {
    const { engine, driveSet, store, io, open } = this.#parts;
    const { report } = engine.capacity;
    const { queued, homeless, problems } = engine.repairer.progress;
    const driveOf = (index: number): Drive | null => driveSet.members.find((member) => member.index === index)?.drive ?? null;
    // Drives on one file system have one ballast between them.
    const withBallast = new Set(report.drives.filter((room) => (driveOf(room.drive)?.ballast.bytes ?? 0) > 0).map(({ device }) => device));
    return judgeHealth({
      drives: driveSet.members,
      layout: engine.segments.layout,
      repairQueued: queued,
      recodeWaiting: engine.recoder.progress.waiting,
      homelessFragments: homeless,
      repairProblems: problems.map(
        ({ segment, fragment, reason }) =>
          `fragment ${fragment} of segment ${segment} could not be repaired: ${reason}; cfs admin scrub names the files`,
      ),
      damage: [...engine.state.damage],
      stateCopies: store.directories.length,
      stateCopiesWanted: Math.min(stateCopiesWanted, open.length),
      availableBytes: engine.capacity.availableBytes,
      rooms: report.drives.map((room) => {
        const drive = driveOf(room.drive);
        return { ...room, path: drive?.path ?? "", hasBallast: drive === null || withBallast.has(room.device) };
      }),
      rawTotalBytes: report.rawTotalBytes,
      rawFreeBytes: report.rawFreeBytes,
      ioDescription: io.description,
      ioKind: io.kind,
      fatal: this.fatal,
    });
  }

  details(health: Health): NodeDetails {
    const { engine, driveSet, io } = this.#parts;
    const { state, packer, packQueue, reclaimer, compactor, segments } = engine;
    const usage = state.content.usage();
    const { queued, homeless, repaired, repairedBytes, problems } = engine.repairer.progress;
    const memory = process.memoryUsage();
    return {
      health: { level: health.level, notes: health.notes },
      space: explainSpace(usage, engine.capacity.report, this.#measured),
      layout: segments.layout,
      journal: this.#journal(),
      packing: { waitingBytes: packQueue.bytes, waitingWrites: packQueue.length, segmentsPacked: packer.segmentsPacked },
      segments: {
        count: usage.segments,
        dead: reclaimer.deadSegments,
        dropped: reclaimer.segmentsDropped,
        compacted: compactor.segmentsCompacted,
      },
      repair: {
        queued,
        homeless,
        repaired,
        repairedBytes,
        problems: problems.slice(0, 100).map(({ segment, fragment, reason }) => `fragment ${fragment} of segment ${segment}: ${reason}`),
        moves: driveSet.moves,
      },
      recode: engine.recoder.progress,
      reads: { bytes: segments.counts.bytesRead, degraded: segments.counts.degradedReads, checksumErrors: segments.counts.checksumErrors },
      sessions: engine.sessions.sessions.map(({ sinceMs, ...session }) => ({
        ...session,
        connectedMs: Math.floor(this.#parts.clock.monotonicMs() - sinceMs),
      })),
      inodes: usage.inodes,
      io: { kind: io.kind, description: io.description },
      memory: { residentBytes: memory.rss, heapBytes: memory.heapUsed, poolBytes: io.pool.memory.byteLength },
    };
  }

  #journal(): NodeDetails["journal"] {
    const { journal } = this.#parts.engine;
    const { lastIndex, durableIndex, pendingBytes } = journal.statistics;
    const files = journal.files();
    let bytes = 0;
    for (const { sizeBytes, driveIds } of files) bytes += sizeBytes * driveIds.length;
    return { lastIndex, durableIndex, pendingBytes, files: files.length, bytes, copies: files.at(-1)?.driveIds.length ?? 0 };
  }

  async #measure(): Promise<void> {
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#measuredMs < measureEveryMs) return;
    this.#measuring ??= this.#measureNow().finally(() => {
      this.#measuring = null;
    });
    await this.#measuring;
  }

  async #measureNow(): Promise<void> {
    let journalBytes = 0;
    let stateBytes = 0;
    const { open, engine } = this.#parts;
    for (const { path, driveId } of [...open]) {
      journalBytes += (await directoryBytes(`${path}/journal`)) - engine.journal.spareBytes(driveId);
      stateBytes += await directoryBytes(`${path}/state`);
    }
    await engine.capacity.refresh();
    this.#measured = { journalBytes, stateBytes };
    this.#measuredMs = this.#parts.clock.monotonicMs();
  }
}
