/**
 * The `details` of a status reply: figures of every part of a node, for people, dashboards and `cfs admin status`.
 *
 * Carried as a JSON tree; fields are added, never renamed. Sizes are bytes, times are milliseconds unless the name says otherwise.
 */
import type { HealthLevel } from "./health.ts";
import type { SpaceReport } from "./space.ts";

export interface SessionDetails {
  readonly clientId: string;
  readonly host: string;
  readonly mountpoint: string;
  /** HOST:PORT; empty while it is not connected. */
  readonly peer: string;
  readonly isConnected: boolean;
  readonly connectedMs: number;
}

/** A drive that comes or goes, and how far its fragments have followed. */
export interface MoveDetails {
  readonly driveId: string;
  readonly kind: "remove" | "replace";
  /** Fragments that still lie on the drive, or lay there and are not yet elsewhere. */
  readonly remainingFragments: number;
  readonly totalFragments: number;
}

export interface NodeDetails {
  readonly health: { readonly level: HealthLevel; readonly notes: readonly string[] };
  readonly space: SpaceReport;
  /** k data and m parity fragments of new segments; null without a healthy drive. */
  readonly layout: { readonly k: number; readonly m: number } | null;
  readonly journal: {
    readonly lastIndex: number;
    readonly durableIndex: number;
    readonly pendingBytes: number;
    readonly files: number;
    /** On all drives together. */
    readonly bytes: number;
    readonly copies: number;
  };
  readonly packing: { readonly waitingBytes: number; readonly waitingWrites: number; readonly segmentsPacked: number };
  readonly segments: { readonly count: number; readonly dead: number; readonly dropped: number; readonly compacted: number };
  readonly repair: {
    readonly queued: number;
    /** Missing, with no drive to go to. */
    readonly homeless: number;
    readonly repaired: number;
    readonly repairedBytes: number;
    readonly problems: readonly string[];
    readonly moves: readonly MoveDetails[];
  };
  /** Segments that were written to fewer drives. */
  readonly recode: { readonly waiting: number; readonly recoded: number; readonly bytes: number };
  readonly reads: { readonly bytes: number; readonly degraded: number; readonly checksumErrors: number };
  readonly sessions: readonly SessionDetails[];
  readonly inodes: number;
  readonly io: { readonly kind: string; readonly description: string };
  readonly memory: { readonly residentBytes: number; readonly heapBytes: number; readonly poolBytes: number };
}
