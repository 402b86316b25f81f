/** What journal tests share: a memory Io with drives, a clock set by hand, and journals small enough that files roll all the time. */
import type { Clock } from "@cfs/core";
import { silentLogger } from "@cfs/core";

import { FaultyIo } from "../../device/faulty-io.ts";
import type { Io } from "../../device/io.ts";
import { MemoryIo } from "../../device/memory-io.ts";
import { seededRandom } from "../../device/seeded-random.ts";
import { crc32cTable } from "../crc32c.ts";
import type { JournalDrive } from "../journal-drives.ts";
import type { JournalOptions } from "../journal-options.ts";
import type { Loss } from "../journal-recovery.ts";
import type { ReplayRecord } from "../journal-start.ts";
import { Journal } from "../journal.ts";

export const clusterId: string = "c0".repeat(16);
export const nodeId: string = "0d".repeat(16);

export class HandClock implements Clock {
  nowMs = 0;
  readonly #timers: Set<{ readonly atMs: number; readonly callback: () => void }> = new Set();

  wallTime(): { sec: number; nsec: number } {
    return { sec: Math.floor(this.nowMs / 1000), nsec: 0 };
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.atMs <= this.nowMs && this.#timers.delete(timer)) timer.callback();
    }
  }
}

/** Lets everything that can happen without time passing happen. */
export async function quiet(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export interface Bed {
  readonly memory: MemoryIo;
  readonly io: FaultyIo;
  readonly clock: HandClock;
  readonly drives: readonly JournalDrive[];
  /** What the journals said. */
  readonly failed: string[];
  /** Messages of the log at level error. */
  readonly errors: string[];
  readonly losses: Loss[];
  durableIndex: number;
  broken: Error | null;
}

export interface BedOptions {
  readonly seed?: number;
  readonly driveCount?: number;
  readonly schedule?: (settle: () => void) => void;
  readonly capacityBytes?: number;
}

export async function bedWith(options: BedOptions = {}): Promise<Bed> {
  const random = seededRandom(options.seed ?? 1);
  const memory = new MemoryIo(
    options.schedule === undefined ? { random } : { random, schedule: options.schedule },
    options.capacityBytes === undefined ? {} : { capacityBytes: options.capacityBytes },
  );
  const drives: JournalDrive[] = [];
  for (let number = 0; number < (options.driveCount ?? 3); number++) {
    const path = `/d${number}`;
    await memory.makeDirectory(path);
    drives.push({ driveId: String(number).padStart(32, "d"), path });
  }
  await memory.syncDirectory("/");
  const clock = new HandClock();
  return {
    memory,
    io: new FaultyIo({ io: memory, clock }),
    clock,
    drives,
    failed: [],
    errors: [],
    losses: [],
    durableIndex: 0,
    broken: null,
  };
}

export const small: JournalOptions = {
  clusterId,
  nodeId,
  fileBytes: 64 * 1024,
  chunkBytes: 16 * 1024,
  cacheBytes: 64 * 1024,
  appliedIndex: 0,
};

let seed = 7;

export async function openOn(
  bed: Bed,
  options: Partial<JournalOptions> = {},
  drives: readonly JournalDrive[] = bed.drives,
  io: Io = bed.io,
): Promise<Journal> {
  const parts = {
    io,
    crc32c: crc32cTable,
    clock: bed.clock,
    random: seededRandom(seed++),
    log: { ...silentLogger, error: (message: string) => void bed.errors.push(message) },
  };
  const listener = {
    onDurable: (index: number) => {
      bed.durableIndex = index;
    },
    onDriveFailed: (drive: JournalDrive) => {
      bed.failed.push(drive.path);
    },
    onBroken: (error: Error) => {
      bed.broken = error;
    },
    onLoss: (loss: Loss) => {
      bed.losses.push(loss);
    },
  };
  return Journal.open(parts, drives, listener, { ...small, ...options });
}

/** Bytes that tell the index, so that a wrong record cannot pass for the right one. */
export function headOf(index: number, sizeBytes = 40): Uint8Array {
  const head = Buffer.alloc(sizeBytes, index % 251);
  head.writeUInt32LE(index, 0);
  return head;
}

export function payloadOf(index: number, sizeBytes: number): Uint8Array {
  const payload = Buffer.alloc(sizeBytes, (index * 7) % 253);
  if (sizeBytes >= 4) payload.writeUInt32LE(index, sizeBytes - 4);
  return payload;
}

export function appendOne(journal: Journal, payloadBytes: number): { index: number; fileId: number; recordOffsetBytes: number } {
  const index = journal.lastIndex + 1;
  return journal.append(headOf(index), payloadBytes === 0 ? [] : [payloadOf(index, payloadBytes)]);
}

/** Waits until the entry is durable, or the journal is broken. */
export async function durable(journal: Journal, bed: Bed, index: number): Promise<void> {
  for (let turn = 0; turn < 10_000 && journal.durableIndex < index && bed.broken === null; turn++) await quiet(1);
}

export async function replayAll(journal: Journal, fromIndex = 1): Promise<ReplayRecord[]> {
  const records: ReplayRecord[] = [];
  await journal.replay(fromIndex, (record) => {
    records.push({ ...record, head: Buffer.from(record.head), payload: Buffer.from(record.payload) });
  });
  return records;
}

/** The bytes of a file as they are, and a way to change them behind the journal's back. */
export async function surgery(bed: Bed, path: string, change: (bytes: Buffer) => void): Promise<void> {
  const io = bed.memory;
  const file = await io.open(path, { direct: false, dataSync: true, create: false, exclusive: false, readOnly: false });
  const bytes = Buffer.alloc(file.sizeBytes);
  await io.read(file, bytes, 0);
  change(bytes);
  await io.write(file, [bytes], 0);
  await io.close(file);
}
