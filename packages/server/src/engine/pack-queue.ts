/**
 * What lies in the journal and waits to be packed, oldest first.
 *
 * Every place in a file that comes to point into the journal is listed: written there, or shared by copy_file_range, or found at start by a walk over all extents. The
 * packer finds out which of them still count.
 */
import type { InodeNumber } from "@cfs/core";
import type { Piece } from "@cfs/metadata";

export interface PackItem {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly fileId: number;
  readonly recordOffsetBytes: number;
}

export class PackQueue {
  #items: PackItem[] = [];
  #begin = 0;
  #bytes = 0;
  /** Hears that something was added. */
  onAdded: (() => void) | null = null;

  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#items.length - this.#begin;
  }

  add(item: PackItem): void {
    this.#items.push(item);
    this.#bytes += item.lengthBytes;
    this.onAdded?.();
  }

  /** What lies in the journal of a range of a file. */
  addPlaced(ino: InodeNumber, pieces: Iterable<Piece>): void {
    for (const { offsetBytes, lengthBytes, source } of pieces) {
      if (source.kind !== "journal") continue;
      const { fileId, recordOffsetBytes } = source;
      this.add({ ino, offsetBytes, lengthBytes, fileId, recordOffsetBytes });
    }
  }

  /**
   * Takes items from the front until they hold `bytesMax` bytes or `countMax` items; at least one. `overheadBytes` is counted for each item:
   * a piece may need a gap in front of it and a place in the segment's table.
   */
  take(bytesMax: number, countMax: number, overheadBytes: number): PackItem[] {
    const taken: PackItem[] = [];
    let bytes = 0;
    let spaceBytes = 0;
    while (this.#begin < this.#items.length && taken.length < countMax) {
      const item = this.#items[this.#begin] as PackItem;
      if (taken.length > 0 && spaceBytes + item.lengthBytes + overheadBytes > bytesMax) break;
      taken.push(item);
      spaceBytes += item.lengthBytes + overheadBytes;
      bytes += item.lengthBytes;
      this.#begin++;
    }
    this.#bytes -= bytes;
    if (this.#begin > 4096 && this.#begin * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#begin);
      this.#begin = 0;
    }
    return taken;
  }

  /** Puts items back in front: their packing failed and is tried again. */
  putBack(items: readonly PackItem[]): void {
    this.#items = [...items, ...this.#items.slice(this.#begin)];
    this.#begin = 0;
    for (const item of items) this.#bytes += item.lengthBytes;
  }
}
