/**
 * What the core tells its host: facts in the order in which they became true on this node, and counters.
 *
 * Redundancy is decided elsewhere: `failed` says that nobody could reach the member for a while, not that its data is lost (architecture, section 4).
 */
import type { Member } from "./member.ts";

export type SwimEvent =
  /** A member is alive that was unknown, dead or gone before. */
  | { readonly type: "joined"; readonly member: Member }
  /** Its metadata or address changed. */
  | { readonly type: "updated"; readonly member: Member; readonly before: Member }
  /** A probe of it failed here or elsewhere (`from`); it has the suspicion timeout to say otherwise. */
  | { readonly type: "suspected"; readonly member: Member; readonly from: string }
  /** A suspect showed that it is alive, by a higher incarnation. */
  | { readonly type: "refuted"; readonly member: Member }
  /** Nobody reached it in time (`from` says whose verdict it is). */
  | { readonly type: "failed"; readonly member: Member; readonly from: string }
  /** It said goodbye. Never preceded by `failed` when the goodbye arrived first. */
  | { readonly type: "left"; readonly member: Member }
  /** Its tombstone ran out: the name is forgotten. */
  | { readonly type: "reaped"; readonly member: Member }
  /** A named value replaces what this node had: by a higher version, or by the greater hash among two of one version. `bytes` belong to the core: do not change them. */
  | { readonly type: "broadcast"; readonly name: string; readonly version: number; readonly bytes: Uint8Array }
  /** This node heard the state of the cluster for the first time since `join`. */
  | { readonly type: "joinedCluster" }
  /** Others know that this node leaves (or the time for it is over); nothing more is sent. */
  | { readonly type: "leaveDone" }
  /** Another living node uses this name, from `address`. While joining this ends the attempt (`isFinal`). */
  | { readonly type: "nameConflict"; readonly address: string; readonly isFinal: boolean }
  /** This process stood still, or its clock jumped, by about so much: no verdict was based on that time. */
  | { readonly type: "stalled"; readonly lateMs: number };

/** Since the start of the core. */
export interface SwimCounters {
  packetsSent: number;
  bytesSent: number;
  packetsReceived: number;
  bytesReceived: number;
  /** Not one of ours: unknown version or key, or the seal is broken (another cluster, another key, noise). */
  packetsForeign: number;
  /** Sealed by a member, and seen before or too old for the window. */
  packetsReplayed: number;
  /** Sealed for an earlier life of this node, or by one who does not know its session yet: answered by a hello. */
  packetsUnaddressed: number;
  /** Sealed by a member and yet not readable: a bug or another version. */
  packetsMalformed: number;
  /** Messages of kinds that this version does not know: skipped. */
  messagesUnknown: number;
  probes: number;
  probesFailed: number;
  /** Answers that came after their probe was over. */
  acksLate: number;
  /** Claims that were dropped because a table was full. */
  refusedFull: number;
  /** Values that were pulled whole and did not have the hash that was announced: dropped. */
  valuesDamaged: number;
  refutations: number;
  stalls: number;
}

export function newCounters(): SwimCounters {
  return {
    packetsSent: 0,
    bytesSent: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsForeign: 0,
    packetsReplayed: 0,
    packetsUnaddressed: 0,
    packetsMalformed: 0,
    messagesUnknown: 0,
    probes: 0,
    probesFailed: 0,
    acksLate: 0,
    refusedFull: 0,
    valuesDamaged: 0,
    refutations: 0,
    stalls: 0,
  };
}
