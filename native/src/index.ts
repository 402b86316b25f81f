/** The native border: typed wrappers over the addon, one file per part. */
export { loadAddon } from "./binding.ts";

export {
  blake3,
  chunkCodec,
  crc32c,
  crc32cBatch,
  decodeFragmentHeader,
  decompressChunk,
  encodeFragmentHeader,
  encodeParity,
  fragmentBlockBytes,
  fragmentCrcs,
  fragmentCrcsOffset,
  fragmentHeaderBytes,
  packedChunkAt,
  packedChunkCount,
  packOutputBytes,
  packOutputBytesMax,
  packSegment,
  packSegmentSync,
  packsInFlightMax,
  pieceOriginBytesMax,
  rebuild,
  sealFragment,
  segmentPiecesMax,
  segmentRawBytesMax,
  verifyBlocks,
  verifyJobs,
} from "./pack.ts";
export type { ChunkCodec, CodecPreference, NativeFragmentHeader, PackedChunk, PackedSegment, PackOptions, Piece, RebuildRequest } from "./pack.ts";
