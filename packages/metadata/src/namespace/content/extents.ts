/**
 * The algebra of extents inside one region: shifting, joining, and putting one range in the place of whatever was there.
 *
 * Invariant: a region's extents are sorted, non-empty, disjoint, and inside [0, regionBytes). Neighbours that continue each other
 * are one extent, at least where a splice made them neighbours.
 */
import type { Extent, ExtentSource } from "../records.ts";
import type { Accounts } from "./accounting.ts";

export const reservedSource: ExtentSource = Object.freeze({ kind: "reserved" });

/** The source of what lies `deltaBytes` further on. */
export function shiftSource(source: ExtentSource, deltaBytes: number): ExtentSource {
  if (deltaBytes === 0 || source.kind === "reserved") return source;
  if (source.kind === "journal") return { ...source, payloadOffsetBytes: source.payloadOffsetBytes + deltaBytes };
  return { ...source, rawOffsetBytes: source.rawOffsetBytes + deltaBytes };
}

/** Is `b` where `a` goes on after `deltaBytes`? */
export function isSourceAt(a: ExtentSource, deltaBytes: number, b: ExtentSource): boolean {
  if (a.kind === "journal") {
    return (
      b.kind === "journal" &&
      a.fileId === b.fileId &&
      a.recordOffsetBytes === b.recordOffsetBytes &&
      a.payloadOffsetBytes + deltaBytes === b.payloadOffsetBytes
    );
  }
  if (a.kind === "chunk") {
    return (
      b.kind === "chunk" && a.segment === b.segment && a.chunkIndex === b.chunkIndex && a.rawOffsetBytes + deltaBytes === b.rawOffsetBytes
    );
  }
  return b.kind === "reserved";
}

export function extentEnd(extent: Extent): number {
  return extent.offsetBytes + extent.lengthBytes;
}

/** The part of an extent inside [begin, end), which must overlap it. */
export function cutExtent(extent: Extent, begin: number, end: number): Extent {
  const from = Math.max(begin, extent.offsetBytes);
  const to = Math.min(end, extentEnd(extent));
  return { offsetBytes: from, lengthBytes: to - from, source: shiftSource(extent.source, from - extent.offsetBytes) };
}

/** Index of the first extent that ends after `offset`. */
export function firstEndingAfter(extents: readonly Extent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (extentEnd(extents[middle] as Extent) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

function isContinued(a: Extent, b: Extent): boolean {
  return extentEnd(a) === b.offsetBytes && isSourceAt(a.source, a.lengthBytes, b.source);
}

function join(a: Extent, b: Extent): Extent {
  return { offsetBytes: a.offsetBytes, lengthBytes: a.lengthBytes + b.lengthBytes, source: a.source };
}

/**
 * Puts `source` (null: nothing) in the place of [begin, end), in the list itself.
 * Acquires before it releases, so that a chunk that only changes hands never looks dead.
 */
export function spliceExtents(extents: Extent[], begin: number, end: number, source: ExtentSource | null, accounts: Accounts): void {
  let first = firstEndingAfter(extents, begin);
  let last = first;
  while (last < extents.length && (extents[last] as Extent).offsetBytes < end) last++;
  if (source === null && first === last) return;
  const pieces: Extent[] = [];
  const before = first < last ? (extents[first] as Extent) : null;
  if (before !== null && before.offsetBytes < begin) pieces.push(cutExtent(before, before.offsetBytes, begin));
  if (source !== null) pieces.push({ offsetBytes: begin, lengthBytes: end - begin, source });
  const after = first < last ? (extents[last - 1] as Extent) : null;
  if (after !== null && extentEnd(after) > end) pieces.push(cutExtent(after, end, extentEnd(after)));
  // Neighbours that the new pieces continue are taken in.
  const left = extents[first - 1];
  const right = extents[last];
  if (left !== undefined && pieces.length > 0 && isContinued(left, pieces[0] as Extent)) {
    pieces.unshift(left);
    first -= 1;
  }
  if (right !== undefined && pieces.length > 0 && isContinued(pieces.at(-1) as Extent, right)) {
    pieces.push(right);
    last += 1;
  }
  const joined = joinAll(pieces);
  for (const piece of joined) accounts.acquire(piece.source, piece.lengthBytes);
  for (let index = first; index < last; index++) {
    const gone = extents[index] as Extent;
    accounts.release(gone.source, gone.lengthBytes);
  }
  extents.splice(first, last - first, ...joined);
}

function joinAll(pieces: readonly Extent[]): Extent[] {
  const joined: Extent[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (last !== undefined && isContinued(last, piece)) joined[joined.length - 1] = join(last, piece);
    else joined.push(piece);
  }
  return joined;
}
