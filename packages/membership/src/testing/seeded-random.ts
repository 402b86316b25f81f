/** Random numbers that are a function of the seed: sfc32 (Doty-Humphrey, PractRand), started by splitmix. Not for secrets. */
import type { Random } from "@cfs/core";

export function seededRandom(seed: number): Random {
  let mixed = seed | 0;
  const draw = (): number => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let word = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return word ^ (word >>> 15);
  };
  let [one, two, three, count] = [draw(), draw(), draw(), 1];
  const next32 = (): number => {
    const sum = (one + two + count) | 0;
    count = (count + 1) | 0;
    one = two ^ (two >>> 9);
    two = (three + (three << 3)) | 0;
    three = ((three << 21) | (three >>> 11)) + sum;
    three |= 0;
    return sum >>> 0;
  };
  for (let warm = 0; warm < 12; warm++) next32();
  return {
    next: () => next32() / 0x1_0000_0000,
    bytes: (target) => {
      for (let index = 0; index < target.length; index++) target[index] = next32() & 0xff;
      return target;
    },
  };
}
