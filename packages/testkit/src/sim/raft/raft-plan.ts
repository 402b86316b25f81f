/**
 * What a seed means for Raft: how large the cluster is, which settings it has, what the clients do, which faults come and how often.
 *
 * Each kind of fault is on or off by itself, and drawn from mild to heavy when it is on ("swarm testing", Groce and others, 2012): a run in
 * which everything fails all the time finds less than many runs that each have their own weakness.
 */
import { defaultOptions } from "raft-ts";
import type { RaftOptions } from "raft-ts";

import type { NetworkFaults } from "../engine/sim-network.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { GroupPlan } from "../group-run.ts";
import { commonTroubles, drawMeans } from "../nemesis.ts";

/** What only a cluster of Raft groups suffers: a change of leaders, a disk that is lost for good, another number of replicas. */
export const raftTroubles = ["transfer", "replace", "resize"] as const;
const troubles: readonly string[] = [...commonTroubles, ...raftTroubles];

export interface RaftPlan extends GroupPlan {
  readonly nodeCount: 3 | 5;
  readonly groupCount: number;
  readonly tickMs: number;
  readonly options: Omit<RaftOptions, "id" | "applied">;
  /** Entries after which a replica makes a snapshot and drops its log. */
  readonly snapshotEntries: number;
  readonly snapshotPaddingBytes: number;
  readonly commandPaddingBytes: number;
  /** Idle groups go quiet. */
  readonly quiesces: boolean;
  /** Mean time that the host holds the commit gate back, µs. */
  readonly gateDelayUs: number;
  /** 0 to 1: answers about the gate that come seconds later, perhaps when others have led meanwhile. */
  readonly lateAnswerRate: number;
  readonly diskLatencyUs: number;
  /** Messages travel as bytes of the binary format, else as they are, which is faster. */
  readonly usesCodec: boolean;
  /** Two clocks drift apart by less than leases allow for. */
  readonly skewMax: number;
}

function drawNetwork(random: SimRandom): NetworkFaults {
  const isWide = random.chance(0.2);
  return {
    lossRate: random.chance(0.5) ? random.next() ** 2 * 0.3 : 0,
    duplicateRate: random.chance(0.4) ? random.next() ** 2 * 0.5 : 0,
    delayMinUs: isWide ? 5_000 : 50,
    delayMeanUs: isWide ? random.between(1_000, 40_000) : random.between(50, 2_000),
    lateRate: random.chance(0.4) ? random.next() * 0.1 : 0,
    lateMaxUs: random.pick([20_000, 300_000, 5_000_000]),
  };
}

function drawOptions(random: SimRandom): RaftPlan["options"] {
  const isSmall = random.chance(0.4);
  const checkQuorum = random.chance(0.8);
  return {
    ...defaultOptions,
    heartbeatTicks: random.pick([1, 1, 2, 3]),
    preVote: random.chance(0.8),
    checkQuorum,
    readMode: checkQuorum && random.chance(0.4) ? "lease" : "quorum",
    clockDriftTicks: 2,
    messageBytesMax: isSmall ? random.between(1, 300) : defaultOptions.messageBytesMax,
    inflightMessagesMax: isSmall ? random.between(1, 4) : defaultOptions.inflightMessagesMax,
    inflightBytesMax: isSmall ? random.between(1, 600) : defaultOptions.inflightBytesMax,
    uncommittedBytesMax: isSmall ? random.between(100, 2_000) : defaultOptions.uncommittedBytesMax,
    committedBytesMax: isSmall ? random.between(1, 300) : defaultOptions.committedBytesMax,
    snapshotChunkBytes: random.pick([32, 100, 1_000, defaultOptions.snapshotChunkBytes]),
    snapshotChunksMax: random.between(1, 4),
    readsPendingMax: random.pick([1, 10, defaultOptions.readsPendingMax]),
    commitGate: random.chance(0.5),
  };
}

function drawTroubles(random: SimRandom): ReadonlyMap<string, number> {
  // Heavy seeds have a disturbance of each kind that is on every few seconds, mild ones every half minute.
  return drawMeans(random, troubles, 2e6 * 8 ** random.next());
}

/** Narrow windows that an even mix hardly ever hits: some seeds aim at one. */
type Aim = "none" | "lease" | "divergence";

/** Many quick readers and writers while leaders are cut off: answers by a lease that is over, logs that went different ways. */
function aimed(plan: RaftPlan, aim: Aim, random: SimRandom): RaftPlan {
  if (aim === "none") return plan;
  const means = new Map(plan.meanUsBetween);
  const cut = aim === "lease" ? "isolate" : random.pick(["isolate", "split"]);
  means.set(cut, 4e6).set("skew", 2e6);
  means.delete("networkChange");
  const busy = { ...plan, groupCount: 1, clientsPerGroup: 6, thinkMeanUs: 20_000, timeoutUs: 400_000, meanUsBetween: means };
  if (aim === "lease") {
    // Clocks that drift far, and leases that allow for it: what is wrong with one shows for longer.
    means.set("oneWay", 3e6);
    const options = {
      ...plan.options,
      checkQuorum: true,
      readMode: "lease",
      heartbeatTicks: 1,
      clockDriftTicks: 5,
      commitGate: false,
    } as const;
    return {
      ...busy,
      options,
      skewMax: 0.2,
      diskLatencyUs: 50,
      network: { ...plan.network, delayMinUs: 50, delayMeanUs: 300, lateRate: 0, lossRate: plan.network.lossRate / 4 },
    };
  }
  const options = {
    ...plan.options,
    checkQuorum: false,
    readMode: "quorum",
    inflightMessagesMax: random.between(1, 2),
    uncommittedBytesMax: 1 << 20,
  } as const;
  const diverging = { ...busy, options, network: { ...plan.network, lossRate: 0.1 + random.next() * 0.2 } };
  if (!random.fork("gate").chance(0.6)) return diverging;
  // Answers about the gate of one leadership arrive in the next, in which other entries stand there.
  means.set("transfer", 1e6).set(cut, 2e6);
  return { ...diverging, options: { ...options, commitGate: true }, gateDelayUs: 500_000, lateAnswerRate: 0.5 };
}

export function drawRaftPlan(random: SimRandom): RaftPlan {
  const aim = random.fork("aim").pick<Aim>(["none", "none", "none", "lease", "divergence"]);
  return aimed(drawEvenly(random), aim, random.fork("aimed"));
}

function drawEvenly(random: SimRandom): RaftPlan {
  return {
    nodeCount: random.chance(0.65) ? 3 : 5,
    groupCount: random.pick([1, 1, 1, 1, 2, 2, 3, 8]),
    tickMs: 100,
    options: drawOptions(random.fork("options")),
    snapshotEntries: random.pick([5, 20, 50, 200, 100_000]),
    snapshotPaddingBytes: random.pick([0, 0, 200, 2_000]),
    commandPaddingBytes: random.pick([0, 0, 20, 200]),
    quiesces: random.chance(0.3),
    gateDelayUs: random.pick([100, 2_000, 50_000, 500_000]),
    lateAnswerRate: 0.03,
    diskLatencyUs: random.pick([50, 200, 1_000, 10_000]),
    usesCodec: random.fork("wire").chance(0.25),
    clientsPerGroup: random.between(2, 6),
    timeoutUs: random.pick([400_000, 1_000_000, 3_000_000]),
    thinkMeanUs: random.pick([20_000, 100_000, 500_000, 2_000_000]),
    network: drawNetwork(random.fork("network")),
    skewMax: 0.08,
    meanUsBetween: drawTroubles(random.fork("disturbances")),
    troubleUs: random.between(30, 90) * 1e6,
    calmUs: 40e6,
  };
}
