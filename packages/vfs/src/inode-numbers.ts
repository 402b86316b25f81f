/**
 * New inode numbers from the ranges that the server grants, so that creating needs no round trip.
 *
 * Invariant: a number is given out at most once: `peek` shows the next one, `take` uses it up after the command was applied.
 * Slots (core/brand.ts): a file gets the slot of its parent, so that both live in one shard; a directory gets a slot by a
 * hash of the count, so that directories spread. A new range is asked for when less than half of the last one is left.
 */
import { inodeNumber, slotCount, slotOf } from "@cfs/core";
import type { InodeNumber, Logger } from "@cfs/core";
import type { FileKind } from "@cfs/metadata";
import type { Remote } from "./remote.ts";

interface Range {
  next: number;
  readonly end: number;
}

export class InodeNumbers {
  readonly #remote: Remote;
  readonly #logger: Logger;
  #ranges: Range[] = [];
  #left = 0;
  #lastRangeCount = 0;
  #refill: Promise<void> | null = null;
  #epoch = 0;

  constructor(parts: { readonly remote: Remote; readonly logger: Logger }) {
    this.#remote = parts.remote;
    this.#logger = parts.logger;
  }

  get isEmpty(): boolean {
    return this.#left === 0;
  }

  /** The number for the next new node; not used up yet. There must be one. */
  peek(kind: FileKind, parent: InodeNumber): InodeNumber {
    const range = this.#ranges[0] as Range;
    return inodeNumber(range.next, kind === "directory" ? spreadSlot(range.next) : slotOf(parent));
  }

  take(): void {
    const range = this.#ranges[0] as Range;
    range.next++;
    this.#left--;
    if (range.next === range.end) this.#ranges.shift();
    if (this.#left * 2 < this.#lastRangeCount && this.#refill === null) {
      this.refill().catch((reason: unknown) => {
        this.#logger.warn("no new inode numbers yet", { reason: String(reason) });
      });
    }
  }

  /** Resolves when another range is here. */
  refill(): Promise<void> {
    this.#refill ??= this.#fetch(this.#epoch);
    return this.#refill;
  }

  /** The ranges of a lost session are void. */
  reset(): void {
    this.#epoch++;
    this.#ranges = [];
    this.#left = 0;
    this.#refill = null;
  }

  async #fetch(epoch: number): Promise<void> {
    try {
      const { begin, end } = await this.#remote.takeGrant();
      if (epoch !== this.#epoch || end <= begin) return;
      this.#ranges.push({ next: begin, end });
      this.#left += end - begin;
      this.#lastRangeCount = end - begin;
    } finally {
      if (epoch === this.#epoch) this.#refill = null;
    }
  }
}

function spreadSlot(count: number): number {
  let mixed = Math.imul((count % 0x1_0000_0000) | 0, 0x9e3779b1);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x85ebca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0) % slotCount;
}
