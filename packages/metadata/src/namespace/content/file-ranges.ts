/**
 * Ranges of a file's content across regions: replace, drop, reserve, look.
 *
 * Invariant: only regions that exist are visited, through the runs, except where bytes come in; so a hole of any size costs nothing.
 */
import type { InodeNumber } from "@cfs/core";
import { regionBytes } from "../records.ts";
import type { Extent, ExtentSource, Region } from "../records.ts";
import type { ContentState } from "../state.ts";
import type { Accounts } from "./accounting.ts";
import { cutExtent, extentEnd, firstEndingAfter, reservedSource, shiftSource, spliceExtents } from "./extents.ts";

/** A stretch of a file: where its bytes are, or that there are none. */
export interface Piece {
  /** From the start of the file. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly source: ExtentSource | { readonly kind: "hole" };
}

/** Existing region numbers in [begin, end), as a copy: the caller may change regions while it goes over them. */
export function regionsBetween(content: ContentState, ino: InodeNumber, begin: number, end: number): number[] {
  const found: number[] = [];
  const runs = content.runs(ino)?.runs ?? [];
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((runs[middle] as { end: number }).end > begin) high = middle;
    else low = middle + 1;
  }
  for (let at = low; at < runs.length; at++) {
    const run = runs[at] as { begin: number; end: number };
    if (run.begin >= end) break;
    for (let index = Math.max(run.begin, begin); index < Math.min(run.end, end); index++) found.push(index);
  }
  return found;
}

function spliceRegion(
  content: ContentState,
  accounts: Accounts,
  ino: InodeNumber,
  index: number,
  begin: number,
  end: number,
  source: ExtentSource | null,
): void {
  const known = content.region(ino, index);
  if (known === null && source === null) return;
  const region: Region = known ?? { extents: [] };
  content.setRegion(ino, index, region);
  spliceExtents(region.extents, begin, end, source, accounts);
  if (region.extents.length === 0) content.setRegion(ino, index, null);
}

/** Calls `each` with every region number that [begin, end) touches and the part inside it. */
function eachRegion(begin: number, end: number, each: (index: number, from: number, to: number, fileOffset: number) => void): void {
  for (let at = begin; at < end;) {
    const index = Math.floor(at / regionBytes);
    const base = index * regionBytes;
    const stop = Math.min(end, base + regionBytes);
    each(index, at - base, stop - base, at);
    at = stop;
  }
}

/** [begin, end) now comes from `source`. */
export function placeRange(
  content: ContentState,
  accounts: Accounts,
  ino: InodeNumber,
  begin: number,
  end: number,
  source: ExtentSource,
): void {
  eachRegion(begin, end, (index, from, to, at) => spliceRegion(content, accounts, ino, index, from, to, shiftSource(source, at - begin)));
}

/** [begin, end) becomes a hole. */
export function punchRange(content: ContentState, accounts: Accounts, ino: InodeNumber, begin: number, end: number): void {
  if (begin >= end) return;
  for (const index of regionsBetween(content, ino, Math.floor(begin / regionBytes), Math.ceil(end / regionBytes))) {
    const base = index * regionBytes;
    spliceRegion(content, accounts, ino, index, Math.max(begin - base, 0), Math.min(end - base, regionBytes), null);
  }
}

/** Everything from `begin` on becomes a hole. */
export function dropFrom(content: ContentState, accounts: Accounts, ino: InodeNumber, begin: number): void {
  punchRange(content, accounts, ino, begin, regionBytes * 0x1_0000_0000);
}

/** Drops up to `max` regions, the last ones first; returns whether none are left. */
export function dropRegions(content: ContentState, accounts: Accounts, ino: InodeNumber, max: number): boolean {
  for (let count = 0; count < max; count++) {
    const run = content.runs(ino)?.runs.at(-1);
    if (run === undefined) return true;
    const index = run.end - 1;
    for (const extent of content.region(ino, index)?.extents ?? []) accounts.release(extent.source, extent.lengthBytes);
    content.setRegion(ino, index, null);
  }
  return (content.runs(ino)?.runs.length ?? 0) === 0;
}

/** Holes in [begin, end) become reserved; what holds data or is reserved stays. */
export function reserveHoles(content: ContentState, accounts: Accounts, ino: InodeNumber, begin: number, end: number): void {
  eachRegion(begin, end, (index, from, to) => {
    const extents = content.region(ino, index)?.extents ?? [];
    const gaps: { from: number; to: number }[] = [];
    let at = from;
    for (let next = firstEndingAfter(extents, from); next < extents.length && at < to; next++) {
      const extent = extents[next] as Extent;
      if (extent.offsetBytes > at) gaps.push({ from: at, to: Math.min(extent.offsetBytes, to) });
      at = extentEnd(extent);
    }
    if (at < to) gaps.push({ from: at, to });
    for (const gap of gaps) spliceRegion(content, accounts, ino, index, gap.from, gap.to, reservedSource);
  });
}

/** Every extent that overlaps [begin, end), cut to it, in file order, until `visit` returns false. */
export function visitExtents(
  content: ContentState,
  ino: InodeNumber,
  begin: number,
  end: number,
  visit: (offset: number, extent: Extent) => boolean,
): void {
  for (const index of regionsBetween(content, ino, Math.floor(begin / regionBytes), Math.ceil(end / regionBytes))) {
    const base = index * regionBytes;
    const extents = content.region(ino, index)?.extents ?? [];
    for (let next = firstEndingAfter(extents, begin - base); next < extents.length; next++) {
      const extent = extents[next] as Extent;
      if (base + extent.offsetBytes >= end) return;
      const cut = cutExtent(extent, begin - base, end - base);
      if (!visit(base + cut.offsetBytes, cut)) return;
    }
  }
}

/** All of [begin, end) in order, without a gap; holes are pieces too. */
export function piecesOf(content: ContentState, ino: InodeNumber, begin: number, end: number): Piece[] {
  const pieces: Piece[] = [];
  let at = begin;
  visitExtents(content, ino, begin, end, (offsetBytes, { lengthBytes, source }) => {
    if (offsetBytes > at) pieces.push({ offsetBytes: at, lengthBytes: offsetBytes - at, source: { kind: "hole" } });
    pieces.push({ offsetBytes, lengthBytes, source });
    at = offsetBytes + lengthBytes;
    return true;
  });
  if (at < end) pieces.push({ offsetBytes: at, lengthBytes: end - at, source: { kind: "hole" } });
  return pieces;
}
