/**
 * How much room there is: measured on the drives, explained in bytes of user data.
 *
 * Drives that share a file system (directories on one disk) share its free space: each counts its part. The reserve of each drive is kept for
 * deletes, compaction, metadata and rebuild: new data gets NO_SPACE before it is touched.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import { layoutFor } from "@cfs/storage";

/** What statfs(2) says of the file system under a drive. */
export interface DriveSpace {
  readonly drive: number;
  /** Which file system: drives with the same number share it. */
  readonly device: number;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

export interface CapacityReport {
  /** Raw bytes on the drives, each file system counted once. */
  readonly rawTotalBytes: number;
  readonly rawFreeBytes: number;
  readonly reserveBytes: number;
  /** User data that still fits before the reserve is touched. */
  readonly availableBytes: number;
  /** User data that would fit if the reserve were used too. */
  readonly freeBytes: number;
  readonly drives: readonly (DriveSpace & { readonly reserveBytes: number })[];
}

const reserveShare = 0.02;
const reserveBytesMin = 1 << 30;
/** A small test drive keeps at most this share back. */
const reserveShareMax = 0.1;

export function reserveOf(totalBytes: number): number {
  return Math.min(Math.max(totalBytes * reserveShare, reserveBytesMin), totalBytes * reserveShareMax);
}

/** The arithmetic, apart from the measuring. */
export function computeCapacity(spaces: readonly DriveSpace[]): CapacityReport {
  const sharers = new Map<number, number>();
  for (const { device } of spaces) sharers.set(device, (sharers.get(device) ?? 0) + 1);
  const byDevice = new Map(spaces.map((space) => [space.device, space]));
  let rawTotalBytes = 0;
  let rawFreeBytes = 0;
  for (const { totalBytes, freeBytes } of byDevice.values()) {
    rawTotalBytes += totalBytes;
    rawFreeBytes += freeBytes;
  }
  let reserveBytes = 0;
  const drives = spaces.map((space) => {
    const share = sharers.get(space.device) ?? 1;
    const totalBytes = space.totalBytes / share;
    const freeBytes = space.freeBytes / share;
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
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Capacity {
  readonly #parts: CapacityParts;
  readonly #intervalMs: number;
  #report: CapacityReport;
  #cancel: (() => void) | null = null;
  #measuring: Promise<void> | null = null;
  #isClosed = false;

  private constructor(parts: CapacityParts, report: CapacityReport, intervalMs: number) {
    this.#parts = parts;
    this.#report = report;
    this.#intervalMs = intervalMs;
  }

  static async open(parts: CapacityParts, intervalMs = 1_000): Promise<Capacity> {
    const capacity = new Capacity(parts, computeCapacity(await parts.measure()), intervalMs);
    capacity.#schedule();
    return capacity;
  }

  get report(): CapacityReport {
    return this.#report;
  }

  get availableBytes(): number {
    return this.#report.availableBytes;
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

  async refresh(): Promise<void> {
    this.#report = computeCapacity(await this.#parts.measure());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#measuring;
  }
}
