/**
 * The write-ahead log of one node: every entry (a head, and a payload that may be empty) gets the next index and a place, goes to as many drives as
 * there are copies at once, and is acknowledged when all of them hold it (docs/internals/journal.md; format in journal-format.ts).
 *
 * It serves as the store of unpacked payloads too: `readPayload` reads by place, verified, from memory or from any copy that is whole, and
 * repairs the others. Files go when the state holds their entries durably and nothing points at their payloads (`retire`).
 *
 * Life: `open` recovers; then `replay`, once, and `truncateAfter` where entries must not count; then `append` until `close`.
 */
import { assert, CfsError } from "@cfs/core";

import type { DriveState, JournalDrive } from "./journal-drives.ts";
import type { FileCounts, FileParts, LogFile, RecordBytes, WantedRecord } from "./journal-file.ts";
import { readCopy, readRun, repairCopy, withPages } from "./journal-file.ts";
import { encodeRecord, recordHeaderBytes } from "./journal-format.ts";
import type { JournalListener, JournalOptions, JournalParts, JournalSettings } from "./journal-options.ts";
import { settingsOf } from "./journal-options.ts";
import type { FileChain } from "./journal-recovery.ts";
import type { ReplayRecord } from "./journal-start.ts";
import { replayChains, startJournal } from "./journal-start.ts";
import { JournalTail } from "./journal-tail.ts";
import { JournalWriter } from "./journal-writer.ts";
import type { RecordPlace } from "./journal-writer.ts";

export interface JournalFileInfo {
  readonly fileId: number;
  /** 0 while the file has no record. For files older than the applied index at the last start, firstIndex is exact and lastIndex a bound. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly sizeBytes: number;
  readonly usedBytes: number;
  readonly driveIds: readonly string[];
}

export interface JournalStatistics {
  readonly lastIndex: number;
  readonly durableIndex: number;
  readonly pendingBytes: number;
  readonly cachedBytes: number;
  readonly fileCount: number;
  /** Of one copy. */
  readonly totalBytes: number;
  readonly appendCount: number;
  readonly frameCount: number;
  readonly frameBytes: number;
  readonly stallCount: number;
  readonly cacheHitCount: number;
  readonly driveReadCount: number;
  readonly repairedCount: number;
  readonly unrepairedCount: number;
}

export class Journal {
  readonly #parts: JournalParts;
  readonly #fileParts: FileParts;
  readonly #settings: JournalSettings;
  readonly #writer: JournalWriter;
  readonly #tail: JournalTail;
  readonly #counts: FileCounts = { repairedCount: 0, unrepairedCount: 0 };
  #cacheHitCount = 0;
  #driveReadCount = 0;
  /** What recovery found; let go with the first append. */
  #chains: readonly FileChain[] = [];
  #epoch = 0;
  #isAppending = false;
  #closing: Promise<void> | null = null;

  private constructor(parts: JournalParts, settings: JournalSettings, listener: JournalListener) {
    this.#parts = parts;
    this.#fileParts = { io: parts.io, crc32c: parts.crc32c };
    this.#settings = settings;
    this.#tail = new JournalTail(parts.io.pool, { chunkBytes: settings.chunkBytes, cacheBytes: settings.cacheBytes });
    this.#writer = new JournalWriter(parts, settings, listener, this.#tail);
  }

  /**
   * Recovers what the drives hold, repairs copies that lack something of it, and makes a new file ready. Throws CORRUPT when acknowledged entries
   * are gone, NO_DEVICE when too many drives are missing to know, with what to do.
   */
  static async open(
    parts: JournalParts,
    drives: readonly JournalDrive[],
    listener: JournalListener,
    options: JournalOptions,
  ): Promise<Journal> {
    assert(drives.length >= 1, "a journal has a drive");
    const journal = new Journal(parts, settingsOf(options), listener);
    try {
      await journal.#start(drives, listener);
      return journal;
    } catch (reason) {
      await journal.close().catch((second: unknown) => {
        parts.log.warn("a journal that did not open did not close either", { reason: CfsError.from(second).message });
      });
      throw reason;
    }
  }

  async #start(drives: readonly JournalDrive[], listener: JournalListener): Promise<void> {
    const started = await startJournal(this.#parts, this.#writer.files, drives, this.#settings, this.#counts);
    if (started.loss !== null) listener.onLoss(started.loss);
    this.#chains = started.chains;
    this.#epoch = started.epoch;
    this.#writer.files.beginEpoch(started.epoch, started.lastIndex, started.nextFileId);
    // What holds no entry that counts can go first: it becomes the new file, so that a start needs no space.
    for (const file of started.empty) await this.#writer.files.discard(file);
    await this.#writer.begin(started.lastIndex);
    await this.#writer.files.discardStrays();
  }

  get lastIndex(): number {
    return this.#writer.lastIndex;
  }

  get durableIndex(): number {
    return this.#writer.durableIndex;
  }

  /**
   * Takes an entry and says its index and place at once; `onDurable` follows. Head and payload are copied: both are the caller's again when
   * this returns. Throws when the journal is broken, or TOO_BIG above the chunk size.
   */
  append(head: Uint8Array, payload: readonly Uint8Array[]): RecordPlace {
    if (!this.#isAppending) {
      this.#isAppending = true;
      this.#chains = [];
    }
    return this.#writer.append(head, payload);
  }

  /** Null when the caller may go on; otherwise a promise to wait for: too much is not durable yet, memory is short, or the files are full. */
  whenRoom(): Promise<void> | null {
    return this.#writer.whenRoom();
  }

  /** The payload when it is in memory, else null; borrowed until the next append. */
  peekPayload(fileId: number, recordOffsetBytes: number): Uint8Array | null {
    const bytes = this.#tail.find(fileId, recordOffsetBytes);
    if (bytes === null) return null;
    const payloadAt = recordHeaderBytes + bytes.readUInt32LE(40);
    return bytes.subarray(payloadAt, payloadAt + bytes.readUInt32LE(44));
  }

  /** The payload of the record at this place, verified; given. `expectedBytes` is its likely size, which saves a second read. */
  async readPayload(fileId: number, recordOffsetBytes: number, expectedBytes = 12_000): Promise<Uint8Array> {
    const cached = this.peekPayload(fileId, recordOffsetBytes);
    if (cached !== null) {
      this.#cacheHitCount++;
      return Buffer.from(cached);
    }
    const file = this.#writer.files.files.get(fileId);
    if (file === undefined) throw new CfsError("NOT_FOUND", `journal file ${fileId} is not here; offset ${recordOffsetBytes} was wanted`);
    file.readerCount++;
    try {
      this.#driveReadCount++;
      return (await this.#readRecord(file, recordOffsetBytes, expectedBytes)).payload;
    } finally {
      file.readerCount--;
    }
  }

  /**
   * The payloads of many records of one file, wanted in ascending order; verified, and given. Those that are not in memory are read together: the packer's
   * way, which asks for thousands of small neighbours.
   */
  async readPayloads(fileId: number, wanted: readonly WantedRecord[]): Promise<Uint8Array[]> {
    const file = this.#writer.files.files.get(fileId);
    if (file === undefined)
      throw new CfsError("NOT_FOUND", `journal file ${fileId} is not here; ${wanted.length} records of it were wanted`);
    file.readerCount++;
    try {
      const payloads = wanted.map(({ offsetBytes }) => this.#cached(fileId, offsetBytes));
      const missing = wanted.filter((_record, at) => payloads[at] === null);
      const read = await this.#readMany(file, missing);
      return payloads.map((payload) => payload ?? (read.shift() as Uint8Array));
    } finally {
      file.readerCount--;
    }
  }

  #cached(fileId: number, offsetBytes: number): Uint8Array | null {
    const payload = this.peekPayload(fileId, offsetBytes);
    if (payload === null) return null;
    this.#cacheHitCount++;
    return Buffer.from(payload);
  }

  async #readMany(file: LogFile, wanted: readonly WantedRecord[]): Promise<Uint8Array[]> {
    const [copy] = file.copies;
    if (wanted.length === 0) return [];
    this.#driveReadCount++;
    const run =
      copy === undefined
        ? []
        : await withPages(this.#parts.io, this.#settings.chunkBytes, (pages) => readRun(this.#fileParts, file, copy, wanted, pages)).catch(
            () => [],
          );
    const payloads: Uint8Array[] = [];
    for (const [at, { offsetBytes, payloadBytes }] of wanted.entries()) {
      // What this copy does not have whole is read from any, and repaired.
      payloads.push(run[at] ?? (await this.#readRecord(file, offsetBytes, payloadBytes)).payload);
    }
    return payloads;
  }

  /** From the first copy that is whole; the ones that were not are repaired. */
  async #readRecord(file: LogFile, offsetBytes: number, expectedBytes: number): Promise<RecordBytes> {
    const bad: LogFile["copies"] = [];
    let unreadable: unknown = null;
    for (const copy of [...file.copies]) {
      const record = await readCopy(this.#fileParts, file, copy, offsetBytes, expectedBytes).catch((reason: unknown) => {
        unreadable = reason;
        return null;
      });
      if (record === null) {
        bad.push(copy);
        continue;
      }
      for (const wrong of bad) await this.#repair(file, wrong, record);
      return record;
    }
    const where = file.copies.map((copy) => copy.path).join(", ");
    throw new CfsError("CORRUPT", `journal file ${file.fileId} has no whole record at ${offsetBytes} in any copy (${where})`, {
      cause: unreadable,
    });
  }

  async #repair(file: LogFile, copy: LogFile["copies"][number], record: RecordBytes): Promise<void> {
    const { crc32c, log } = this.#parts;
    try {
      await repairCopy(this.#fileParts, copy, record, (target, at) =>
        encodeRecord(target, at, file.header, { ...record.info, head: record.head, payload: [record.payload] }, crc32c),
      );
      this.#counts.repairedCount++;
      log.warn("a wrong journal record was repaired", { path: copy.path, offsetBytes: record.info.offsetBytes });
    } catch (reason) {
      this.#counts.unrepairedCount++;
      log.error("a wrong journal record could not be repaired", {
        path: copy.path,
        offsetBytes: record.info.offsetBytes,
        reason: CfsError.from(reason).message,
      });
    }
  }

  /** Visits the entries from `fromIndex` on, in order, before the first append. What `visit` gets is borrowed until it settles. */
  async replay(fromIndex: number, visit: (record: ReplayRecord) => void | Promise<void>): Promise<void> {
    assert(!this.#isAppending, "the log is replayed before it goes on");
    assert(fromIndex > this.#settings.appliedIndex, "only what is not applied is replayed");
    const range = { fromIndex, lastIndex: this.lastIndex };
    await replayChains(this.#parts, this.#chains, range, (file, offset, span) => this.#readRecord(file, offset, span), visit);
  }

  /** Entries above `index` never count again, also after a crash, when this resolves. Only before the first append, at or above appliedIndex. */
  async truncateAfter(index: number): Promise<void> {
    assert(!this.#isAppending, "the log is cut before it goes on");
    assert(index >= this.#settings.appliedIndex, "what is applied cannot be cut");
    if (index >= this.lastIndex) return;
    const { files, current } = this.#writer;
    const nextFileId = files.nextFileId;
    await files.dropNext();
    this.#epoch++;
    files.beginEpoch(this.#epoch, index, Math.max(nextFileId, files.nextFileId));
    await this.#writer.begin(index);
    await files.discard(current);
    for (const { file } of this.#chains) file.lastIndex = Math.min(file.lastIndex, index);
  }

  /**
   * Lets go of the files whose entries are all at or below `upToIndex` (durable in the state) and of which `isFileLive` says no to living payloads.
   * Returns how many.
   */
  async retire(upToIndex: number, isFileLive: (fileId: number) => boolean): Promise<number> {
    const { files, current } = this.#writer;
    const gone = [...files.files.values()].filter(
      (file) =>
        file !== current && file.lastIndex <= Math.min(upToIndex, this.durableIndex) && file.readerCount === 0 && !isFileLive(file.fileId),
    );
    for (const file of gone) await files.discard(file);
    if (gone.length > 0) this.#writer.offerRoom();
    return gone.length;
  }

  /**
   * Makes the copies that files lack since a drive failed or came back empty, one file after the other; returns how many files got some. To be called after
   * such an event; new files have theirs anyway.
   */
  async protect(): Promise<number> {
    const { files } = this.#writer;
    let count = 0;
    for (const file of [...files.files.values()]) {
      const had = file.copies.length;
      if (had === 0 || had >= files.wantedCopies || this.#closing !== null || this.#writer.broken !== null) continue;
      file.readerCount++;
      files.ensure(file);
      await files.settled(file);
      file.readerCount--;
      if (file.copies.length > had) count++;
    }
    return count;
  }

  /** The drive, which must hold no journal files yet, gets copies of new files from now on. */
  async addDrive(drive: JournalDrive): Promise<void> {
    const { fileIds } = await this.#writer.files.drives.add(drive);
    if (fileIds.length > 0)
      this.#parts.log.warn("a drive came with journal files, which are not looked at", { path: drive.path, files: fileIds.length });
  }

  /** The drive is not used any more, because it failed or leaves. False when the journal does not know it or has dropped it before. */
  dropDrive(driveId: string, reason: CfsError): boolean {
    const state = this.#stateOf(driveId);
    if (state !== undefined) this.#writer.files.dropDrive(state, reason, true);
    return state !== undefined;
  }

  /** What files that wait for their next use take on a drive: counted as free, given back by `giveBackSpares`. */
  spareBytes(driveId: string): number {
    const { drives } = this.#writer.files;
    const state = this.#stateOf(driveId);
    return state === undefined ? 0 : drives.spareBytes(state);
  }

  /** The drive needs its space for something else. Returns the bytes that it has again. */
  async giveBackSpares(driveId: string): Promise<number> {
    const state = this.#stateOf(driveId);
    return state === undefined ? 0 : this.#writer.files.drives.giveBackSpares(state);
  }

  #stateOf(driveId: string): DriveState | undefined {
    return this.#writer.files.drives.states.find((one) => one.drive.driveId === driveId && one.isHealthy);
  }

  /** Of all files, one copy. */
  get totalBytes(): number {
    return this.#writer.files.totalBytes;
  }

  /** Whether payloads of the file can be asked for. */
  hasFile(fileId: number): boolean {
    return this.#writer.files.files.has(fileId);
  }

  files(): JournalFileInfo[] {
    return [...this.#writer.files.files.values()].map((file) => ({
      fileId: file.fileId,
      firstIndex: file.firstIndex,
      lastIndex: file.lastIndex,
      sizeBytes: file.header.sizeBytes,
      usedBytes: file.endBytes,
      driveIds: file.driveIds,
    }));
  }

  get statistics(): JournalStatistics {
    const { lastIndex, durableIndex, pendingBytes, files, counts } = this.#writer;
    return {
      lastIndex,
      durableIndex,
      pendingBytes,
      cachedBytes: this.#tail.heldBytes,
      fileCount: files.files.size,
      totalBytes: files.totalBytes,
      ...counts,
      cacheHitCount: this.#cacheHitCount,
      driveReadCount: this.#driveReadCount,
      ...this.#counts,
    };
  }

  /** Waits for what was appended, unless the journal is broken. */
  close(): Promise<void> {
    this.#closing ??= this.#writer.close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
