/**
 * Branded primitives: parsed once at the edge, trusted inside.
 *
 * An inode number is a safe integer: low 16 bits pick the shard slot, the rest counts (architecture, section 1).
 */
import { assert } from "./assert.ts";

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** 1 to 2^53-1; `ino mod 65536` is the shard slot, `floor(ino / 65536)` the count. The root directory is 65536 (slot 0, count 1). */
export type InodeNumber = Brand<number, "InodeNumber">;

/** A file name as bytes: every char code is 0 to 255, 1 to 255 of them, without "/" and NUL. Compare and sort as a string. */
export type Name = Brand<string, "Name">;

/** 16 random bytes as 32 hex digits. */
export type ClusterId = Brand<string, "ClusterId">;
export type NodeId = Brand<string, "NodeId">;
export type DriveId = Brand<string, "DriveId">;
export type ClientId = Brand<string, "ClientId">;

/** A segment's number: a safe integer from 1, allotted by the log, never used again. */
export type SegmentId = Brand<number, "SegmentId">;

export const slotCount = 65_536;
export const shardCount = 256;
export const rootInode: InodeNumber = 65_536 as InodeNumber;

export function inodeNumber(count: number, slot: number): InodeNumber {
  assert(Number.isSafeInteger(count * slotCount + slot), "an inode number is a safe integer");
  assert(slot >= 0 && slot < slotCount && count >= 1, "slot and count are in range");
  return (count * slotCount + slot) as InodeNumber;
}

export function slotOf(ino: InodeNumber): number {
  return ino % slotCount;
}

export function shardOf(ino: InodeNumber): number {
  return slotOf(ino) % shardCount;
}
