/**
 * The port through which Raft reads what the host keeps: the stable log and snapshots.
 *
 * Invariant that the host keeps: between two calls of `advance` only what that call confirms, and compaction of applied entries, changes the answers.
 * Everything here is synchronous over what the host has in memory.
 */
import type { Configuration } from "./configuration.ts";
import type { Entry, HardState } from "./entry.ts";
import type { SnapshotMeta } from "./message.ts";

export interface InitialState {
  readonly hardState: HardState;
  /**
   * Exactly the one in force at firstIndex - 1, that of the snapshot or of the compacted prefix: Raft reads later ones from the log itself. A later one would
   * stay in force when its entry is cut off, and its majority need not overlap with the others'.
   */
  readonly configuration: Configuration;
}

export interface LogStorage {
  /** What was durable when this replica started; asked once. */
  initial(): InitialState;
  /** The first entry that is still there; lastIndex + 1 when there is none. 1 for a log that was never compacted. */
  readonly firstIndex: number;
  /** The last durable entry; firstIndex - 1 when there is none. */
  readonly lastIndex: number;
  /** Of firstIndex - 1 to lastIndex; null below (compacted away) and above. Term of index 0 is 0. */
  term(index: number): number | null;
  /** Entries from `begin` to before `end`, all of them there, as many as fit in `bytesMax` by entryBytes(), at least one. Not changed afterwards. */
  entries(begin: number, end: number, bytesMax: number): readonly Entry[];
  /** Opens the newest snapshot for one follower; null when none can be read now (Raft asks again later). Its index is at least firstIndex - 1. */
  snapshot(): SnapshotSource | null;
}

/** One snapshot being sent to one follower. It stays the same while the log goes on. */
export interface SnapshotSource {
  readonly meta: SnapshotMeta;
  /** The bytes at `offset`, at most `lengthMax`; null while the host still fetches them: Raft asks again at the next tick or resumeSnapshots(). */
  read(offset: number, lengthMax: number): SnapshotPart | null;
  /** Called once, when the stream is over or was given up. */
  release(): void;
}

export interface SnapshotPart {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}
