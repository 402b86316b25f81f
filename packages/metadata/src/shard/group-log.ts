/**
 * The port to the write-ahead log that all Raft groups of a node share. The storage package implements it over its Io.
 *
 * Invariants that the log keeps: an append is durable, all of it, when its promise resolves; appends become durable in the order of the calls
 * (only compact() overtakes those that wait for room);
 * after a crash the log is a prefix of what was appended, with everything in it that was acknowledged, or opening it fails. What it shows in
 * `groups` changes only when it is durable. After a failed write nothing is durable any more: the log is broken until it is opened again. A full
 * drive is no failure: appends wait.
 */
import type { CfsError } from "@cfs/core";
import type { Entry, HardState, SnapshotMeta } from "raft-ts";
import type { GroupEntries } from "./group-entries.ts";

/** Number of a group in the cluster: a safe integer from 1. */
export type GroupId = number;

/** Bytes that travel beside an entry: never in memory for long, read by group and index. */
export interface Payload {
  readonly index: number;
  readonly term: number;
  /** Given to the log until the append is done. */
  readonly bytes: Uint8Array;
}

/**
 * What one group wants written in a turn; one update of a group in an append. A new group begins with an update that has nothing but an
 * installed snapshot of index 0 and the first configuration.
 */
export interface GroupUpdate {
  readonly group: GroupId;
  /** The group is not here any more; nothing else counts. */
  readonly isRemoved: boolean;
  readonly hardState: HardState | null;
  /**
   * The state machine holds everything up to here durably. `compacted`: entries up to it go, later ones stay. `installed`: the state came from
   * another replica, and all entries go.
   */
  readonly snapshot: { readonly how: "compacted" | "installed"; readonly meta: SnapshotMeta } | null;
  /** Consecutive; they replace every entry from the first one's index on. */
  readonly entries: readonly Entry[];
  /** Of entries above, or of such as are in the log. */
  readonly payloads: readonly Payload[];
}

/** Whether the state of the group still needs the payload of an entry that was compacted away. */
export type PayloadUse = (group: GroupId, index: number) => boolean;

export interface GroupLogStatistics {
  readonly fileCount: number;
  readonly totalBytes: number;
  /** Frames written, one per append unless it is very large, and their bytes. */
  readonly frameCount: number;
  readonly frameBytes: number;
  /** Written again so that an old file could go. */
  readonly movedBytes: number;
  readonly reclaimedFiles: number;
  /** Of entries that are held in memory for the groups. */
  readonly entryBytes: number;
}

/** On the drive. `low`: the next file cannot be made; appends go on as long as the newest one has room. `none`: appends wait. */
export type GroupLogRoom = "enough" | "low" | "none";

export interface AppendOptions {
  /** Ends a wait for room with INTERRUPTED. Then it is not known what was written: the log is broken. */
  readonly signal?: AbortSignal;
}

export interface GroupLog {
  /** Every group that the log knows, as it is durable. */
  readonly groups: ReadonlyMap<GroupId, GroupEntries>;
  /** One write for all groups; resolves when it is durable. Waits while the drive is full. Rejects when the log is broken. */
  append(updates: readonly GroupUpdate[], options?: AppendOptions): Promise<void>;
  /**
   * The state of the group is durable up to `meta`: the same as an update that says `compacted`, but ahead of appends that wait for room, out of a reserve.
   * False: there is no room for that either, and nothing happened.
   */
  compact(group: GroupId, meta: SnapshotMeta): Promise<boolean>;
  /** NOT_FOUND when it is not here, CORRUPT when it cannot be trusted. The bytes are the caller's. */
  readPayload(group: GroupId, index: number): Promise<Uint8Array>;
  /** Lets old files go; what is needed of them is written again at the end. To be called now and then; does nothing while there is room. */
  reclaim(isInUse: PayloadUse): Promise<void>;
  readonly fileCount: number;
  readonly room: GroupLogRoom;
  /** Above its bound, or the drive is short of room: refuse new work until something was compacted. */
  readonly isFull: boolean;
  /** Why nothing can be written any more, or null. */
  readonly broken: CfsError | null;
  readonly statistics: GroupLogStatistics;
  /** Waits for what runs. Idempotent. */
  close(): Promise<void>;
}

export const noUpdate: Omit<GroupUpdate, "group"> = { isRemoved: false, hardState: null, snapshot: null, entries: [], payloads: [] };
