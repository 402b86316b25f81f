/**
 * Which inode numbers are surely in no use, without asking the store: those above all that were taken of a range granted since this process began.
 *
 * Ranges are granted once and never again (superblock.nextInodeCount), and clients take their numbers in rising order. Who does not is asked for by
 * the store, as are ranges that were granted earlier. So the answer never differs from the store's; it is only faster.
 */
import { slotCount } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";

/** More clients than this take numbers at a time: the oldest range is forgotten. */
const rangesMax = 256;

interface Range {
  readonly begin: number;
  readonly end: number;
  /** The highest number taken; 0 for none. */
  highest: number;
}

export class FreshInodes {
  #ranges: Range[] = [];

  /** Inode counts `begin` to below `end` were granted just now. */
  granted(begin: number, end: number): void {
    this.#ranges.push({ begin, end, highest: 0 });
    if (this.#ranges.length > rangesMax) this.#ranges.shift();
  }

  /** True when the number is surely in no use; it counts as taken from then on. */
  take(ino: InodeNumber): boolean {
    const count = Math.floor(ino / slotCount);
    const range = this.#ranges.findLast(({ begin, end }) => count >= begin && count < end);
    if (range === undefined || ino <= range.highest) return false;
    range.highest = ino;
    return true;
  }
}
