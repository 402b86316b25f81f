/**
 * What to copy of a segment so that every reference to it can point at the copy, and which swaps then do it. Pure: references in, plans out.
 *
 * References may overlap: copy_file_range shares chunks, whole or in part. Each byte that any reference needs is copied once, so what was shared stays
 * shared. A piece is the longest stretch that one reference covers (greedy interval cover), so its origin, kept in the new segment's table, is true.
 */
import type { InodeNumber, SegmentId } from "@cfs/core";
import type { ExtentSource, Swap } from "@cfs/metadata";
import type { PieceExtent } from "./segment-writer.ts";

export type ChunkSource = ExtentSource & { readonly kind: "chunk" };

/** A range of a file that points at a chunk. */
export interface Reference {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly source: ChunkSource;
}

/** Bytes of one chunk that are copied as one piece. */
export interface MovedPiece {
  readonly segment: SegmentId;
  readonly chunkIndex: number;
  readonly rawOffsetBytes: number;
  readonly lengthBytes: number;
  /** The file, and where in it, that has all of these bytes. */
  readonly origin: { readonly ino: InodeNumber; readonly offsetBytes: number };
  /** All references that need a part of it. */
  readonly references: readonly Reference[];
}

function endOf({ lengthBytes, source }: Reference): number {
  return source.rawOffsetBytes + lengthBytes;
}

/** The pieces of one chunk that all its references together need, in order. */
export function planPieces(references: readonly Reference[]): MovedPiece[] {
  const sorted = references.toSorted((a, b) => a.source.rawOffsetBytes - b.source.rawOffsetBytes);
  const pieces: (MovedPiece & { readonly references: Reference[] })[] = [];
  let planned = 0;
  for (let next = 0; next < sorted.length;) {
    let best = sorted[next] as Reference;
    const { segment, chunkIndex, rawOffsetBytes } = best.source;
    const begin = Math.max(planned, rawOffsetBytes);
    // Of those that cover `begin`, the one that goes furthest. None that was passed over before goes past `planned`.
    for (; next < sorted.length && (sorted[next] as Reference).source.rawOffsetBytes <= begin; next++) {
      if (endOf(sorted[next] as Reference) > endOf(best)) best = sorted[next] as Reference;
    }
    if (endOf(best) <= begin) continue;
    planned = endOf(best);
    const origin = { ino: best.ino, offsetBytes: best.offsetBytes + begin - best.source.rawOffsetBytes };
    pieces.push({ segment, chunkIndex, rawOffsetBytes: begin, lengthBytes: planned - begin, origin, references: [] });
  }
  let first = 0;
  for (const reference of sorted) {
    while (pieceEnd(pieces[first] as MovedPiece) <= reference.source.rawOffsetBytes) first++;
    for (let at = first; at < pieces.length && (pieces[at] as MovedPiece).rawOffsetBytes < endOf(reference); at++)
      pieces[at]?.references.push(reference);
  }
  return pieces;
}

function pieceEnd({ rawOffsetBytes, lengthBytes }: MovedPiece): number {
  return rawOffsetBytes + lengthBytes;
}

/** What makes all references of the piece point at its copy; `extents` is what the copy became. */
export function swapsOf(piece: MovedPiece, extents: readonly PieceExtent[]): Swap[] {
  return piece.references.flatMap((reference) => swapsOfOne(piece, reference, extents));
}

function swapsOfOne(piece: MovedPiece, reference: Reference, extents: readonly PieceExtent[]): Swap[] {
  const { ino, offsetBytes, source } = reference;
  const begin = Math.max(source.rawOffsetBytes, piece.rawOffsetBytes);
  const end = Math.min(endOf(reference), pieceEnd(piece));
  const swaps: Swap[] = [];
  let at = piece.rawOffsetBytes;
  for (const extent of extents) {
    const from = Math.max(begin, at);
    const to = Math.min(end, at + extent.lengthBytes);
    if (from < to && extent.source.kind === "chunk") {
      swaps.push({
        ino,
        offsetBytes: offsetBytes + from - source.rawOffsetBytes,
        lengthBytes: to - from,
        from: { ...source, rawOffsetBytes: from },
        to: { ...extent.source, rawOffsetBytes: extent.source.rawOffsetBytes + from - at },
      });
    }
    at += extent.lengthBytes;
  }
  return swaps;
}
