/**
 * SegmentPacker by the native addon: one call per segment on a thread of Node's pool.
 *
 * A piece's origin, kept beside the data for salvage and for the compactor: | inode number u64 | offset in the file u64 |, little-endian.
 */
import { ByteReader, ByteWriter } from "@cfs/core";
import type { ClusterId, SegmentId } from "@cfs/core";
import { decompressChunk, packedChunkAt, packedChunkCount, packOutputBytes, packSegment } from "@cfs/native";
import type { BufferPool } from "../device/buffer-pool.ts";
import type { PackedChunk, PackedSegment, PackPiece, PackTarget, SegmentPacker } from "./segment-packer.ts";

const pageBytes = 4096;
/** One for the process: encoding is synchronous. */
const shared = new ByteWriter(16);

export function encodeOrigin(ino: number, offsetBytes: number): Uint8Array {
  return shared.begin().i64(ino).i64(offsetBytes).take();
}

export function decodeOrigin(bytes: Uint8Array): { ino: number; offsetBytes: number } {
  const reader = new ByteReader(bytes, "origin of a piece");
  const origin = { ino: reader.i64(), offsetBytes: reader.i64() };
  reader.end();
  return origin;
}

export class NativePacker implements SegmentPacker {
  readonly #pool: BufferPool;
  readonly #clusterId: string;

  constructor(pool: BufferPool, clusterId: string) {
    this.#pool = pool;
    this.#clusterId = clusterId;
  }

  async pack(pieces: readonly PackPiece[], target: PackTarget): Promise<PackedSegment> {
    const native = pieces.map(({ views, ino, offsetBytes }) => ({
      views,
      phase: offsetBytes % pageBytes,
      origin: encodeOrigin(ino, offsetBytes),
    }));
    const out = await this.#pool.takeOrWait(packOutputBytes(native, target.k, target.m));
    try {
      const packed = await packSegment(native, {
        dataCount: target.k,
        parityCount: target.m,
        clusterId: this.#clusterId as ClusterId,
        segmentId: target.id as SegmentId,
        generation: target.generation,
        out,
      });
      const chunks: PackedChunk[] = [];
      for (let index = 0; index < packedChunkCount(packed); index++) {
        const { piece, rawBytes, storedOffset, storedBytes, codec } = packedChunkAt(packed, index);
        chunks.push({ piece, rawBytes, storedOffsetBytes: storedOffset, storedBytes, codec });
      }
      return { fragmentBytes: packed.fragmentBytes, segmentBytes: packed.segmentBytes, fragments: out, chunks };
    } catch (reason) {
      this.#pool.give(out);
      throw reason;
    }
  }

  unpackChunk(codec: number, stored: readonly Uint8Array[], target: Uint8Array): void {
    const [only] = stored;
    decompressChunk(codec, stored.length === 1 && only ? only : Buffer.concat(stored), target.length, target);
  }
}
