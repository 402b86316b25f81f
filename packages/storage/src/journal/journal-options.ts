/** What a journal is built from, and its settings with their defaults. */
import type { Clock, Logger, Random } from "@cfs/core";
import { assert } from "@cfs/core";

import type { Io } from "../device/io.ts";
import type { JournalDrive } from "./journal-drives.ts";
import type { Crc32c } from "./journal-format.ts";
import { blockBytes, membersMax } from "./journal-format.ts";
import type { Loss } from "./journal-recovery.ts";

export interface JournalParts {
  readonly io: Io;
  /** The native one: every byte of the log goes through it. */
  readonly crc32c: Crc32c;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Facts for the owner. Called synchronously; they must not throw. */
export interface JournalListener {
  /** Everything up to `index` is on every copy; rising, once per completed batch. */
  onDurable(index: number): void;
  /** A write to every copy took this long; once per completed batch. */
  onSynced?(milliseconds: number): void;
  /** A drive failed or hung: the journal has dropped it and goes on without it. */
  onDriveFailed(drive: JournalDrive, error: Error): void;
  /** No drive is left to write to: nothing more becomes durable, `append` throws. */
  onBroken(error: Error): void;
  /** Acknowledged entries are gone, with acceptLoss. */
  onLoss(loss: Loss): void;
}

export interface JournalOptions {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Highest index that the state holds durably; 0 for none. Replay begins behind it. */
  readonly appliedIndex: number;
  /** Go on without acknowledged entries that no copy holds, and with most drives of the newest file missing; default false. */
  readonly acceptLoss?: boolean;
  /** Go on with most drives of the newest file missing, as long as what is here has no gap; default false. */
  readonly acceptMissing?: boolean;
  /** What people call a drive that is not here; default: its id. */
  readonly driveName?: (driveId: string) => string;
  /** Bytes of a file, a multiple of 4096, at most 1 GiB; default 64 MiB. */
  readonly fileBytes?: number;
  /** Copies of a file on as many drives, 1 to 8; default 3. Fewer drives, fewer copies. */
  readonly copyCount?: number;
  /** Writes in flight at once, 1 to 16; default 2. More shortens the wait of small commits and makes batches smaller. */
  readonly depth?: number;
  /** Bytes not durable yet from which whenRoom makes callers wait; default 64 MiB. */
  readonly pendingBytesMax?: number;
  /** Recent log kept in memory for reads, and the memory that small loads need; default 48 MiB. */
  readonly cacheBytes?: number;
  /** Memory is taken in pieces of this size, which bound a record too: a power of two up to 2 MiB; default 1 MiB. */
  readonly chunkBytes?: number;
  /** Bytes of all files of one copy from which whenRoom makes callers wait for retire; default 4 GiB. */
  readonly totalBytesMax?: number;
  /** A copy that is still being written this long after another was done makes its drive a failed one; default 5,000. */
  readonly stallMs?: number;
}

export type JournalSettings = Required<JournalOptions>;

const mebibyte = 1024 * 1024;

export function settingsOf(options: JournalOptions): JournalSettings {
  const settings: JournalSettings = {
    acceptLoss: false,
    acceptMissing: false,
    driveName: (driveId) => driveId,
    fileBytes: 64 * mebibyte,
    copyCount: 3,
    depth: 2,
    pendingBytesMax: 64 * mebibyte,
    cacheBytes: 48 * mebibyte,
    chunkBytes: mebibyte,
    totalBytesMax: 4096 * mebibyte,
    stallMs: 5000,
    ...options,
  };
  assert(settings.fileBytes % blockBytes === 0 && settings.fileBytes <= 1024 * mebibyte, "a journal file is made of blocks, at most 1 GiB");
  assert(
    settings.chunkBytes >= blockBytes && settings.chunkBytes <= 2 * mebibyte && settings.fileBytes >= settings.chunkBytes + blockBytes,
    "a chunk fits a file",
  );
  assert(settings.copyCount >= 1 && settings.copyCount <= membersMax, "a file has 1 to 8 copies");
  assert(settings.depth >= 1 && settings.depth <= 16, "1 to 16 writes are in flight");
  return settings;
}
