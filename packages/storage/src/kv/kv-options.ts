/** What a state store is built from, and its settings with their defaults: 32 MiB of cache and four write buffers of 4 MiB stay below 60 MiB. */
import type { Clock, Logger } from "@cfs/core";

import type { Crc32c } from "../journal/journal-format.ts";
import type { EngineOptions, LevelEngine } from "./level-engine.ts";

/** What a member's directory is opened as; LevelEngine unless a test says otherwise. */
export type Engine = Pick<LevelEngine, "directory" | "get" | "write" | "marker" | "scan" | "close"> &
  Partial<Pick<LevelEngine, "snapshot">>;

export interface EngineMaker {
  open(directory: string, crc32c: Crc32c, options: EngineOptions): Promise<Engine>;
  /** Removes what the engine has there. */
  destroy(directory: string): Promise<void>;
}

export interface MirroredKvParts {
  readonly crc32c: Crc32c;
  readonly clock: Clock;
  readonly log: Logger;
  readonly engines?: EngineMaker;
}

export interface MirroredKvListener {
  /** The directory is no member any more. */
  onMemberFailed(directory: string, error: Error): void;
  /** A member is being filled: entries so far. `isDone` once, at the end. */
  onResync(directory: string, entryCount: number, isDone: boolean): void;
}

export interface MirroredKvOptions {
  /** Whose state it is, the node's id: a directory with another one is refused. */
  readonly storeId: string;
  /** Only batches up to the index told by `openGate` go to the engine; default false. */
  readonly isGated?: boolean;
  /** Cache of the member that is read; default 8 MiB. The others have 1 MiB. */
  readonly cacheBytes?: number;
  /** Default 2 MiB each; LevelDB may use twice that. */
  readonly writeBufferBytes?: number;
  /** Pending bytes that start a flush at once; default 1 MiB. */
  readonly flushBytes?: number;
  /** Pending writes wait this long for company; default 50. */
  readonly flushDelayMs?: number;
  /** Pending bytes from which whenRoom makes callers wait; default 4 MiB. */
  readonly pendingBytesMax?: number;
  /** A member that still writes this long after another was done is dropped; default 10,000. */
  readonly stallMs?: number;
}

export type KvSettings = Required<MirroredKvOptions>;

const mebibyte = 1024 * 1024;

export function optionsOf(options: MirroredKvOptions): KvSettings {
  return {
    isGated: false,
    cacheBytes: 8 * mebibyte,
    writeBufferBytes: 2 * mebibyte,
    flushBytes: mebibyte,
    flushDelayMs: 50,
    pendingBytesMax: 4 * mebibyte,
    stallMs: 10_000,
    ...options,
  };
}

export function engineOptions(options: KvSettings, isRead: boolean): EngineOptions {
  return { cacheBytes: isRead ? options.cacheBytes : mebibyte, writeBufferBytes: options.writeBufferBytes };
}
