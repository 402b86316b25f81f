/** What a replica tells about itself: for people, metrics, and the host's decisions (whom to transfer to, what to compact). */
import type { Configuration } from "./configuration.ts";
import type { Core } from "./core.ts";
import type { NodeId } from "./entry.ts";
import type { Role } from "./ready.ts";

export const progressStates = ["probe", "replicate", "snapshot"] as const;
export type ProgressState = (typeof progressStates)[number];

export interface ProgressStatus {
  readonly node: NodeId;
  readonly state: ProgressState;
  /** The follower is known to have the leader's log up to here. */
  readonly match: number;
  /** What is sent next. */
  readonly next: number;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** Heard from since the last check of the quorum. */
  readonly isActive: boolean;
  /** Of the snapshot that streams to it, or null. */
  readonly snapshotIndex: number | null;
  readonly snapshotOffset: number;
}

export interface RaftStatus {
  readonly id: NodeId;
  readonly role: Role;
  readonly leader: NodeId;
  readonly term: number;
  readonly vote: NodeId;
  readonly commit: number;
  /** Handed to the host and confirmed by advance(). */
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** The last index that is durable here. */
  readonly stableIndex: number;
  /** Infinity when the commit gate is not used. */
  readonly gateIndex: number;
  readonly configuration: Configuration;
  readonly isQuiescent: boolean;
  /** 0: no transfer under way. */
  readonly transferTarget: NodeId;
  readonly uncommittedBytes: number;
  readonly readsPending: number;
  /** Of the followers, by node; empty unless leader. */
  readonly progress: readonly ProgressStatus[];
}

export function statusOf(core: Core): RaftStatus {
  const { log } = core;
  return {
    id: core.id,
    role: core.role,
    leader: core.leader,
    term: core.term,
    vote: core.vote,
    commit: log.commit,
    applied: log.applied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    stableIndex: log.stableIndex,
    gateIndex: core.gateIndex,
    configuration: core.configuration,
    isQuiescent: core.isQuiescent,
    transferTarget: core.transferTarget,
    uncommittedBytes: core.uncommittedBytes,
    readsPending: core.reads.length,
    progress: [...core.progress.values()].map((progress) => progress.status()),
  };
}

export function compactableIndex({ log, progress }: Core): number {
  let index = log.applied;
  for (const { isPresent, stream, match } of progress.values()) {
    if (isPresent) index = Math.min(index, stream?.meta.index ?? match);
  }
  return index;
}
