/**
 * The cookies of all names that a large directory may hold, in one typed array: what is not in it does not exist.
 *
 * A directory made here and grown past the name budget loses names from memory; with their cookies kept (16 bytes a name at most) a new
 * name is still known to be new, and creating a million files in one directory needs no round trip per file.
 * Invariant: holds the cookie of every name that exists. Cookies of removed names stay, since two names may share one: then the answer
 * is "perhaps", and the server is asked. Open addressing, cookie 0 means free, at most 3/4 of the slots in use.
 */
const slotsMin = 4096;
/** 32 MiB: above it the directory goes without. */
const slotsMax: number = 1 << 22;

export class CookieSet {
  #slots: Float64Array;
  #mask: number;
  #size = 0;

  /** Null when there are too many. */
  static of(cookies: Iterable<number>, count: number): CookieSet | null {
    let slots = slotsMin;
    while (slots * 3 < count * 4 * 1.5) slots *= 2;
    if (slots > slotsMax) return null;
    const set = new CookieSet(slots);
    for (const cookie of cookies) set.add(cookie);
    return set;
  }

  private constructor(slots: number) {
    this.#slots = new Float64Array(slots);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  has(cookie: number): boolean {
    return this.#slots[this.#find(cookie)] === cookie;
  }

  /** False when there is no room any more: the set is of no use then. */
  add(cookie: number): boolean {
    const slot = this.#find(cookie);
    if (this.#slots[slot] === cookie) return true;
    this.#slots[slot] = cookie;
    this.#size++;
    return this.#size * 4 <= (this.#mask + 1) * 3 || this.#grow();
  }

  /** Cookies are hashes already: their low bits are as good as any. */
  #find(cookie: number): number {
    let slot = cookie % (this.#mask + 1);
    for (;;) {
      const held = this.#slots[slot];
      if (held === cookie || held === 0) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): boolean {
    const old = this.#slots;
    if (old.length * 2 > slotsMax) return false;
    this.#slots = new Float64Array(old.length * 2);
    this.#mask = this.#slots.length - 1;
    for (const cookie of old) if (cookie !== 0) this.#slots[this.#find(cookie)] = cookie;
    return true;
  }
}
