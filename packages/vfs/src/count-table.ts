/**
 * A map from safe integers to small counts in two typed arrays: how many lookups of each inode the kernel holds.
 *
 * Why not a Map: inode numbers are above 2^31, so a Map boxes every key; a million entries cost 90 MB and twice the time.
 * Invariant: open addressing with linear probing; a removal moves later entries of its run back, so there are no tombstones
 * and a probe ends at the first free slot. Key 0 means free. 12 bytes per slot, at most 3/4 of the slots in use.
 */
import { assert } from "@cfs/core";

const slotsMin = 1024;

export class CountTable {
  #keys: Float64Array = new Float64Array(slotsMin);
  #counts: Uint32Array = new Uint32Array(slotsMin);
  #mask = slotsMin - 1;
  #size = 0;

  /** How many keys have a count. */
  get size(): number {
    return this.#size;
  }

  get(key: number): number {
    const slot = this.#find(key);
    return this.#keys[slot] === key ? (this.#counts[slot] as number) : 0;
  }

  add(key: number, count: number): void {
    assert(key >= 1 && Number.isSafeInteger(key), "a counted key is a positive safe integer");
    const slot = this.#find(key);
    if (this.#keys[slot] === key) {
      this.#counts[slot] = (this.#counts[slot] as number) + count;
      return;
    }
    this.#keys[slot] = key;
    this.#counts[slot] = count;
    this.#size++;
    if (this.#size * 4 > (this.#mask + 1) * 3) this.#resize((this.#mask + 1) * 2);
  }

  /** Takes `count` away and returns what is left; at 0 the key goes. More than there is counts as all of it. */
  subtract(key: number, count: number): number {
    const slot = this.#find(key);
    if (this.#keys[slot] !== key) return 0;
    const left = (this.#counts[slot] as number) - count;
    if (left > 0) {
      this.#counts[slot] = left;
      return left;
    }
    this.#removeAt(slot);
    this.#size--;
    if (this.#mask + 1 > slotsMin && this.#size * 8 < this.#mask + 1) this.#resize((this.#mask + 1) / 2);
    return 0;
  }

  /** The keys as of now, in no order. */
  keys(): number[] {
    const keys: number[] = [];
    for (const key of this.#keys) if (key !== 0) keys.push(key);
    return keys;
  }

  clear(): void {
    this.#keys = new Float64Array(slotsMin);
    this.#counts = new Uint32Array(slotsMin);
    this.#mask = slotsMin - 1;
    this.#size = 0;
  }

  /** The slot that holds the key, or the free slot where it would go. */
  #find(key: number): number {
    let slot = this.#home(key);
    for (;;) {
      const held = this.#keys[slot];
      if (held === key || held === 0) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #home(key: number): number {
    const high = Math.floor(key / 0x1_0000_0000);
    let mixed = Math.imul(key | 0, 0x9e3779b1) ^ Math.imul(high + 0x7f4a7c15, 0x85ebca6b);
    mixed ^= mixed >>> 15;
    return (Math.imul(mixed, 0x2c1b3c6d) >>> 7) & this.#mask;
  }

  #removeAt(at: number): void {
    let hole = at;
    let probe = at;
    for (;;) {
      probe = (probe + 1) & this.#mask;
      const key = this.#keys[probe] as number;
      if (key === 0) break;
      const distanceFromHome = (probe - this.#home(key)) & this.#mask;
      const distanceFromHole = (probe - hole) & this.#mask;
      if (distanceFromHome < distanceFromHole) continue;
      this.#keys[hole] = key;
      this.#counts[hole] = this.#counts[probe] as number;
      hole = probe;
    }
    this.#keys[hole] = 0;
    this.#counts[hole] = 0;
  }

  #resize(slots: number): void {
    const keys = this.#keys;
    const counts = this.#counts;
    this.#keys = new Float64Array(slots);
    this.#counts = new Uint32Array(slots);
    this.#mask = slots - 1;
    for (let from = 0; from < keys.length; from++) {
      const key = keys[from] as number;
      if (key === 0) continue;
      const slot = this.#find(key);
      this.#keys[slot] = key;
      this.#counts[slot] = counts[from] as number;
    }
  }
}
