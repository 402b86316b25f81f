/**
 * Moves the living chunks of a thin segment to a new one, so that the old one can go.
 *
 * The segment's own table on the drives says for each piece whose bytes it was packed from (origin: inode and offset). Where the file still
 * points at the chunk there, the bytes are read, packed anew and swapped. References elsewhere (shared by copy_file_range) are not found this
 * way: such a chunk keeps its old segment until they go. A segment from which nothing could be moved is left alone for a while.
 */
import { CfsError } from "@cfs/core";
import type { Clock, InodeNumber, Logger, SegmentId } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ExtentSource, KvState, Segment, ShardDriver, Swap } from "@cfs/metadata";
import { decodeOrigin, readSegmentTable } from "@cfs/storage";
import type { SegmentPacker, SegmentStore } from "@cfs/storage";
import type { ReadPath } from "./read-path.ts";
import type { Piece, SegmentWriter } from "./segment-writer.ts";

const retryMs = 600_000;
const restingMax = 65_536;

export interface CompactorParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly store: SegmentStore;
  readonly packer: SegmentPacker;
  readonly reads: ReadPath;
  readonly writer: SegmentWriter;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Living {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly from: ExtentSource & { readonly kind: "chunk" };
}

export class Compactor {
  readonly #parts: CompactorParts;
  readonly #resting = new Map<SegmentId, number>();
  segmentsCompacted = 0;
  bytesMoved = 0;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
  }

  async compact(segment: Segment): Promise<void> {
    const { clock, driver, writer, reads } = this.#parts;
    const now = clock.monotonicMs();
    if ((this.#resting.get(segment.id) ?? 0) > now) return;
    const living = await this.#living(segment);
    if (living.length === 0) {
      if (this.#resting.size >= restingMax) this.#resting.clear();
      this.#resting.set(segment.id, now + retryMs);
      return;
    }
    const ranges = [];
    try {
      const pieces: Piece[] = [];
      for (const { ino, offsetBytes, lengthBytes } of living) {
        const range = await reads.read(ino, offsetBytes, lengthBytes);
        ranges.push(range);
        if (range.lengthBytes !== lengthBytes) throw new CfsError("AGAIN", `inode ${ino} was cut while it was compacted`);
        pieces.push({ views: range.parts, lengthBytes, ino, offsetBytes });
      }
      const stored = await writer.write(pieces);
      const swaps = living.flatMap((source, index) => swapsOf(source, stored.extents[index] ?? []));
      const { place, outcome } = driver.propose({
        command: { type: "publish", segment: stored.segment, swaps },
        clientId: null,
        seq: 0,
        payload: [],
      });
      if (outcome.errno !== 0) throw new CfsError("IO", `publishing segment ${stored.segment.id} failed with errno ${outcome.errno}`);
      await driver.durable(place.index);
      this.segmentsCompacted++;
      for (const { lengthBytes } of living) this.bytesMoved += lengthBytes;
    } finally {
      for (const range of ranges) range.release();
    }
  }

  /** Ranges of files that point at chunks of the segment where its table says they were packed from. */
  async #living(segment: Segment): Promise<Living[]> {
    const { state, store } = this.#parts;
    const found: Living[] = [];
    let chunkIndex = -1;
    for (const { origin, chunks } of (await readSegmentTable(store, segment)).pieces) {
      const { ino, offsetBytes } = decodeOrigin(origin);
      const inode = state.inode(ino as InodeNumber);
      for (const { rawOffset, rawBytes } of chunks) {
        chunkIndex++;
        if (!inode?.hasExtents || (segment.chunks[chunkIndex]?.refs ?? 0) === 0) continue;
        for (const piece of locate(state.content, inode, offsetBytes + rawOffset, rawBytes)) {
          if (piece.source.kind !== "chunk" || piece.source.segment !== segment.id) continue;
          found.push({ ino: inode.ino, offsetBytes: piece.offsetBytes, lengthBytes: piece.lengthBytes, from: piece.source });
        }
      }
    }
    return found;
  }
}

function swapsOf(living: Living, extents: readonly { lengthBytes: number; source: ExtentSource }[]): Swap[] {
  const swaps: Swap[] = [];
  let done = 0;
  for (const { lengthBytes, source } of extents) {
    swaps.push({
      ino: living.ino,
      offsetBytes: living.offsetBytes + done,
      lengthBytes,
      from: { ...living.from, rawOffsetBytes: living.from.rawOffsetBytes + done },
      to: source,
    });
    done += lengthBytes;
  }
  return swaps;
}
