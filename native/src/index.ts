/** The native border: typed wrappers over the addon, one file per part. */
export { digestOfSources, digestPath } from "./addon-sources.ts";
export { loadAddon } from "./binding.ts";

export { openRing, ringCompletionWords, ringFlagDirect, ringHeaderWords, ringOperation, ringViewsMax, ringViewWords } from "./ring.ts";
export type { Ring, RingEngine, RingOptions } from "./ring.ts";
// Between processes of one machine
export { localConnect, LocalListener, LocalStream } from "./local.ts";
export type { LocalListenerHandlers, LocalStreamHandlers } from "./local.ts";
export { trimMemory } from "./memory.ts";
// FUSE
export { FuseDevice, fuseMount, fuseUnmount } from "./fuse.ts";
export type { FuseDeviceHandlers, FuseDeviceOptions, FuseLayout, FuseMountMethod, FuseMountOptions, FuseUnmountOptions } from "./fuse.ts";
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
export type {
  ChunkCodec,
  CodecPreference,
  NativeFragmentHeader,
  PackedChunk,
  PackedSegment,
  PackOptions,
  Piece,
  RebuildRequest,
} from "./pack.ts";
