/**
 * Where the raw bytes of the drives are: the sum of the parts is the whole.
 */
import type { Usage } from "@cfs/metadata";
import type { CapacityReport } from "../engine/capacity.ts";

export interface SpaceReport {
  /** Raw bytes of the file systems under the drives. */
  readonly rawTotalBytes: number;
  /** Stored bytes of chunks that files point at. */
  readonly liveBytes: number;
  /** Stored bytes of chunks that no file points at any more: given back when their segments are dropped or compacted. */
  readonly deadBytes: number;
  /** Parity, chunk tables, headers and padding of fragments. */
  readonly parityBytes: number;
  /** Journal files on all their drives. */
  readonly journalBytes: number;
  /** User bytes in the journal that are not packed yet (part of journalBytes). */
  readonly journalLiveBytes: number;
  /** State, preallocated containers, and what is not of cfs on the same file systems. */
  readonly otherBytes: number;
  readonly reserveBytes: number;
  /** Free above the reserve. */
  readonly freeBytes: number;
}

export function explainSpace(usage: Usage, capacity: CapacityReport, journalBytes: number): SpaceReport {
  const { rawTotalBytes, rawFreeBytes } = capacity;
  const usedBytes = rawTotalBytes - rawFreeBytes;
  const parityBytes = usage.fragmentBytes - usage.segmentStoredBytes;
  const reserveBytes = Math.min(capacity.reserveBytes, rawFreeBytes);
  return {
    rawTotalBytes,
    liveBytes: usage.segmentLiveBytes,
    deadBytes: usage.segmentStoredBytes - usage.segmentLiveBytes,
    parityBytes,
    journalBytes,
    journalLiveBytes: usage.journalLiveBytes,
    otherBytes: Math.max(0, usedBytes - usage.fragmentBytes - journalBytes),
    reserveBytes,
    freeBytes: rawFreeBytes - reserveBytes,
  };
}
