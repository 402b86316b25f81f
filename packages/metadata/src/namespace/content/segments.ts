/**
 * Segments come (writeSegment, publish), move (relocate) and go (dropSegment).
 *
 * Invariants: a segment's record appears in the same command as the extents that point at it; a drive holds at most one of its fragments.
 * publish swaps a range only where the file still has the very bytes that were packed; what was overwritten meanwhile stays as it is.
 */
import type { ErrorCode, InodeNumber } from "@cfs/core";
import type { DropSegment, NewSegment, Publish, Relocate, Swap } from "../commands.ts";
import { lessen, sums } from "../counters.ts";
import { done, fail } from "../outcome.ts";
import type { ExtentSource, FragmentPlace, Segment, Usage } from "../records.ts";
import type { ContentState, Outcome, State } from "../state.ts";
import { Accounts, isCandidate, storedBytesOf } from "./accounting.ts";
import { isSourceAt, shiftSource } from "./extents.ts";
import { placeRange, visitExtents } from "./file-ranges.ts";

/** What a fragment takes on its drive beside its payload. */
export const fragmentHeaderBytes = 4096;
const fileEndMax: number = 2 ** 52;
const fragmentUnitBytes = 4096;

type ChunkSizes = readonly { readonly rawBytes: number }[];

/** Do these bytes lie inside a chunk of the table? */
function isInChunk(chunks: ChunkSizes, source: ExtentSource & { readonly kind: "chunk" }, lengthBytes: number): boolean {
  const chunk = chunks[source.chunkIndex];
  return chunk !== undefined && source.rawOffsetBytes + lengthBytes <= chunk.rawBytes;
}

/** May an extent of a write point there? `added` is the segment that comes with the same command. */
export function isPlaceable(
  content: ContentState,
  extent: { readonly lengthBytes: number; readonly source: ExtentSource },
  added: NewSegment | null = null,
): boolean {
  const { source, lengthBytes } = extent;
  if (lengthBytes <= 0 || source.kind === "reserved") return false;
  if (source.kind === "journal") return true;
  const chunks = added?.id === source.segment ? added.chunks : content.segment(source.segment)?.chunks;
  return chunks !== undefined && isInChunk(chunks, source, lengthBytes);
}

function isGoodPlace(content: ContentState, place: FragmentPlace): boolean {
  const drives = content.superblock()?.drives ?? [];
  return place.drive < drives.length && place.offsetBytes % fragmentUnitBytes === 0;
}

export function segmentError(content: ContentState, segment: NewSegment): ErrorCode | null {
  const { k, m, places, chunks, fragmentBytes, segmentBytes } = segment;
  if (content.superblock() === null || segment.id < 1) return "INVALID";
  if (content.segment(segment.id) !== null) return "EXISTS";
  const isShapeGood =
    k >= 1 && places.length === k + m && fragmentBytes > 0 && fragmentBytes % fragmentUnitBytes === 0 && segmentBytes <= k * fragmentBytes;
  const arePlacesGood =
    places.every((place) => isGoodPlace(content, place)) && new Set(places.map(({ drive }) => drive)).size === places.length;
  const areChunksGood = chunks.every((chunk) => chunk.rawBytes > 0 && chunk.storedOffsetBytes + chunk.storedBytes <= segmentBytes);
  return isShapeGood && arePlacesGood && areChunksGood ? null : "INVALID";
}

/** An extent that is to point into a new segment. */
export interface NewReference {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly source: ExtentSource;
}

/** Does every chunk lie at one place of one file? Then that is where the segment's table says, and extents never move within a file. */
function hasOneHomeEach(references: Iterable<NewReference>): boolean {
  const homes = new Map<number, { readonly ino: InodeNumber; readonly beginBytes: number }>();
  for (const { ino, offsetBytes, source } of references) {
    if (source.kind !== "chunk") continue;
    const beginBytes = offsetBytes - source.rawOffsetBytes;
    const home = homes.get(source.chunkIndex);
    if (home === undefined) homes.set(source.chunkIndex, { ino, beginBytes });
    else if (home.ino !== ino || home.beginBytes !== beginBytes) return false;
  }
  return true;
}

/** Without references yet, so it is a candidate until the extents of the same command, `references`, point at it. */
export function addSegment(content: ContentState, added: NewSegment, references: Iterable<NewReference>): void {
  const { id, k, m, fragmentBytes, segmentBytes } = added;
  const chunks = added.chunks.map((chunk) => ({ ...chunk, refs: 0, extentBytes: 0 }));
  const places = added.places.slice();
  const isShared = !hasOneHomeEach(references);
  const segment: Segment = { id, generation: 1, k, m, fragmentBytes, segmentBytes, places, chunks, liveBytes: 0, isShared };
  content.setSegment(id, segment);
  content.setCandidate(id, true);
  countSegment(content, segment, 1);
  const superblock = content.superblock();
  if (superblock !== null && superblock.nextSegment <= id) {
    content.setSuperblock(superblock);
    superblock.nextSegment = id + 1;
  }
}

function countSegment(content: ContentState, segment: Segment, sign: 1 | -1): void {
  const usage = content.usage();
  content.setUsage(usage);
  const add = (name: keyof Usage, count: number): void => {
    usage[name] = lessen(content, usage[name], -sign * count, sums[name]);
  };
  add("segments", 1);
  add("segmentStoredBytes", storedBytesOf(segment));
  add("fragmentBytes", (segment.k + segment.m) * (segment.fragmentBytes + fragmentHeaderBytes));
}

function swapError(content: ContentState, swap: Swap, added: NewSegment): ErrorCode | null {
  const isRangeGood = swap.lengthBytes > 0 && swap.offsetBytes + swap.lengthBytes <= fileEndMax;
  const isGood =
    isRangeGood && swap.from.kind !== "reserved" && isPlaceable(content, { lengthBytes: swap.lengthBytes, source: swap.to }, added);
  return isGood ? null : "INVALID";
}

/** Every stretch of the swap's range that still comes from `from` comes from `to`. */
function applySwap(content: ContentState, accounts: Accounts, swap: Swap): void {
  const current: { begin: number; end: number }[] = [];
  visitExtents(content, swap.ino, swap.offsetBytes, swap.offsetBytes + swap.lengthBytes, (offset, extent) => {
    if (isSourceAt(swap.from, offset - swap.offsetBytes, extent.source)) current.push({ begin: offset, end: offset + extent.lengthBytes });
    return true;
  });
  for (const { begin, end } of current) placeRange(content, accounts, swap.ino, begin, end, shiftSource(swap.to, begin - swap.offsetBytes));
}

export function publish(state: State, command: Publish): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  let error = segmentError(content, command.segment);
  for (const swap of command.swaps) error ??= swapError(content, swap, command.segment);
  if (error !== null) return fail(error);
  addSegment(
    content,
    command.segment,
    command.swaps.map(({ ino, offsetBytes, to }) => ({ ino, offsetBytes, source: to })),
  );
  const accounts = new Accounts(content);
  for (const swap of command.swaps) applySwap(content, accounts, swap);
  accounts.finish(null);
  return done;
}

function isSamePlace(a: FragmentPlace, b: FragmentPlace): boolean {
  return a.drive === b.drive && a.container === b.container && a.offsetBytes === b.offsetBytes;
}

/**
 * Only when the fragment is still where the sender believed it, or a newer move would be undone; never to a drive that holds another fragment of
 * the segment (BUSY), or both would be lost together.
 */
export function relocate(state: State, command: Relocate): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  const segment = content.segment(command.segment);
  if (segment === null) return fail("NOT_FOUND");
  const place = segment.places[command.fragment];
  if (place === undefined || !isGoodPlace(content, command.to)) return fail("INVALID");
  if (!isSamePlace(place, command.from)) return fail("STALE_HANDLE");
  if (segment.places.some(({ drive }, other) => other !== command.fragment && drive === command.to.drive)) return fail("BUSY");
  content.setSegment(segment.id, segment);
  segment.places[command.fragment] = { ...command.to };
  return done;
}

export function dropSegment(state: State, command: DropSegment): Outcome {
  const { content } = state;
  if (content === null) return fail("INVALID");
  const segment = content.segment(command.segment);
  if (segment === null) return fail("NOT_FOUND");
  if (segment.liveBytes > 0 || segment.chunks.some((chunk) => chunk.refs > 0)) return fail("BUSY");
  if (isCandidate(segment.liveBytes, storedBytesOf(segment))) content.setCandidate(segment.id, false);
  countSegment(content, segment, -1);
  content.setSegment(segment.id, null);
  return done;
}
