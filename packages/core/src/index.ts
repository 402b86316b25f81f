/** What every package of cfs shares: words, errors, assertions, codecs, ports. */
export { assert, AssertionError, invariants, unreachable } from "./assert.ts";
export { inodeNumber, rootInode, shardCount, shardOf, slotCount, slotOf } from "./brand.ts";
export type { Brand, ClientId, ClusterId, DriveId, InodeNumber, Name, NodeId, SegmentId } from "./brand.ts";
export { ByteReader, ByteWriter } from "./codec.ts";
export { CfsError, errnoByCode } from "./errors.ts";
export type { ErrorCode, ErrorDetails } from "./errors.ts";
export { listCfsMounts, listMounts, mountAt, placeOf } from "./mount-table.ts";
export type { MountEntry, Place } from "./mount-table.ts";
export { shellWord, shownText } from "./shown-text.ts";
export { silentLogger } from "./ports.ts";
export type { Clock, LogFields, Logger, Random } from "./ports.ts";
export { jsonLogger, logLevels, systemClock, systemRandom } from "./system.ts";
export type { LogLevel } from "./system.ts";
