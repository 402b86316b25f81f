/**
 * What a seed means for membership: how many nodes, which settings, which faults and how often, and how the run ends.
 *
 * After the trouble every run has a calm in which the views must become equal, and then a few trials: faults placed by hand whose outcome is certain.
 */
import type { NetworkFaults } from "../engine/sim-network.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import { commonTroubles, drawMeans } from "../nemesis.ts";

/** What only members suffer or do. */
export const swimTroubles = ["leave", "metadata", "broadcast", "rotateKeys", "garbage", "replay"] as const;
const disklessTroubles = commonTroubles.filter((kind) => kind !== "slowDisk" && kind !== "fullDisk" && kind !== "power");
const troubles: readonly string[] = [...disklessTroubles, ...swimTroubles];

export const trials = ["brokenLink", "split", "pauseAndDeath", "goodbye", "silence"] as const;
export type Trial = (typeof trials)[number];

export interface SwimPlan {
  readonly nodeCount: number;
  /** Names of the dead are kept for so long; longer than anybody stands still. */
  readonly tombstoneMs: number;
  readonly usesRealSeal: boolean;
  readonly network: NetworkFaults;
  readonly skewMax: number;
  readonly meanUsBetween: ReadonlyMap<string, number>;
  readonly troubleUs: number;
  readonly calmUs: number;
  readonly trials: readonly Trial[];
}

function drawNetwork(random: SimRandom): NetworkFaults {
  return {
    lossRate: random.chance(0.6) ? random.next() ** 2 * 0.3 : 0,
    duplicateRate: random.chance(0.4) ? random.next() * 0.5 : 0,
    delayMinUs: 50,
    delayMeanUs: random.pick([200, 2_000, 20_000]),
    lateRate: random.chance(0.3) ? random.next() * 0.1 : 0,
    lateMaxUs: random.pick([100_000, 1_000_000, 5_000_000]),
  };
}

export function drawSwimPlan(random: SimRandom): SwimPlan {
  const meanUsBetween = drawMeans(random, troubles, 4e6 * 10 ** random.next());
  return {
    nodeCount: random.pick([3, 4, 5, 6, 6, 7, 7, 8, 12, 20]),
    tombstoneMs: random.pick([200_000, 3_600_000]),
    usesRealSeal: random.chance(0.05),
    network: drawNetwork(random.fork("network")),
    skewMax: 0.08,
    meanUsBetween,
    troubleUs: random.between(60, 300) * 1e6,
    calmUs: 120e6,
    trials: random.shuffled(trials).slice(0, random.between(1, 2)),
  };
}
