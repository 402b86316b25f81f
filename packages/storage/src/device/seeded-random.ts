/** A small seeded Random for faults and tests: mulberry32, 32 bits of state; the same seed gives the same sequence everywhere. */
import type { Random } from "@cfs/core";

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const bytes = (target: Uint8Array): Uint8Array => {
    for (let at = 0; at < target.length; at++) target[at] = Math.floor(next() * 256);
    return target;
  };
  return { next, bytes };
}
