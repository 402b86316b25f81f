/** What is to happen, earliest first; at the same time in the order of entry, so that a run is the same every time. A binary heap. */
import { assert } from "@cfs/core";

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

export class EventHeap {
  readonly #entries: Entry[] = [];
  #order = 0;

  get nextMs(): number | null {
    return this.#entries[0]?.atMs ?? null;
  }

  push(atMs: number, action: () => void): void {
    const entry = { atMs, order: this.#order++, action };
    const entries = this.#entries;
    let at = entries.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = entries[above] as Entry;
      if (isBefore(parent, entry)) break;
      entries[at] = parent;
      at = above;
    }
    entries[at] = entry;
  }

  pop(): Entry {
    const entries = this.#entries;
    const first = entries[0];
    const last = entries.pop();
    assert(first !== undefined && last !== undefined, "the heap has an entry");
    const count = entries.length;
    if (count === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= count) break;
      if (below + 1 < count && isBefore(entries[below + 1] as Entry, entries[below] as Entry)) below++;
      if (isBefore(last, entries[below] as Entry)) break;
      entries[at] = entries[below] as Entry;
      at = below;
    }
    entries[at] = last;
    return first;
  }
}
