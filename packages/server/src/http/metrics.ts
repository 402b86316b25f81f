/**
 * The metrics of a node for Prometheus. Everything is read from the parts when somebody scrapes; nothing is kept twice.
 *
 * Invariant: names end in their unit, counters in `_total`; each is described in docs/operating/metrics.md.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import type { NodeStatus } from "../admin/node-status.ts";
import type { Engine } from "../engine/engine.ts";
import type { DriveSet } from "../maintenance/drive-set.ts";
import { registerLatency } from "./latency-metric.ts";

export interface MetricsParts {
  readonly engine: Engine;
  readonly driveSet: DriveSet;
  readonly status: NodeStatus;
}

type Read = () => number;

export class Metrics {
  readonly #registry: Registry = new Registry();
  readonly #parts: MetricsParts;

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    collectDefaultMetrics({ register: this.#registry });
    this.#addTraffic();
    this.#addJournal();
    this.#addSegments();
    this.#addRepair();
    this.#addDrives();
    this.#addHealth();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #gauge(name: string, help: string, read: Read): void {
    const gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        gauge.set(read());
      },
    });
  }

  /** `read` gives a sum that only grows. */
  #counter(name: string, help: string, read: Read): void {
    const counter = new Counter({
      name,
      help,
      registers: [this.#registry],
      collect() {
        counter.reset();
        counter.inc(read());
      },
    });
  }

  #addTraffic(): void {
    const { figures, sessions } = this.#parts.engine;
    const operations = new Counter({
      name: "cfs_operations_total",
      help: "Commands and requests of clients, by kind",
      labelNames: ["kind"],
      registers: [this.#registry],
      collect() {
        operations.reset();
        for (const [kind, count] of figures.operations) operations.inc({ kind }, count);
      },
    });
    this.#counter("cfs_read_bytes_total", "File data sent to clients", () => figures.bytesRead);
    this.#counter("cfs_written_bytes_total", "File data received from clients", () => figures.bytesWritten);
    registerLatency(this.#registry, { name: "cfs_read_seconds", help: "From a read request to its reply" }, figures.read);
    registerLatency(
      this.#registry,
      { name: "cfs_commit_seconds", help: "From the arrival of a command to its durability, sampled" },
      figures.commit,
    );
    this.#gauge(
      "cfs_sessions_count",
      "Clients that are connected",
      () => sessions.sessions.filter(({ isConnected }) => isConnected).length,
    );
  }

  #addJournal(): void {
    const { journal, packQueue, state, packer, figures } = this.#parts.engine;
    registerLatency(
      this.#registry,
      { name: "cfs_journal_sync_seconds", help: "A batch of journal entries, written to every copy" },
      figures.journalSync,
    );
    this.#gauge(
      "cfs_journal_depth_entries",
      "Entries of the journal that are not durable yet",
      () => journal.lastIndex - journal.durableIndex,
    );
    this.#gauge("cfs_journal_pending_bytes", "Bytes of the journal that are not durable yet", () => journal.statistics.pendingBytes);
    this.#gauge("cfs_journal_size_bytes", "Journal files, of one copy", () => journal.statistics.totalBytes);
    this.#counter("cfs_journal_entries_total", "Entries appended to the journal", () => journal.statistics.appendCount);
    this.#counter("cfs_journal_written_bytes_total", "Bytes written to the journal, of one copy", () => journal.statistics.frameBytes);
    this.#counter(
      "cfs_journal_repaired_records_total",
      "Wrong records in a copy of the journal that were repaired",
      () => journal.statistics.repairedCount,
    );
    this.#gauge("cfs_unpacked_bytes", "File data in the journal that is not in segments yet", () => state.content.usage().journalLiveBytes);
    this.#gauge("cfs_pack_queue_bytes", "Bytes of writes that wait for the packer", () => packQueue.bytes);
    this.#counter("cfs_packed_segments_total", "Segments that the packer has published", () => packer.segmentsPacked);
  }

  #addSegments(): void {
    const { state, segments, reclaimer, compactor, recoder, capacity } = this.#parts.engine;
    const usage = (): ReturnType<typeof state.content.usage> => state.content.usage();
    this.#gauge("cfs_inodes_count", "Files, directories and others", () => usage().inodes);
    this.#gauge("cfs_segments_count", "Segments", () => usage().segments);
    this.#gauge("cfs_segment_live_bytes", "Stored bytes that files point at", () => usage().segmentLiveBytes);
    this.#gauge("cfs_segment_stored_bytes", "Stored bytes of all chunks", () => usage().segmentStoredBytes);
    this.#gauge("cfs_fragment_bytes", "Fragments with parity and headers", () => usage().fragmentBytes);
    this.#counter("cfs_dropped_segments_total", "Segments whose space was given back", () => reclaimer.segmentsDropped);
    this.#counter("cfs_compacted_segments_total", "Thin segments that were moved together", () => compactor.segmentsCompacted);
    this.#counter("cfs_recoded_segments_total", "Segments of fewer drives that were coded again", () => recoder.progress.recoded);
    this.#gauge("cfs_recode_waiting_segments", "Segments of fewer drives that wait to be coded again", () => recoder.progress.waiting);
    this.#counter("cfs_segment_read_bytes_total", "Bytes read from fragments", () => segments.counts.bytesRead);
    this.#counter("cfs_segment_written_bytes_total", "Bytes written to fragments", () => segments.counts.bytesWritten);
    this.#gauge(
      "cfs_capacity_bytes",
      "User data that the drives can hold, with what they hold",
      () => capacity.report.freeBytes + usage().segmentLiveBytes + usage().journalLiveBytes,
    );
    this.#gauge("cfs_available_bytes", "User data that still fits before the reserve", () => capacity.availableBytes);
    this.#gauge("cfs_raw_size_bytes", "File systems under the drives", () => capacity.report.rawTotalBytes);
    this.#gauge("cfs_raw_free_bytes", "Free on the file systems under the drives", () => capacity.report.rawFreeBytes);
    this.#gauge("cfs_reserve_bytes", "Kept free for deletes, compaction and rebuild", () => capacity.report.reserveBytes);
  }

  #addRepair(): void {
    const { repairer, segments } = this.#parts.engine;
    this.#counter("cfs_repaired_fragments_total", "Fragments that were rebuilt or moved", () => repairer.repaired);
    this.#counter("cfs_repaired_bytes_total", "Bytes of fragments that were rebuilt or moved", () => repairer.repairedBytes);
    this.#gauge("cfs_repair_queue_fragments", "Fragments that wait for repair", () => repairer.progress.queued);
    this.#gauge("cfs_repair_problems_fragments", "Fragments that could not be repaired", () => repairer.progress.problems.length);
    this.#gauge("cfs_homeless_fragments", "Fragments that are missing and have no drive to go to", () => repairer.progress.homeless);
    this.#counter("cfs_degraded_reads_total", "Reads that had to be rebuilt from other fragments", () => segments.counts.degradedReads);
    this.#counter(
      "cfs_checksum_errors_total",
      "Fragments whose checksum was wrong when they were read",
      () => segments.counts.checksumErrors,
    );
  }

  #addDrives(): void {
    const { driveSet } = this.#parts;
    const labelled = (name: string, help: string, read: (drive: ReturnType<DriveSet["list"]>[number]) => number): void => {
      const gauge = new Gauge({
        name,
        help,
        labelNames: ["drive", "path"],
        registers: [this.#registry],
        collect() {
          gauge.reset();
          for (const drive of driveSet.list()) gauge.set({ drive: drive.driveId, path: drive.path }, read(drive));
        },
      });
    };
    labelled("cfs_drive_up", "1 when the drive is in service and takes data", ({ state }) => (state === "DRIVE_ONLINE" ? 1 : 0));
    labelled("cfs_drive_size_bytes", "The drive's part of its file system", ({ capacityBytes }) => capacityBytes);
    labelled("cfs_drive_used_bytes", "Used on the drive's part of its file system", ({ usedBytes }) => usedBytes);
    labelled(
      "cfs_drive_errors_count",
      "Reads, writes and checksums that failed since the start",
      ({ readErrors, writeErrors, checksumErrors }) => readErrors + writeErrors + checksumErrors,
    );
  }

  #addHealth(): void {
    const { status, engine } = this.#parts;
    const valueByLevel = { ok: 0, warning: 1, critical: 2 } as const;
    this.#gauge("cfs_health_level", "0 ok, 1 warning, 2 critical", () => valueByLevel[status.health().level]);
    this.#gauge("cfs_uptime_seconds", "Since the server started", () => status.uptimeMs / 1000);
    this.#gauge("cfs_state_dirty_records_count", "Records of the state that wait to be stored", () => engine.state.dirtyCount);
  }
}
