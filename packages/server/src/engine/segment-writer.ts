/**
 * From pieces of files to a segment on the drives: pack (native), choose k+m, write, and describe it for the log.
 *
 * Used by the three that make segments: large writes, the packer, the compactor. What it returns is not yet known to anyone: the caller logs it.
 * If the caller does not (a crash), the fragments are unreferenced and the sweep at the next start gives their space back.
 */
import { CfsError } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import type { ExtentSource, NewSegment } from "@cfs/metadata";
import type { BufferPool, SegmentPacker, SegmentStore } from "@cfs/storage";

/** Raw bytes that go into one segment at most; its chunk table comes on top. */
export const segmentRawBytesMax: number = 2 << 20;

/** What fits a pool buffer of 4 MiB with its parity, leaving room for gaps, table and headers. */
const outputRawBytesMax = 3.4 * (1 << 20);
/** Each failing drive costs an attempt. */
const attemptsMax = 6;

export interface Piece {
  /** The bytes in order; borrowed until the segment is stored. */
  readonly views: readonly Uint8Array[];
  readonly lengthBytes: number;
  /** For salvage: whose bytes these are. */
  readonly ino: number;
  readonly offsetBytes: number;
}

export interface PieceExtent {
  readonly lengthBytes: number;
  readonly source: ExtentSource;
}

export interface StoredSegment {
  readonly segment: NewSegment;
  /** For each piece, what its bytes became, in order. */
  readonly extents: readonly (readonly PieceExtent[])[];
}

export interface SegmentWriterParts {
  readonly packer: SegmentPacker;
  readonly store: SegmentStore;
  readonly pool: BufferPool;
  /** Allots a segment number that was never used. */
  readonly nextSegment: () => SegmentId;
}

export class SegmentWriter {
  readonly #parts: SegmentWriterParts;

  constructor(parts: SegmentWriterParts) {
    this.#parts = parts;
  }

  /** Raw bytes that fit one segment with the drives that are there now: its fragments are written from one buffer of the pool. */
  get rawBytesMax(): number {
    const { layout } = this.#parts.store;
    if (!layout) return segmentRawBytesMax;
    return Math.min(segmentRawBytesMax, Math.floor((outputRawBytesMax * layout.k) / (layout.k + layout.m)));
  }

  /** Stores the pieces; when drives fail meanwhile, once more with the layout that the rest allows. */
  async write(pieces: readonly Piece[]): Promise<StoredSegment> {
    for (let attempt = 1; ; attempt++) {
      const drives = this.#parts.store.driveIndexes.length;
      try {
        return await this.#write(pieces);
      } catch (reason) {
        if (attempt >= attemptsMax || this.#parts.store.driveIndexes.length === drives) throw reason;
      }
    }
  }

  async #write(pieces: readonly Piece[]): Promise<StoredSegment> {
    const { packer, store, pool, nextSegment } = this.#parts;
    const { layout } = store;
    if (!layout) throw new CfsError("IO", "no drive is healthy");
    const id = nextSegment();
    const packed = await packer.pack(pieces, { id, generation: 1, ...layout });
    try {
      const places = await store.write(id, layout.k, layout.m, packed.fragmentBytes, packed.fragments);
      const chunks = packed.chunks.map(({ storedOffsetBytes, storedBytes, rawBytes, codec }) => ({
        storedOffsetBytes,
        storedBytes,
        rawBytes,
        codec,
      }));
      const extents: PieceExtent[][] = pieces.map(() => []);
      packed.chunks.forEach((chunk, chunkIndex) => {
        (extents[chunk.piece] as PieceExtent[]).push({
          lengthBytes: chunk.rawBytes,
          source: { kind: "chunk", segment: id, chunkIndex, rawOffsetBytes: 0 },
        });
      });
      return {
        segment: { id, ...layout, fragmentBytes: packed.fragmentBytes, segmentBytes: packed.segmentBytes, places, chunks },
        extents,
      };
    } finally {
      pool.give(packed.fragments);
    }
  }
}
