/**
 * Pure reads of content for the server: where the bytes of a range are, and where data and holes begin.
 *
 * Inline data is the inode's own business: `locate` is for inodes with extents, `seek` answers for both.
 */
import type { InodeNumber } from "@cfs/core";
import type { ContentState } from "./state.ts";
import { piecesOf, visitExtents } from "./content/file-ranges.ts";
import type { Piece } from "./content/file-ranges.ts";
import type { Inode } from "./records.ts";

export type { Piece } from "./content/file-ranges.ts";

export const seekData = 3;
export const seekHole = 4;

/** The pieces of [offset, offset+length), in order and without a gap, up to the size of the file; empty past it. */
export function locate(content: ContentState, inode: Inode, offsetBytes: number, lengthBytes: number): Piece[] {
  const end = Math.min(offsetBytes + lengthBytes, inode.sizeBytes);
  return offsetBytes >= end ? [] : piecesOf(content, inode.ino, offsetBytes, end);
}

/**
 * SEEK_DATA (3) or SEEK_HOLE (4) of lseek(2); null is ENXIO. Reserved ranges are holes; the end of the file is one too.
 */
export function seek(content: ContentState, inode: Inode, offsetBytes: number, whence: number): number | null {
  if (offsetBytes < 0 || offsetBytes >= inode.sizeBytes) return null;
  return whence === seekData ? nextData(content, inode, offsetBytes) : nextHole(content, inode, offsetBytes);
}

/** How much of the range is reserved: what is written there takes space that was set aside for it. */
export function promisedBytes(content: ContentState, ino: InodeNumber, offsetBytes: number, lengthBytes: number): number {
  let bytes = 0;
  visitExtents(content, ino, offsetBytes, offsetBytes + lengthBytes, (_offset, extent) => {
    if (extent.source.kind === "reserved") bytes += extent.lengthBytes;
    return true;
  });
  return bytes;
}

function nextData(content: ContentState, inode: Inode, offsetBytes: number): number | null {
  if (!inode.hasExtents) return offsetBytes < inode.inlineBytes ? offsetBytes : null;
  let found: number | null = null;
  visitExtents(content, inode.ino, offsetBytes, inode.sizeBytes, (offset, extent) => {
    if (extent.source.kind === "reserved") return true;
    found = offset;
    return false;
  });
  return found;
}

function nextHole(content: ContentState, inode: Inode, offsetBytes: number): number {
  if (!inode.hasExtents) return Math.max(offsetBytes, inode.inlineBytes);
  let at = offsetBytes;
  visitExtents(content, inode.ino, offsetBytes, inode.sizeBytes, (offset, extent) => {
    if (offset > at || extent.source.kind === "reserved") return false;
    at = offset + extent.lengthBytes;
    return true;
  });
  return at;
}
