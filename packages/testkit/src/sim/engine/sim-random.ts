/**
 * The chance of a simulation: xoshiro128** seeded through splitmix32, 128 bits of state, the same sequence everywhere for one seed.
 *
 * `fork` gives a part of the simulation its own stream, so that one more draw in one part does not move all the others: what a seed
 * means stays recognisable while the simulator grows. Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators" (2018).
 */
import { assert } from "@cfs/core";
import type { Random } from "@cfs/core";

export class SimRandom implements Random {
  readonly #seed: number;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    assert(Number.isSafeInteger(seed) && seed >= 0, "a seed is a safe integer from 0 on");
    this.#seed = (seed ^ Math.floor(seed / 0x1_0000_0000)) >>> 0;
    const draw = splitmix32(this.#seed);
    this.#a = draw();
    this.#b = draw();
    this.#c = draw();
    this.#d = draw() | 1;
  }

  /** A stream of its own for the part called `name`, whatever was drawn before. */
  fork(name: string): SimRandom {
    let hash = this.#seed ^ 0x9e37_79b9;
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x0100_0193) >>> 0;
    return new SimRandom(hash);
  }

  /** 32 bits. */
  bits(): number {
    const scrambled = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return scrambled;
  }

  next(): number {
    return this.bits() / 0x1_0000_0000;
  }

  bytes(target: Uint8Array): Uint8Array {
    for (let at = 0; at < target.length; at++) target[at] = this.bits() >>> 24;
    return target;
  }

  /** An integer from 0 to `countMax` - 1. */
  below(countMax: number): number {
    return Math.floor(this.next() * countMax);
  }

  /** An integer from `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + this.below(max - min + 1);
  }

  /** True with probability `rate`; a rate of 0 draws nothing. */
  chance(rate: number): boolean {
    return rate > 0 && this.next() < rate;
  }

  pick<T>(list: readonly T[]): T {
    assert(list.length > 0, "there is something to pick from");
    return list[this.below(list.length)] as T;
  }

  /** A waiting time whose mean is `mean`: many short ones, few long ones, at most ten times the mean. */
  exponential(mean: number): number {
    return Math.min(-Math.log(1 - this.next()) * mean, mean * 10);
  }

  /** A copy in random order. */
  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let at = copy.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      const held = copy[at] as T;
      copy[at] = copy[other] as T;
      copy[other] = held;
    }
    return copy;
  }
}

function rotate(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e37_79b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return mixed ^ (mixed >>> 15);
  };
}
