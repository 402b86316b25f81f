/**
 * The drives that a journal may use, and the files on them: names, spares, zero-filling.
 *
 * DRIVE/journal/0000000007.log is the file with id 7 and had a durable header before it got that name; spare-XXXXXXXX.log is a zero-filled
 * or formerly used file of full size without meaning; filling-XXXXXXXX.tmp is one whose filling was interrupted, and goes at the next start.
 *
 * Why zero-filled: overwriting blocks that exist needs no file system transaction, which halves the latency of a commit (measurements).
 */
import type { Random } from "@cfs/core";
import { CfsError } from "@cfs/core";

import type { Io, IoFile } from "../device/io.ts";
import { openDurable, openPlain } from "../device/io.ts";
import { blockBytes } from "./journal-format.ts";

/** One drive as the journal sees it. */
export interface JournalDrive {
  /** 32 hex digits. */
  readonly driveId: string;
  /** The `--data` directory. */
  readonly path: string;
}

export interface DriveState {
  readonly drive: JournalDrive;
  readonly directory: string;
  isHealthy: boolean;
  /** Monotonic time before which no new file is tried here, after it ran out of space. */
  fullUntilMs: number;
  readonly spares: string[];
  /** Called when the drive is dropped, for those who wait for a request there that may hang. */
  readonly onDropped: Set<() => void>;
}

const logPattern = /^(\d{10})\.log$/;
const sparePattern = /^spare-[0-9a-f]{8}\.log$/;
const fillingPattern = /^filling-[0-9a-f]{8}\.tmp$/;
/** A drive keeps at most this many spares; more are deleted, and all of them when its space is needed for something else. */
const sparesMax = 2;
/** Zeros that are written at once. */
const fillBytes = 1024 * 1024;

export function logName(fileId: number): string {
  return `${String(fileId).padStart(10, "0")}.log`;
}

/** Throws `reason` after the clean-up; what fails in the clean-up is told, and never hides the first failure. */
export async function failAfter(reason: unknown, ...cleanups: readonly (() => Promise<void>)[]): Promise<never> {
  const failures: unknown[] = [];
  for (const cleanup of cleanups) await cleanup().catch((failure: unknown) => failures.push(failure));
  if (failures.length === 0) throw reason;
  const first = CfsError.from(reason);
  throw new CfsError(first.code, first.message, { cause: new AggregateError([reason, ...failures], "the clean-up failed too") });
}

export interface DrivesOptions {
  /** A multiple of 4096. */
  readonly fileBytes: number;
}

export class JournalDrives {
  readonly states: DriveState[] = [];
  readonly #io: Io;
  readonly #random: Random;
  readonly #options: DrivesOptions;

  constructor(io: Io, random: Random, options: DrivesOptions) {
    this.#io = io;
    this.#random = random;
    this.#options = options;
  }

  get healthyCount(): number {
    let count = 0;
    for (const state of this.states) if (state.isHealthy) count++;
    return count;
  }

  /** Looks through a drive's directory, which is made where it is missing; returns the ids of the log files there. */
  async add(drive: JournalDrive): Promise<{ state: DriveState; fileIds: number[] }> {
    const directory = `${drive.path}/journal`;
    const state: DriveState = { drive, directory, isHealthy: true, fullUntilMs: 0, spares: [], onDropped: new Set() };
    // Before the first wait: drives keep the order in which they were named, though they are looked at together.
    this.states.push(state);
    await this.#io.makeDirectory(directory);
    await this.#io.syncDirectory(drive.path);
    const fileIds: number[] = [];
    for (const name of await this.#io.list(directory)) {
      const log = logPattern.exec(name);
      if (log !== null) fileIds.push(Number(log[1]));
      else if (fillingPattern.test(name)) await this.#io.unlink(`${directory}/${name}`);
      else if (sparePattern.test(name)) await this.#keepOrRemove(state, `${directory}/${name}`);
    }
    return { state, fileIds: fileIds.toSorted((a, b) => a - b) };
  }

  /** A spare from before the start: needed where there are few, and of the size that files have in this run. */
  async #keepOrRemove(state: DriveState, path: string): Promise<void> {
    const file = await this.#io.open(path, { ...openPlain, readOnly: true });
    await this.#io.close(file);
    if (state.spares.length < sparesMax && file.sizeBytes === this.#options.fileBytes) state.spares.push(path);
    else await this.#io.unlink(path);
  }

  /** What the spares of a drive take: theirs as long as nobody else needs it. */
  spareBytes(state: DriveState): number {
    return state.spares.length * this.#options.fileBytes;
  }

  /** Removes the spares of a drive; returns the bytes that its file system has again. */
  async giveBackSpares(state: DriveState): Promise<number> {
    const spares = state.spares.splice(0);
    for (const spare of spares) await this.#io.unlink(spare);
    return spares.length * this.#options.fileBytes;
  }

  /**
   * Opens a file whose every block exists, writes `header` into its first block and gives it the name of `fileId`; when this returns, all of
   * that is durable on the drive. Smaller than a full file means in haste: its blocks are allotted and not zero-filled, unless a spare is there.
   */
  async create(state: DriveState, fileId: number, header: Uint8Array, sizeBytes: number): Promise<{ file: IoFile; path: string }> {
    const spare = state.spares.pop() ?? (await this.#make(state, sizeBytes));
    const file = await this.#io.open(spare, openDurable);
    const block = await this.#io.pool.takeOrWait(blockBytes);
    try {
      block.set(header);
      await this.#io.write(file, [block], 0);
      const path = `${state.directory}/${logName(fileId)}`;
      await this.#io.rename(spare, path);
      return { file, path };
    } catch (reason) {
      return await failAfter(reason, () => this.#io.close(file));
    } finally {
      this.#io.pool.give(block);
    }
  }

  #randomName(prefix: string, suffix: string): string {
    return `${prefix}-${Buffer.from(this.#random.bytes(new Uint8Array(4))).toString("hex")}${suffix}`;
  }

  async #make(state: DriveState, sizeBytes: number): Promise<string> {
    const { fileBytes } = this.#options;
    // On a drive that is nearly full the other half is for the state, which could not go on without.
    const freeBytes = await this.#io.freeBytes(state.directory);
    if (freeBytes < sizeBytes * 2)
      throw new CfsError("NO_SPACE", `${state.directory} has ${freeBytes} bytes left: too few for a journal file of ${sizeBytes}`);
    const filling = `${state.directory}/${this.#randomName("filling", ".tmp")}`;
    const file = await this.#io.open(filling, { ...openPlain, direct: true, create: true, exclusive: true });
    try {
      await this.#io.allocate(file, 0, sizeBytes);
      if (sizeBytes === fileBytes) await this.#zero(file);
      await this.#io.syncData(file);
    } catch (cause) {
      const reason = new CfsError(CfsError.from(cause).code, `cannot make a journal file of ${sizeBytes} bytes in ${state.directory}`, {
        cause,
      });
      return failAfter(
        reason,
        () => this.#io.close(file),
        () => this.#io.unlink(filling),
      );
    }
    await this.#io.close(file);
    const spare = `${state.directory}/${this.#randomName("spare", ".log")}`;
    await this.#io.rename(filling, spare);
    return spare;
  }

  async #zero(file: IoFile): Promise<void> {
    const { fileBytes } = this.#options;
    const zeros = (await this.#io.pool.takeOrWait(Math.min(fillBytes, fileBytes))).fill(0);
    try {
      for (let at = 0; at < fileBytes; at += zeros.length) {
        await this.#io.write(file, [zeros.length <= fileBytes - at ? zeros : zeros.subarray(0, fileBytes - at)], at);
      }
    } finally {
      this.#io.pool.give(zeros);
    }
  }

  /** The file's content is no longer wanted: it becomes a spare when it has the size, or goes. Its handle must be closed. */
  async discard(state: DriveState, path: string, sizeBytes: number): Promise<void> {
    if (state.spares.length >= sparesMax || sizeBytes !== this.#options.fileBytes) {
      await this.#io.unlink(path);
    } else {
      const spare = `${state.directory}/${this.#randomName("spare", ".log")}`;
      await this.#io.rename(path, spare);
      state.spares.push(spare);
      return;
    }
    await this.#io.syncDirectory(state.directory);
  }
}
