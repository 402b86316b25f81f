/**
 * What a seed means for the shard driver: the plan of the bare cores, with the settings that only a driver has.
 *
 * Runs are shorter than those of bare cores: each event costs a turn of promises, a real log format and real checksums.
 */
import type { MultiRaftOptions } from "@cfs/metadata";
import type { RaftOptions } from "raft-ts";

import type { SimRandom } from "../engine/sim-random.ts";
import type { GroupPlan } from "../group-run.ts";
import { commonTroubles, drawMeans } from "../nemesis.ts";
import { drawRaftPlan } from "../raft/raft-plan.ts";

/** What only a cluster of drivers suffers: a request of the disk that fails, a bit that flips while the log is read. */
export const shardTroubles = ["transfer", "replace", "diskError", "bitFlip"] as const;
const troubles: readonly string[] = [...commonTroubles, ...shardTroubles];

export interface ShardPlan extends GroupPlan {
  readonly nodeCount: 3 | 5;
  readonly groupCount: number;
  readonly driver: Partial<MultiRaftOptions>;
  /** Small files roll and are reclaimed often. */
  readonly logFileBytes: number;
  /** So small, where payloads allow it, that a turn's append takes several writes, and a fault can come between them. */
  readonly logFrameBytes: number;
  readonly snapshotPaddingBytes: number;
  readonly commandPaddingBytes: number;
  /** 0 to 1: commands that have a payload beside them. */
  readonly payloadRate: number;
  readonly payloadBytesMax: number;
  /** Batches travel as bytes of the binary format. */
  readonly usesCodec: boolean;
}

export function drawShardPlan(random: SimRandom): ShardPlan {
  const base = drawRaftPlan(random.fork("base"));
  const own = random.fork("driver");
  const { commitGate: _gate, ...raft } = base.options satisfies Omit<RaftOptions, "id" | "applied">;
  const meanUsBetween = drawMeans(own, troubles, 3e6 * 6 ** own.next());
  const plan = {
    nodeCount: base.nodeCount,
    groupCount: Math.min(base.groupCount, 4),
    driver: {
      tickMs: base.tickMs,
      raft,
      quiesceTicks: own.pick([0, 10, 20]),
      compactEntries: own.pick([5, 30, 10_000]),
      mateTicks: own.pick([3, 5]),
      snapshotBytesPerSecond: own.pick([2_000, 64 << 20]),
    },
    logFileBytes: own.pick([256 << 10, 1 << 20]),
    snapshotPaddingBytes: base.snapshotPaddingBytes,
    commandPaddingBytes: base.commandPaddingBytes,
    payloadRate: own.pick([0, 0.3, 1]),
    payloadBytesMax: own.pick([100, 5_000, 30_000]),
    usesCodec: base.usesCodec,
    clientsPerGroup: own.between(2, 4),
    thinkMeanUs: own.pick([50_000, 200_000, 1_000_000]),
    timeoutUs: base.timeoutUs,
    network: base.network,
    skewMax: 0.08,
    meanUsBetween,
    troubleUs: own.between(20, 40) * 1e6,
    calmUs: 60e6,
  } as const;
  return { ...plan, logFrameBytes: plan.payloadBytesMax > 5_000 ? 64 << 10 : 8 << 10 };
}
