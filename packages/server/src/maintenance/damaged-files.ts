/**
 * From damaged segments to the files that lie in them.
 *
 * A segment's own table says whose bytes it was packed from; where the table is lost too, all extents are searched for it. The numbers become
 * paths in one search for all (paths.ts).
 */
import { CfsError } from "@cfs/core";
import type { InodeNumber, SegmentId } from "@cfs/core";
import { listRegions, locate } from "@cfs/metadata";
import type { KvState, ListedRegion, Segment } from "@cfs/metadata";
import { decodeOrigin, readSegmentTable } from "@cfs/storage";
import type { MirroredKv, SegmentStore } from "@cfs/storage";
import { findPaths, inodesMax } from "./paths.ts";

/** Files named for one segment. */
const filesShown = 20;

export interface DamagedFilesParts {
  readonly state: KvState;
  readonly store: Pick<MirroredKv, "snapshot">;
  readonly segments: SegmentStore;
}

/** For each segment, the files in it: a path, or "inode N" where it has no name. */
export async function filesIn(
  parts: DamagedFilesParts,
  segments: readonly Segment[],
  signal: AbortSignal,
): Promise<Map<SegmentId, string[]>> {
  const inodes = new Map<SegmentId, Set<InodeNumber>>();
  const withoutTable = new Set<SegmentId>();
  for (const segment of segments) {
    signal.throwIfAborted();
    const found = await inodesByTable(parts, segment);
    if (found === null) withoutTable.add(segment.id);
    else inodes.set(segment.id, found);
  }
  if (withoutTable.size > 0) await searchExtents(parts.state, withoutTable, inodes, signal);
  const wanted = new Set<InodeNumber>();
  for (const numbers of inodes.values()) for (const ino of numbers) if (wanted.size < inodesMax) wanted.add(ino);
  if (wanted.size === 0) return new Map();
  await using snapshot = await parts.store.snapshot();
  const paths = await findPaths(snapshot, wanted, signal);
  return new Map([...inodes].map(([id, numbers]) => [id, [...numbers].map((ino) => paths.get(ino) ?? `inode ${ino}`).toSorted()]));
}

/** Inodes that still point at the segment where its table says they do; null when the table cannot be read. */
async function inodesByTable({ state, segments }: DamagedFilesParts, segment: Segment): Promise<Set<InodeNumber> | null> {
  const table = await readSegmentTable(segments, segment).catch((reason: unknown) => {
    const { code } = CfsError.from(reason);
    if (code === "NO_MEMORY") throw reason;
    return null;
  });
  if (table === null) return null;
  const found = new Set<InodeNumber>();
  for (const { origin, chunks } of table.pieces) {
    const { ino, offsetBytes } = decodeOrigin(origin);
    const inode = state.inode(ino as InodeNumber);
    if (!inode?.hasExtents || found.has(inode.ino)) continue;
    const isThere = chunks.some(({ rawOffset, rawBytes }) =>
      locate(state.content, inode, offsetBytes + rawOffset, rawBytes).some(
        ({ source }) => source.kind === "chunk" && source.segment === segment.id,
      ),
    );
    if (isThere) found.add(inode.ino);
  }
  return found;
}

async function searchExtents(
  state: KvState,
  wanted: ReadonlySet<SegmentId>,
  inodes: Map<SegmentId, Set<InodeNumber>>,
  signal: AbortSignal,
): Promise<void> {
  for (let after: Pick<ListedRegion, "ino" | "index"> | null = null; ;) {
    signal.throwIfAborted();
    const page: readonly ListedRegion[] = await listRegions(state, after, 1_000);
    for (const { ino, region } of page) {
      for (const { source } of region.extents) {
        if (source.kind !== "chunk" || !wanted.has(source.segment)) continue;
        const numbers = inodes.get(source.segment) ?? new Set();
        inodes.set(source.segment, numbers.add(ino));
      }
    }
    const last: ListedRegion | undefined = page.at(-1);
    if (page.length < 1_000 || last === undefined) return;
    after = last;
  }
}

/** The end of a finding about a segment: whose bytes lie there. */
export function heldFiles(files: readonly string[] = []): string {
  if (files.length === 0) return "";
  const more = files.length - filesShown;
  return `; holds parts of ${files.slice(0, filesShown).join(", ")}${more > 0 ? ` and ${more} more files` : ""}`;
}
