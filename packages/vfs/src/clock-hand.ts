/**
 * The hand of a clock cache (second chance): walks a Map round and round, in insertion order, entries added meanwhile included.
 *
 * Why not least recently used: moving an entry at every touch costs more than the touch; a mark on the record is free.
 */
export class ClockHand<T> {
  readonly #map: ReadonlyMap<unknown, T>;
  #at: Iterator<T>;

  constructor(map: ReadonlyMap<unknown, T>) {
    this.#map = map;
    this.#at = map.values();
  }

  /** Null only when the Map is empty. */
  next(): T | null {
    let step = this.#at.next();
    if (step.done === true) {
      this.#at = this.#map.values();
      step = this.#at.next();
    }
    return step.done === true ? null : step.value;
  }

  /**
   * Lets `evict` have entries until `isEnough`, two rounds at most, so that what was marked as used in the first is met again.
   * True when it was enough.
   */
  sweep(isEnough: () => boolean, evict: (entry: T) => void): boolean {
    for (let left = this.#map.size * 2; left > 0; left--) {
      if (isEnough()) return true;
      const entry = this.next();
      if (entry === null) break;
      evict(entry);
    }
    return isEnough();
  }
}
