/**
 * Where the raw bytes of the drives are: the sum of the parts is the whole.
 *
 * live + dead + parity + journal + state + other − absent + prepared + reserve + free = rawTotal, to the byte.
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
  /** Journal files on all their drives, with the next one, and without spares. */
  readonly journalBytes: number;
  /** User bytes in the journal that are not packed yet (part of journalBytes). */
  readonly journalLiveBytes: number;
  /** Copies of the namespace. */
  readonly stateBytes: number;
  /** What was deleted a moment ago, and what is not of cfs on the same file systems. */
  readonly otherBytes: number;
  /** Counted above but not on these drives: fragments of drives that are missing. Zero while all are there. */
  readonly absentBytes: number;
  /** Ready for new data: the unused ends of containers, and spare journal files. Counts as free. */
  readonly preparedBytes: number;
  readonly reserveBytes: number;
  /** Free above the reserve, without what is prepared. */
  readonly freeBytes: number;
}

/** Bytes of the journal and state directories, as measured on the drives; the journal's without its spares. */
export interface MeasuredSpace {
  readonly journalBytes: number;
  readonly stateBytes: number;
}

export function explainSpace(usage: Usage, capacity: CapacityReport, measured: MeasuredSpace): SpaceReport {
  const { rawTotalBytes, rawFreeBytes, preparedBytes } = capacity;
  const usedBytes = rawTotalBytes - rawFreeBytes;
  const unusedBytes = rawFreeBytes - preparedBytes;
  const reserveBytes = Math.min(capacity.reserveBytes, unusedBytes);
  const rest = usedBytes - usage.fragmentBytes - measured.journalBytes - measured.stateBytes;
  return {
    rawTotalBytes,
    liveBytes: usage.segmentLiveBytes,
    deadBytes: usage.segmentStoredBytes - usage.segmentLiveBytes,
    parityBytes: usage.fragmentBytes - usage.segmentStoredBytes,
    journalBytes: measured.journalBytes,
    journalLiveBytes: usage.journalLiveBytes,
    stateBytes: measured.stateBytes,
    otherBytes: Math.max(0, rest),
    absentBytes: Math.max(0, -rest),
    preparedBytes,
    reserveBytes,
    freeBytes: unusedBytes - reserveBytes,
  };
}
