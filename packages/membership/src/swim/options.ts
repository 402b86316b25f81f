/**
 * The settings of SWIM with their defaults, and its limits with the reason for each figure.
 *
 * All times are milliseconds of steady time: time in which this process ran (steady-time.ts), whole numbers from 10 on. A timer can be as late as a tick.
 */
import { CfsError } from "@cfs/core";

export interface SwimOptions {
  /** How often the driver calls `tick`. Of a longer time between two only twice this counts. */
  readonly tickMs: number;
  /** One probe per interval; without an answer at its end (stretched by local health) the target is suspected. */
  readonly probeIntervalMs: number;
  /** How long the direct ping may take before others are asked to ping too. Less than half of the interval; well above the round trip. */
  readonly probeTimeoutMs: number;
  /** How many members are asked to ping a target that did not answer. 0 to 32. */
  readonly indirectProbes: number;
  /** The shortest suspicion is this × log10(members), at least 1, × probeIntervalMs. 1 to 10; below 2 nobody has time to answer. */
  readonly suspicionMult: number;
  /** The longest suspicion (nobody confirms it) is this × the shortest one. 1 to 10. */
  readonly suspicionMaxMult: number;
  /** How many independent confirmations take a suspicion from the longest to the shortest timeout. 0 (always the shortest) to 32. */
  readonly confirmations: number;
  /** Local health: probes are at most (this + 1) times slower. 0 (switches it off) to 32. */
  readonly awarenessMax: number;
  /** How often queued updates are sent to `gossipFanout` members; an empty queue sends nothing. */
  readonly gossipIntervalMs: number;
  /** 1 to 32. */
  readonly gossipFanout: number;
  /** An update is sent this × ⌈log2(members + 1)⌉ times by each node. 1 to 32. */
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

/** No wait is longer than 24 days, the longest that a timer of Node takes. */
const waitMsMax = 0x7fff_ffff;
const waits = [10, waitMsMax] as const;
/** From, to; all in whole numbers but the two factors of a suspicion. A part of a value with the longest name takes 1,165 bytes; IPv6 lets 1,232 pass everywhere. */
const ranges: Readonly<Record<keyof SwimOptions, readonly [min: number, max: number]>> = {
  tickMs: waits,
  probeIntervalMs: waits,
  probeTimeoutMs: waits,
  indirectProbes: [0, 32],
  suspicionMult: [1, 10],
  suspicionMaxMult: [1, 10],
  confirmations: [0, 32],
  awarenessMax: [0, 32],
  gossipIntervalMs: waits,
  gossipFanout: [1, 32],
  retransmitMult: [1, 32],
  syncIntervalMs: waits,
  reconnectIntervalMs: waits,
  joinIntervalMs: waits,
  conflictTimeoutMs: waits,
  leaveTimeoutMs: waits,
  tombstoneMs: waits,
  packetBytesMax: [1_200, 1_399],
};
const fractional: readonly string[] = ["suspicionMult", "suspicionMaxMult"];

/** INVALID for anything outside of its range, and for what is no number. */
export function checkedOptions(options: SwimOptions): SwimOptions {
  for (const [name, [min, max]] of Object.entries(ranges)) {
    const value = options[name as keyof SwimOptions];
    // NaN and undefined are in no range.
    if (!(value >= min && value <= max && (Number.isInteger(value) || fractional.includes(name))))
      throw new CfsError("INVALID", `the setting ${name} of membership is ${value}; ${min} to ${max} are possible`);
  }
  const { tickMs, probeTimeoutMs, probeIntervalMs } = options;
  if (probeTimeoutMs < tickMs || probeTimeoutMs * 2 > probeIntervalMs)
    throw new CfsError("INVALID", "the tick is at most the probe timeout, which is at most half of the probe interval");
  return options;
}

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
  /** 2^47: claims from here on are not answered, so that nobody can take away the incarnations that a member needs for its own words. */
  incarnationAnsweredMax: 0x8000_0000_0000,
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
