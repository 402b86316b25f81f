/** One node's bytes: drives, journal, segments. */
export { BufferPool, bufferBytesMax } from "./device/buffer-pool.ts";
export type { BufferPoolOptions, BufferPoolStatistics } from "./device/buffer-pool.ts";
export { FaultyIo } from "./device/faulty-io.ts";
export type { FaultRule, FaultyIoParts, IoOperation } from "./device/faulty-io.ts";
export { blockBytes, openDurable, openPlain, transferBytesMax } from "./device/io.ts";
export type { Io, IoFile, IoKind, OpenOptions } from "./device/io.ts";
export { MemoryIo } from "./device/memory-io.ts";
export type { MemoryIoOptions, MemoryIoParts } from "./device/memory-io.ts";
export { RingIo } from "./device/ring-io.ts";
export type { RingIoOptions } from "./device/ring-io.ts";
export { seededRandom } from "./device/seeded-random.ts";

export { containerBytes, containerName, Containers } from "./segment/containers.ts";
export type { ContainerDrive } from "./segment/containers.ts";
export type { FragmentCodec, FragmentHeader } from "./segment/fragment-codec.ts";
export { chooseDrives, layoutFor } from "./segment/placement.ts";
export type { Layout } from "./segment/placement.ts";
export type { PackedChunk, PackedSegment, PackPiece, PackTarget, SegmentPacker } from "./segment/segment-packer.ts";
export { SegmentStore } from "./segment/segment-store.ts";
export { blockBytes as fragmentBlockBytes } from "./segment/segment-store.ts";
export type { Damage, SegmentStoreCounts, StoredRange } from "./segment/segment-store.ts";
export { nativeCodec } from "./segment/native-codec.ts";
export { decodeOrigin, encodeOrigin, NativePacker } from "./segment/native-packer.ts";
