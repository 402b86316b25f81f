/**
 * The hand of a clock cache (second chance): walks a Map round and round, in insertion order, entries added meanwhile included.
 *
 * Why not least recently used: moving an entry at every touch costs more than the touch; a mark on the record is free.
 */
/** Past this share of its budget a cache evicts what is in use, too. */
export const overflowShare = 1.5;

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
   * Lets `evict` have entries until `isEnough`, one round at most. True when it was enough.
   *
   * Why one round: what is used at its beginning loses its mark and nothing more, so a step that fetched a record finds it when it
   * runs again, however full the cache is of what cannot go.
   */
  sweep(isEnough: () => boolean, evict: (entry: T) => void): boolean {
    for (let left = this.#map.size; left > 0; left--) {
      if (isEnough()) return true;
      const entry = this.next();
      if (entry === null) break;
      evict(entry);
    }
    return isEnough();
  }
}
