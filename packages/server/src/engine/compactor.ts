/**
 * Copies what is still needed of segments to new ones, so that the old ones can go: of thin segments, and of those of an older layout (recoder.ts).
 *
 * Who needs it: the segment's own table says for each chunk where it was packed from, and most extents still are there. The chunk's count of
 * bytes (ChunkRecord.extentBytes) says whether those are all. When not, because copy_file_range shared it, a walk over all files looks for the rest
 * (reference-walk.ts) and the segment waits. Chunks are copied once for all references (moves.ts).
 *
 * Nothing depends on having found them all: a swap holds only where the extent is still the same, and a segment goes only when its count of references,
 * which the state machine keeps, is zero. So a crash, a write or a copy at any moment costs only that it is tried again.
 */
import { CfsError } from "@cfs/core";
import type { Clock, InodeNumber, Logger, SegmentId } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ExtentSource, KvState, Segment, ShardDriver } from "@cfs/metadata";
import { decodeOrigin, readSegmentTable } from "@cfs/storage";
import type { SegmentStore, SegmentTable } from "@cfs/storage";
import { planPieces, swapsOf } from "./moves.ts";
import type { MovedPiece, Reference } from "./moves.ts";
import { commitOwn } from "./own-command.ts";
import type { ReadPath } from "./read-path.ts";
import type { ReferenceWalk } from "./reference-walk.ts";
import { RestingSegments } from "./resting-segments.ts";
import type { Piece, SegmentWriter } from "./segment-writer.ts";

/** Of one call: they bound how long the caller waits. */
const segmentsMax = 8;
/** Of one new segment. */
const piecesMax = 1024;
const referencesMax = 4096;
/** Table entry, origin and gap of a piece, at most on the average. */
const pieceOverheadBytes = 512;

export interface CompactorParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly store: SegmentStore;
  readonly reads: ReadPath;
  readonly writer: SegmentWriter;
  readonly walk: ReferenceWalk;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What goes into the next segment. */
interface Load {
  readonly pieces: { readonly piece: MovedPiece; readonly bytes: Uint8Array }[];
  sizeBytes: number;
  references: number;
}

const emptyLoad = (): Load => ({ pieces: [], sizeBytes: 0, references: 0 });

export class Compactor {
  readonly #parts: CompactorParts;
  /** Those that were looked at: what moved is gone when they have rested, the rest may have changed. */
  readonly #resting: RestingSegments;
  #last: Promise<unknown> = Promise.resolve();
  segmentsCompacted = 0;
  bytesMoved = 0;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
    this.#resting = new RestingSegments(parts.clock);
  }

  /** Moves what lives of the first few that it can do something about; resolves with the bytes that were copied. One call at a time. */
  compact(segments: readonly Segment[]): Promise<number> {
    const work = this.#last.then(() => this.#compact(segments));
    this.#last = work.catch(() => undefined);
    return work;
  }

  async #compact(segments: readonly Segment[]): Promise<number> {
    const movedBefore = this.bytesMoved;
    let load = emptyLoad();
    let count = 0;
    for (const segment of segments) {
      if (count >= segmentsMax) break;
      if (this.#resting.has(segment.id) || this.#parts.walk.isWanted(segment.id)) continue;
      count++;
      const references = await this.#references(segment);
      if (references === "later") continue;
      this.#resting.add(segment.id);
      for (const group of byChunk(references)) load = await this.#add(load, group);
      if (references.length > 0) this.segmentsCompacted++;
    }
    await this.#flush(load);
    this.#parts.walk.wake();
    return this.bytesMoved - movedBefore;
  }

  /** All references as far as they are known; empty when nothing can be done for a while. */
  async #references(segment: Segment): Promise<readonly Reference[] | "later"> {
    const { walk, store, logger } = this.#parts;
    const walked = walk.take(segment.id);
    if (walked === null) logger.info("a segment is shared by too many extents to be moved", { segment: segment.id });
    if (walked !== undefined) return walked ?? [];
    try {
      const found = this.#atOrigins(segment.id, await readSegmentTable(store, segment));
      if (found) return found;
    } catch (reason) {
      logger.warn("a segment's table could not be read", { segment: segment.id, reason: CfsError.from(reason).message });
    }
    walk.want(segment.id);
    return "later";
  }

  /** The references at the places that the chunks were packed from; null when there are others. */
  #atOrigins(id: SegmentId, { pieces }: SegmentTable): Reference[] | null {
    const { state } = this.#parts;
    const segment = state.content.segment(id);
    const found: Reference[] = [];
    let chunkIndex = 0;
    for (const { origin, chunks } of pieces) {
      const { ino, offsetBytes } = decodeOrigin(origin);
      for (const { rawOffset, rawBytes } of chunks) {
        const known = segment?.chunks[chunkIndex];
        if (!known) return [];
        let bytes = 0;
        if (known.refs > 0) {
          for (const reference of referencesAt(state, ino as InodeNumber, offsetBytes + rawOffset, rawBytes, { id, chunkIndex })) {
            found.push(reference);
            bytes += reference.lengthBytes;
          }
        }
        if (bytes !== known.extentBytes) return null;
        chunkIndex++;
      }
    }
    return found;
  }

  /** Takes the pieces of one chunk in; what is full meanwhile goes to a segment of its own. */
  async #add(before: Load, references: readonly Reference[]): Promise<Load> {
    let load = before;
    const pieces = planPieces(references);
    const chunk = await this.#readPieces(pieces);
    for (const [index, piece] of pieces.entries()) {
      const sizeBytes = piece.lengthBytes + pieceOverheadBytes;
      const isFull =
        load.sizeBytes + sizeBytes > this.#parts.writer.rawBytesMax ||
        load.pieces.length >= piecesMax ||
        load.references + piece.references.length > referencesMax;
      if (isFull && load.pieces.length > 0) {
        await this.#flush(load);
        load = emptyLoad();
      }
      load.pieces.push({ piece, bytes: chunk[index] as Uint8Array });
      load.sizeBytes += sizeBytes;
      load.references += piece.references.length;
    }
    return load;
  }

  /** Copies, so that no buffer of the pool is held while others are waited for; a chunk is read once for all its pieces. */
  async #readPieces(pieces: readonly MovedPiece[]): Promise<Uint8Array[]> {
    const first = pieces[0] as MovedPiece;
    const last = pieces.at(-1) as MovedPiece;
    const { segment, chunkIndex, rawOffsetBytes } = first;
    const lengthBytes = last.rawOffsetBytes + last.lengthBytes - rawOffsetBytes;
    const range = await this.#parts.reads.readChunk({ kind: "chunk", segment, chunkIndex, rawOffsetBytes }, lengthBytes);
    try {
      const bytes = Buffer.concat(range.parts);
      return pieces.map((piece) => {
        const begin = piece.rawOffsetBytes - rawOffsetBytes;
        return Uint8Array.prototype.slice.call(bytes, begin, begin + piece.lengthBytes);
      });
    } finally {
      range.release();
    }
  }

  /** Writes a segment and lets all references point at it. */
  async #flush({ pieces }: Load): Promise<void> {
    if (pieces.length === 0) return;
    const { writer, driver } = this.#parts;
    const stored = await writer.write(
      pieces.map(({ piece: { lengthBytes, origin }, bytes }): Piece => ({ views: [bytes], lengthBytes, ...origin })),
    );
    const swaps = pieces.flatMap(({ piece }, index) => swapsOf(piece, stored.extents[index] ?? []));
    await commitOwn(driver, { type: "publish", segment: stored.segment, swaps }, `segment ${stored.segment.id} was not published`);
    for (const { piece } of pieces) this.bytesMoved += piece.lengthBytes;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#parts.walk.close();
  }
}

/** Extents of a range of a file that point at one chunk. */
function referencesAt(
  state: KvState,
  ino: InodeNumber,
  offsetBytes: number,
  lengthBytes: number,
  chunk: { readonly id: SegmentId; readonly chunkIndex: number },
): Reference[] {
  const inode = state.inode(ino);
  if (!inode?.hasExtents) return [];
  return locate(state.content, inode, offsetBytes, lengthBytes).flatMap((piece): Reference[] => {
    const { source } = piece;
    if (!isChunk(source) || source.segment !== chunk.id || source.chunkIndex !== chunk.chunkIndex) return [];
    return [{ ino, offsetBytes: piece.offsetBytes, lengthBytes: piece.lengthBytes, source }];
  });
}

function isChunk(source: ExtentSource | { readonly kind: "hole" }): source is ExtentSource & { readonly kind: "chunk" } {
  return source.kind === "chunk";
}

function byChunk(references: readonly Reference[]): Reference[][] {
  const groups = new Map<number, Reference[]>();
  for (const reference of references) {
    const group = groups.get(reference.source.chunkIndex);
    if (group) group.push(reference);
    else groups.set(reference.source.chunkIndex, [reference]);
  }
  return [...groups.values()];
}
