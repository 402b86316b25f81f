/** Settings and facts of the multi-group driver. */
import type { CfsError, Clock, Logger, Random } from "@cfs/core";
import type { Raft, RaftOptions, RaftParts, SoftState, SnapshotMeta } from "raft-ts";
import type { DriverRules } from "./driver-rules.ts";
import type { GroupId, GroupLog } from "./group-log.ts";
import type { PeerId, Peers, Placement } from "./peers.ts";
import type { MachineOpener } from "./state-machine.ts";

export interface MultiRaftParts<Result> {
  /** Open; stays its owner's, who closes it after the driver. */
  readonly log: GroupLog;
  readonly peers: Peers;
  readonly placement: Placement;
  readonly openMachine: MachineOpener<Result>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly crc32c: (bytes: Uint8Array) => number;
  /** Default: raft-ts with its standard rules. Tests plant bugs here. */
  readonly makeRaft?: (parts: RaftParts, options: Partial<RaftOptions> & { readonly id: number }) => Raft;
  /** Default: standardRules. */
  readonly rules?: DriverRules;
  /** Runs a turn soon, once. Default: a microtask; a server takes setImmediate, so that what one turn of the event loop brought goes together. */
  readonly schedule?: (run: () => void) => void;
}

export interface MultiRaftOptions {
  /** A tick of Raft, milliseconds. Default 100. */
  readonly tickMs: number;
  /** For every group; `id`, `applied` and `commitGate` are the driver's. */
  readonly raft: Partial<Omit<RaftOptions, "id" | "applied" | "commitGate">>;
  /** A leader with nothing to do for so many ticks sends its group to sleep; 0: never. Default 20. */
  readonly quiesceTicks: number;
  /** Entries of a group in memory, in bytes, above which its state is made durable and the log compacted. Default 1 MiB. */
  readonly compactBytes: number;
  /** … or their number. Default 10,000. */
  readonly compactEntries: number;
  /** A follower that is far behind may hold back compaction up to this many times the bounds above; then it gets a snapshot. Default 4. */
  readonly compactFactorMax: number;
  /** What groups write in one turn, about, in bytes. Default 4 MiB. */
  readonly turnBytesMax: number;
  /** Payloads of a group in memory, in bytes: proposals beyond are refused with AGAIN. Default 16 MiB. */
  readonly payloadBytesMax: number;
  /** Of all groups of the node together. Default 128 MiB. */
  readonly nodePayloadBytesMax: number;
  /** Ticks without progress after which payloads go to another follower. Default 5. */
  readonly mateTicks: number;
  /** All snapshots that the node sends, bytes per second. Default 64 MiB. */
  readonly snapshotBytesPerSecond: number;
  /** A read without an answer for so many ticks is given up. Default 50. */
  readonly readTicks: number;
}

export const multiRaftDefaults: MultiRaftOptions = {
  tickMs: 100,
  raft: {},
  quiesceTicks: 20,
  compactBytes: 1 << 20,
  compactEntries: 10_000,
  compactFactorMax: 4,
  turnBytesMax: 4 << 20,
  payloadBytesMax: 16 << 20,
  nodePayloadBytesMax: 128 << 20,
  mateTicks: 5,
  snapshotBytesPerSecond: 64 << 20,
  readTicks: 50,
};

/** Facts, as they happen; every one may be left out. Listeners must not call the driver back in the same turn. */
export interface MultiRaftListener {
  /** Role, leader or term of this node's replica changed. */
  readonly onRole?: (group: GroupId, state: SoftState) => void;
  /** An item for a group that is not here: whoever places replicas may create it. */
  readonly onUnknownGroup?: (group: GroupId, from: PeerId) => void;
  readonly onCompacted?: (group: GroupId, meta: SnapshotMeta) => void;
  readonly onSnapshotInstalled?: (group: GroupId, meta: SnapshotMeta) => void;
  /** A configuration was applied; this replica may not be in it any more. */
  readonly onConfiguration?: (group: GroupId, index: number) => void;
  /** One write for all groups is durable, after so many milliseconds. */
  readonly onWritten?: (groupCount: number, durationMs: number) => void;
  /** The node cannot go on: its log is broken, or a state failed. Nothing is answered any more. */
  readonly onBroken?: (reason: CfsError) => void;
}
