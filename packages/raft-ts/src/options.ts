/**
 * Settings of one replica, with defaults. All replicas of a group should have the same, but for `id`, `applied` and `rank`.
 */
import { assert } from "@cfs/core";
import type { NodeId } from "./entry.ts";

export interface RaftOptions {
  /** This replica; from 1. */
  readonly id: NodeId;
  /** The last index that the host's state machine has applied already. Default: firstIndex - 1 of the storage. */
  readonly applied: number;
  /** A follower that hears nothing for this many ticks (to twice as many, drawn) begins an election. 2 × heartbeatTicks to 10,000. Default 10. */
  readonly electionTicks: number;
  /** A leader sends a heartbeat each so many ticks. Default 1. */
  readonly heartbeatTicks: number;
  /** Ask whether an election could be won before beginning it (thesis, section 9.6). Default true. */
  readonly preVote: boolean;
  /** A leader that hears from no quorum for electionTicks steps down, and voters that hear from a leader refuse others. Default true. */
  readonly checkQuorum: boolean;
  /**
   * How reads are confirmed. `quorum`: a round of heartbeats (thesis, section 6.4). `lease`: without a round while the last one is young enough
   * (6.4.1); needs checkQuorum, and a host that keeps the promises about ticks in the README.
   */
  readonly readMode: "quorum" | "lease";
  /** Lease mode: how far the clocks of two nodes may drift apart within electionTicks, in ticks. 0 to electionTicks - 3. Default 1. */
  readonly clockDriftTicks: number;
  /** Entry bytes in one append; a larger entry travels alone. Default 256 KiB. */
  readonly messageBytesMax: number;
  /** Appends on their way to one follower. 1 to 4,096. Default 64. */
  readonly inflightMessagesMax: number;
  /** Entry bytes on their way to one follower. Default 4 MiB. */
  readonly inflightBytesMax: number;
  /** Entry bytes beyond what is committed, those of earlier leaders among them; then a leader refuses proposals (`full`). Default 64 MiB. */
  readonly uncommittedBytesMax: number;
  /** Data of one entry. Default 8 MiB. */
  readonly entryBytesMax: number;
  /** Entry bytes in `committed` of one Ready. Default 4 MiB. */
  readonly committedBytesMax: number;
  /** Bytes of one chunk of a snapshot. Default 256 KiB. */
  readonly snapshotChunkBytes: number;
  /** Chunks on their way to one follower. Default 4. */
  readonly snapshotChunksMax: number;
  /** Reads that wait for a quorum. Default 4,096. */
  readonly readsPendingMax: number;
  /** The leader commits only what openCommitGate() allows. Default false: everything that a majority has. */
  readonly commitGate: boolean;
  /** Hint for balancing leaders: 0 is preferred; each step waits electionTicks longer before an election. 0 to 8. Default 0. */
  readonly rank: number;
}

export const defaultOptions: Omit<RaftOptions, "id" | "applied"> = {
  electionTicks: 10,
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  readMode: "quorum",
  clockDriftTicks: 1,
  messageBytesMax: 256 << 10,
  inflightMessagesMax: 64,
  inflightBytesMax: 4 << 20,
  uncommittedBytesMax: 64 << 20,
  entryBytesMax: 8 << 20,
  committedBytesMax: 4 << 20,
  snapshotChunkBytes: 256 << 10,
  snapshotChunksMax: 4,
  readsPendingMax: 4096,
  commitGate: false,
  rank: 0,
};

function inRange(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

/** Fills in the defaults and asserts the ranges: wrong settings are a bug of the host. */
export function completeOptions(given: Partial<RaftOptions> & { readonly id: NodeId }, appliedDefault: number): RaftOptions {
  const options: RaftOptions = { ...defaultOptions, applied: appliedDefault, ...given };
  assert(inRange(options.id, 1, Number.MAX_SAFE_INTEGER), "id is a safe integer from 1");
  assert(inRange(options.applied, 0, Number.MAX_SAFE_INTEGER), "applied is an index");
  assert(inRange(options.heartbeatTicks, 1, 5_000), "heartbeatTicks is in range");
  assert(inRange(options.electionTicks, 2 * options.heartbeatTicks, 10_000), "electionTicks is in range");
  assert(options.readMode !== "lease" || options.checkQuorum, "leases need checkQuorum");
  assert(inRange(options.clockDriftTicks, 0, Math.max(0, options.electionTicks - 3)), "clockDriftTicks is in range");
  assert(inRange(options.messageBytesMax, 1, 1 << 30), "messageBytesMax is in range");
  assert(inRange(options.inflightMessagesMax, 1, 4_096), "inflightMessagesMax is in range");
  assert(inRange(options.inflightBytesMax, 1, 2 ** 40), "inflightBytesMax is in range");
  assert(inRange(options.uncommittedBytesMax, 1, 2 ** 40), "uncommittedBytesMax is in range");
  assert(inRange(options.entryBytesMax, 1, 1 << 30), "entryBytesMax is in range");
  assert(inRange(options.committedBytesMax, 1, 1 << 30), "committedBytesMax is in range");
  assert(inRange(options.snapshotChunkBytes, 1, 1 << 30), "snapshotChunkBytes is in range");
  assert(inRange(options.snapshotChunksMax, 1, 1_024), "snapshotChunksMax is in range");
  assert(inRange(options.readsPendingMax, 1, 1 << 20), "readsPendingMax is in range");
  assert(inRange(options.rank, 0, 8), "rank is in range");
  return options;
}
