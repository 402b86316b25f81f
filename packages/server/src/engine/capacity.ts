/**
 * How much room there is: measured on the drives, explained in bytes of user data.
 *
 * Drives that share a file system (directories on one disk) share its free space: each counts its part. The reserve of each drive is kept for
 * deletes, compaction, metadata and rebuild: new data gets NO_SPACE before it is touched.
 *
 * What is prepared on a drive (the unused end of its container, journal files that wait for their next use) counts as free: writes use the one, and
 * the other is given back when the drive has little left. Measured every second; in between, what is written is taken off.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import { layoutFor } from "@cfs/storage";
import type { PreparedSpace } from "./prepared-space.ts";

/** What statfs(2) says of the file system under a drive. */
export interface DriveSpace {
  readonly drive: number;
  /** Which file system: drives with the same number share it. */
  readonly device: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export interface DriveRoom extends DriveSpace {
  /** Used on the file system, but ready for new data. */
  readonly preparedBytes: number;
}

export interface CapacityReport {
  /** Raw bytes on the drives, each file system counted once. */
  readonly rawTotalBytes: number;
  /** Prepared bytes are free. */
  readonly rawFreeBytes: number;
  readonly preparedBytes: number;
  readonly reserveBytes: number;
  /** User data that still fits before the reserve is touched. */
  readonly availableBytes: number;
  /** User data that would fit if the reserve were used too. */
  readonly freeBytes: number;
  /** Free bytes with what is prepared. */
  readonly drives: readonly (DriveSpace & { readonly reserveBytes: number })[];
}

const reserveShare = 0.02;
const reserveBytesMin = 1 << 30;
/** What is promised needs room for tables, headers and padding too when it is written. */
const promisedOverhead = 1 / 32;
/** A small test drive keeps at most this share back. */
const reserveShareMax = 0.1;

export function reserveOf(totalBytes: number): number {
  return Math.min(Math.max(totalBytes * reserveShare, reserveBytesMin), totalBytes * reserveShareMax);
}

const journalFileBytesMin = 4 << 20;
const journalFileBytesMax = 64 << 20;
const journalFileShareMax = 1 / 32;

/** A power of two, so small that the files which are in use, ready and spare stay a small part of the smallest drive. */
export function journalFileBytes(spaces: readonly DriveSpace[]): number {
  const { drives } = computeCapacity(spaces.map((space) => ({ ...space, preparedBytes: 0 })));
  const smallest = Math.min(...drives.map(({ totalBytes }) => totalBytes));
  let bytes = journalFileBytesMax;
  while (bytes > journalFileBytesMin && bytes > smallest * journalFileShareMax) bytes /= 2;
  return bytes;
}

const ballastBytesMin = 16 << 20;
const ballastReserveShareMax = 0.5;

/** Of the reserve of one drive, what is kept as ballast: enough for log and state to go on for a while, a journal file at least where drives are large. */
export function ballastBytes(fileBytes: number, reserveBytes: number): number {
  return Math.floor(Math.min(Math.max(fileBytes, ballastBytesMin), reserveBytes * ballastReserveShareMax));
}

/** The arithmetic, apart from the measuring. */
export function computeCapacity(spaces: readonly DriveRoom[]): CapacityReport {
  const sharers = new Map<number, number>();
  for (const { device } of spaces) sharers.set(device, (sharers.get(device) ?? 0) + 1);
  const byDevice = new Map(spaces.map((space) => [space.device, space]));
  const preparedBytes = spaces.reduce((sum, space) => sum + space.preparedBytes, 0);
  let rawTotalBytes = 0;
  let rawFreeBytes = preparedBytes;
  for (const { totalBytes, freeBytes } of byDevice.values()) {
    rawTotalBytes += totalBytes;
    rawFreeBytes += freeBytes;
  }
  let reserveBytes = 0;
  const drives = spaces.map((space) => {
    const share = sharers.get(space.device) ?? 1;
    const totalBytes = space.totalBytes / share;
    const freeBytes = space.freeBytes / share + space.preparedBytes;
    const reserve = reserveOf(space.totalBytes) / share;
    reserveBytes += reserve;
    return {
      drive: space.drive,
      device: space.device,
      totalBytes: Math.floor(totalBytes),
      freeBytes: Math.floor(freeBytes),
      reserveBytes: Math.floor(reserve),
    };
  });
  return {
    rawTotalBytes,
    rawFreeBytes,
    preparedBytes,
    reserveBytes: Math.floor(reserveBytes),
    availableBytes: userBytes(drives.map(({ freeBytes, reserveBytes: reserve }) => Math.max(0, freeBytes - reserve))),
    freeBytes: userBytes(drives.map(({ freeBytes }) => freeBytes)),
    drives,
  };
}

/** User bytes that fit when each segment needs k+m different drives: bound by the sum, and by the fullest when every drive is needed. */
function userBytes(free: readonly number[]): number {
  const layout = layoutFor(free.length);
  if (!layout) return 0;
  const width = layout.k + layout.m;
  const sorted = [...free].sort((a, b) => a - b);
  let stripes = Number.MAX_VALUE;
  // The largest n with sum(min(free_i, n)) >= width * n, found by leaving the largest drives out one at a time.
  let sum = sorted.reduce((total, bytes) => total + bytes, 0);
  for (let capped = 0; capped < width; capped++) {
    stripes = Math.min(stripes, sum / (width - capped));
    sum -= sorted[sorted.length - 1 - capped] ?? 0;
  }
  return Math.floor(stripes * layout.k);
}

export interface CapacityParts {
  readonly measure: () => Promise<readonly DriveSpace[]>;
  readonly prepared: Pick<PreparedSpace, "bytes" | "adjust">;
  /** User bytes that fallocate has set aside and nobody has written yet: they are no longer there for others. */
  readonly promisedBytes: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Capacity {
  readonly #parts: CapacityParts;
  readonly #intervalMs: number;
  #report: CapacityReport;
  /** User bytes written since the report. */
  #spentBytes = 0;
  #cancel: (() => void) | null = null;
  #measuring: Promise<void> | null = null;
  #refreshing: Promise<void> | null = null;
  #isClosed = false;

  private constructor(parts: CapacityParts, report: CapacityReport, intervalMs: number) {
    this.#parts = parts;
    this.#report = report;
    this.#intervalMs = intervalMs;
  }

  static async open(parts: CapacityParts, intervalMs = 1_000): Promise<Capacity> {
    const capacity = new Capacity(parts, computeCapacity([]), intervalMs);
    await capacity.#measure();
    capacity.#schedule();
    return capacity;
  }

  get report(): CapacityReport {
    return this.#report;
  }

  /** User data that still fits. */
  get availableBytes(): number {
    const promisedBytes = Math.ceil(this.#parts.promisedBytes() * (1 + promisedOverhead));
    return Math.max(0, this.#report.availableBytes - this.#spentBytes - promisedBytes);
  }

  /** User data is being written: it counts until the drives are measured again, uncompressed. */
  spend(bytes: number): void {
    this.#spentBytes += bytes;
  }

  /** So little is left that what was taken off may matter: measuring tells how much it was in truth. */
  get isVague(): boolean {
    return this.#spentBytes > 0 && this.#spentBytes > this.availableBytes;
  }

  #schedule(): void {
    this.#cancel = this.#parts.clock.after(this.#intervalMs, () => {
      this.#measuring = this.refresh()
        .catch((reason: unknown) => this.#parts.logger.warn("measuring the drives failed", { reason: CfsError.from(reason).message }))
        .finally(() => {
          this.#measuring = null;
          if (!this.#isClosed) this.#schedule();
        });
    });
  }

  /** Measures now; who comes while that is under way gets its result. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  async #refresh(): Promise<void> {
    const spaces = await this.#measure();
    const { prepared } = this.#parts;
    await Promise.all(
      spaces.map(({ drive, device, freeBytes, totalBytes }) => {
        const isFirstOfDevice = spaces.find((one) => one.device === device)?.drive === drive;
        return prepared.adjust(drive, freeBytes, reserveOf(totalBytes), isFirstOfDevice);
      }),
    );
  }

  async #measure(): Promise<readonly DriveSpace[]> {
    const { measure, prepared } = this.#parts;
    const spentBefore = this.#spentBytes;
    const spaces = await measure();
    this.#report = computeCapacity(spaces.map((space) => ({ ...space, preparedBytes: prepared.bytes(space.drive) })));
    this.#spentBytes -= spentBefore;
    return spaces;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#measuring;
  }
}
