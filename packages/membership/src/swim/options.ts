/**
 * The settings of SWIM with their defaults, and its limits with the reason for each figure.
 *
 * All times are milliseconds of steady time: time in which this process ran (steady-time.ts). They are multiples of the tick, which is how late a timer can be.
 */

export interface SwimOptions {
  /** How often the driver calls `tick`. 10 or more. A tick that comes later than twice this is a stall. */
  readonly tickMs: number;
  /** One probe per interval; without an answer at its end (stretched by local health) the target is suspected. */
  readonly probeIntervalMs: number;
  /** How long the direct ping may take before others are asked to ping too. Less than half of the interval; well above the round trip. */
  readonly probeTimeoutMs: number;
  /** How many members are asked to ping a target that did not answer. 0 or more. */
  readonly indirectProbes: number;
  /** The shortest suspicion is this × log10(members), at least 1, × probeIntervalMs. 2 to 10. */
  readonly suspicionMult: number;
  /** The longest suspicion (nobody confirms it) is this × the shortest one. 1 to 10. */
  readonly suspicionMaxMult: number;
  /** How many independent confirmations take a suspicion from the longest to the shortest timeout. */
  readonly confirmations: number;
  /** Local health: probes are at most (this + 1) times slower. 0 switches it off. */
  readonly awarenessMax: number;
  /** How often queued updates are sent to `gossipFanout` members; an empty queue sends nothing. */
  readonly gossipIntervalMs: number;
  readonly gossipFanout: number;
  /** An update is sent this × ⌈log2(members + 1)⌉ times by each node. */
  readonly retransmitMult: number;
  /** How often the digest of the table is compared with that of a random member. */
  readonly syncIntervalMs: number;
  /** How often a dead member or a missing seed is greeted, so that a healed partition is found. */
  readonly reconnectIntervalMs: number;
  /** How often a joining node asks its seeds. */
  readonly joinIntervalMs: number;
  /** A joining node waits so long for the holder of its name to be declared dead before it gives up. More than the longest suspicion. */
  readonly conflictTimeoutMs: number;
  /** A leaving node is gone after this, even when not everybody could be told. */
  readonly leaveTimeoutMs: number;
  /** The names of dead and left members are remembered for this long. Longer than any process is paused and then goes on. */
  readonly tombstoneMs: number;
  /** Bytes of a sealed packet, at most. Below the smallest MTU on the way less 48 bytes of IPv6 and UDP. 1,200 (the part of a value must fit) to 1,399. */
  readonly packetBytesMax: number;
}

export const defaultOptions: SwimOptions = {
  tickMs: 100,
  probeIntervalMs: 500,
  probeTimeoutMs: 200,
  indirectProbes: 3,
  suspicionMult: 4,
  suspicionMaxMult: 4,
  confirmations: 2,
  awarenessMax: 8,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  retransmitMult: 3,
  syncIntervalMs: 10_000,
  reconnectIntervalMs: 5_000,
  joinIntervalMs: 1_000,
  conflictTimeoutMs: 30_000,
  leaveTimeoutMs: 5_000,
  tombstoneMs: 3_600_000,
  packetBytesMax: 1_380,
};

/** What stays bounded, whatever the others send. */
export const limits = {
  /** Members and tombstones: four times the largest cluster that was simulated. */
  membersMax: 4_096,
  nameBytesMax: 64,
  addressBytesMax: 128,
  /** So that a record with it, the head of an answer and the envelope fit the smallest packet. */
  metadataBytesMax: 400,
  labelsMax: 16,
  labelKeyBytesMax: 32,
  labelValueBytesMax: 64,
  /** 2^48: counting up once per microsecond for eight years; more is an attack on the refutation. */
  incarnationMax: 0x1_0000_0000_0000,
  /** Named values: the revocation list and a few more. */
  itemsMax: 16,
  itemNameBytesMax: 64,
  /** 64 KiB: a thousand revoked certificates of 32 bytes twice over. 16 of them are 1 MiB. */
  itemBytesMax: 65_536,
  /** Up to this an item travels inside the gossip; above, only its name does, and it is pulled. */
  itemInlineBytesMax: 400,
  itemPartBytes: 1_024,
  /** Parts asked for at once. */
  itemPartsMax: 8,
  /** Indirect probes that are served at the same time. */
  relaysMax: 256,
  /** Sessions whose packet counters are watched; one more, and this node takes a new session itself (replay-guard.ts). */
  windowsMax: 8_192,
} as const;
