/**
 * What the host must do now, and what a call answers.
 *
 * Order: 1. `earlyMessages` may go out at once. 2. Store snapshotChunks, install `snapshot`, store `entries` and `hardState`, and sync when
 * `mustSync`. 3. Send `messages`. 4. Apply `committed`, answer `reads`. 5. `advance(ready)`. Between ready() and advance() everything else may be
 * called; there is one Ready at a time.
 */
import type { Entry, HardState, NodeId } from "./entry.ts";
import type { Message, SnapshotMeta } from "./message.ts";

export const roles = ["follower", "preCandidate", "candidate", "leader"] as const;
export type Role = (typeof roles)[number];

export interface SnapshotChunk {
  readonly meta: SnapshotMeta;
  /** 0 begins a new snapshot: what was staged before is void. Else it follows the chunk before without a hole. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

export interface ReadAnswer {
  readonly context: number;
  /** The state machine must have applied this index before it answers. */
  readonly index: number;
}

export interface SoftState {
  readonly role: Role;
  /** 0: not known. */
  readonly leader: NodeId;
  readonly term: number;
}

export interface Ready {
  /** Null: unchanged. */
  readonly hardState: HardState | null;
  /** To be stored. They replace everything in the log from entries[0].index on. */
  readonly entries: readonly Entry[];
  /** Parts of an incoming snapshot, to be staged in this order. */
  readonly snapshotChunks: readonly SnapshotChunk[];
  /** Not null: every chunk of it was handed out. Install it as state and let the log begin behind it; `entries` come after. */
  readonly snapshot: SnapshotMeta | null;
  /** May be sent before anything here is durable: a leader's appends, so that its own write runs in parallel (thesis, section 10.2.1). */
  readonly earlyMessages: readonly Message[];
  /** May be sent only when everything above is durable. */
  readonly messages: readonly Message[];
  /** To be applied in this order, when everything above is durable. Kinds empty and configuration are among them. */
  readonly committed: readonly Entry[];
  /** Reads that may be answered once their index is applied. */
  readonly reads: readonly ReadAnswer[];
  /** Contexts of reads that were asked here and get no answer any more: ask again. */
  readonly readsRefused: readonly number[];
  /** False: what is to be stored may be lost in a crash without harm. */
  readonly mustSync: boolean;
  /** Null: unchanged. */
  readonly softState: SoftState | null;
}

export type ProposeRefusal =
  /** Ask `leader`. */
  | "notLeader"
  /** Too much is not committed yet: try again later. */
  | "full"
  /** Larger than entryBytesMax: will never be taken. */
  | "tooLarge"
  /** Leadership is being handed over: try again soon, with the new leader. */
  | "transferring"
  /** A change of the configuration is not committed yet, or this leader has not committed anything in its term. */
  | "changePending"
  /** The change makes no sense now: see applyChange. */
  | "invalidChange";

export type ProposeResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: ProposeRefusal; readonly leader: NodeId };

export type ReadResult = { readonly ok: true } | { readonly ok: false; readonly reason: "noLeader" | "full" };
