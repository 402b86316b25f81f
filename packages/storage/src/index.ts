/** @cfs/storage */
export {};

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
