/**
 * The set of files: the one being written, the one made ready behind it, and the older ones; their copies on the drives.
 *
 * Invariants: a file id is used once; a file takes frames only when its header is durable on every copy it has then. A drive that failed holds no
 * copy that counts. While two drives are healthy, a file that is written has two copies: where a failure leaves fewer, a new copy
 * is made from the one that is left before anything more is acknowledged.
 */
import { assert, CfsError } from "@cfs/core";

import type { DriveState, JournalDrive } from "./journal-drives.ts";
import { JournalDrives } from "./journal-drives.ts";
import type { FileCopy } from "./journal-file.ts";
import { LogFile, readFully, withPages } from "./journal-file.ts";
import { blockBytes, encodeHeader, roundUp } from "./journal-format.ts";
import type { JournalParts, JournalSettings } from "./journal-options.ts";

/** The first file of a run where there are too few spares, and a file where drives are short of space, as a part of a full one. */
const hastyShare = 4;
/** How long a drive without space is passed over, unless something is retired before. */
const fullMs = 1000;
const copyWindowBytes = 1024 * 1024;

export interface FilesListener {
  /** The file can take frames, or has enough copies again. */
  onReady(file: LogFile): void;
  /** No copy can be made or is left. */
  onBroken(reason: Error): void;
  /** `isAsked`: the owner of the log said so, for reasons of its own. */
  onDriveFailed(drive: JournalDrive, reason: Error, isAsked: boolean): void;
}

export class JournalFiles {
  readonly drives: JournalDrives;
  /** All files that hold records or may get some, by id, ascending. */
  readonly files: Map<number, LogFile> = new Map();
  /** Copies found at the start that belong to no file that counts: to be let go when the new epoch is durable. */
  readonly strays: Set<FileCopy> = new Set();
  readonly #parts: JournalParts;
  readonly #settings: JournalSettings;
  readonly #listener: FilesListener;
  /** Files whose copies are being made; each task ends before close. */
  readonly #tasks: Map<LogFile, Promise<void>> = new Map();
  /** Those among them that a drive was lost of since. */
  readonly #again: Set<LogFile> = new Set();
  readonly #spaceWaiters: Set<() => void> = new Set();
  #current: LogFile | null = null;
  #next: LogFile | null = null;
  #nextId = 1;
  #epoch = 1;
  #epochBaseIndex = 0;
  #isClosing = false;

  constructor(parts: JournalParts, settings: JournalSettings, listener: FilesListener) {
    this.#parts = parts;
    this.#settings = settings;
    this.#listener = listener;
    this.drives = new JournalDrives(parts.io, parts.random, { fileBytes: settings.fileBytes });
  }

  /** Copies that something must have before it is acknowledged. */
  get requiredCopies(): number {
    return Math.min(2, this.#settings.copyCount, this.drives.healthyCount);
  }

  /** Copies that a file should have. */
  get wantedCopies(): number {
    return Math.min(this.#settings.copyCount, this.drives.healthyCount);
  }

  get totalBytes(): number {
    return this.files.size * this.#settings.fileBytes;
  }

  get nextFileId(): number {
    return this.#nextId;
  }

  /** Files made from now on belong to `epoch`, which voids everything above `baseIndex` in older ones. */
  beginEpoch(epoch: number, baseIndex: number, nextId: number): void {
    this.#epoch = epoch;
    this.#epochBaseIndex = baseIndex;
    this.#nextId = nextId;
  }

  /** A busy file takes no frames: its copies are being made. */
  isBusy(file: LogFile): boolean {
    return this.#tasks.has(file);
  }

  /**
   * The first file of a run. A start waits for it, so it is made of spares; where there are too few, it is a small one that is not filled with zeros,
   * and serves only until the next one is ready.
   */
  rollInHaste(): LogFile {
    const haveSpare = this.drives.states.filter((state) => state.isHealthy && state.spares.length > 0).length;
    return this.#roll(this.#begin(haveSpare >= this.wantedCopies ? this.#settings.fileBytes : this.#hastyBytes));
  }

  get #hastyBytes(): number {
    const { fileBytes, chunkBytes } = this.#settings;
    const leastBytes = roundUp(chunkBytes + blockBytes, blockBytes);
    return Math.min(fileBytes, Math.max(roundUp(fileBytes / hastyShare, blockBytes), leastBytes));
  }

  /** The file that follows, which may still be in the making; and begins to make the one after it. */
  roll(): LogFile {
    return this.#roll(this.#next ?? this.#begin());
  }

  #roll(file: LogFile): LogFile {
    this.files.set(file.fileId, file);
    this.#current = file;
    this.#next = null;
    this.#prepareNext();
    return file;
  }

  /** One at a time: filling a file with zeros takes the drives' time from the one that is waited for. */
  #prepareNext(): void {
    if (this.#next === null && this.#current !== null && !this.#tasks.has(this.#current) && !this.#isClosing) this.#next = this.#begin();
  }

  #begin(sizeBytes: number = this.#settings.fileBytes): LogFile {
    assert(this.#nextId < 2 ** 32, "file ids fit 32 bits");
    const file = new LogFile({
      fileId: this.#nextId++,
      epoch: this.#epoch,
      epochBaseIndex: this.#epochBaseIndex,
      nonce: this.#parts.random.bytes(new Uint8Array(8)),
      sizeBytes,
      generation: 1,
      clusterId: this.#settings.clusterId,
      nodeId: this.#settings.nodeId,
      members: [],
    });
    this.ensure(file);
    return file;
  }

  /** Gives the file as many copies as it should have; `onReady` follows. Asked for while that is under way, it is looked at once more. */
  ensure(file: LogFile): void {
    if (this.#isClosing) return;
    if (this.#tasks.has(file)) {
      this.#again.add(file);
      return;
    }
    const task = this.#ensure(file).then(
      () => this.#taskDone(file),
      (reason: unknown) => {
        this.#tasks.delete(file);
        if (!this.#isClosing) this.#listener.onBroken(CfsError.from(reason));
      },
    );
    this.#tasks.set(file, task);
  }

  #taskDone(file: LogFile): void {
    this.#tasks.delete(file);
    if (this.#isClosing) return;
    if (this.#again.delete(file)) return this.ensure(file);
    this.#listener.onReady(file);
    this.#prepareNext();
  }

  /** Resolves when what is under way for the file is done. */
  async settled(file: LogFile): Promise<void> {
    for (let task = this.#tasks.get(file); task !== undefined; task = this.#tasks.get(file)) await task;
  }

  async #ensure(file: LogFile): Promise<void> {
    while (file.copies.length < this.wantedCopies && !this.#isClosing) {
      if (file.copies.length === 0 && file.sentBytes > blockBytes) break;
      const states = this.#choose(file);
      if (states.length === 0 && file.copies.length >= Math.max(1, this.requiredCopies)) break;
      if (states.length === 0) {
        // A smaller file may fit; where not even that does, something must be given back first.
        if (file.copies.length > 0 || !this.#shrink(file)) await this.#waitForSpace();
        continue;
      }
      await this.#addCopies(file, states);
    }
    const isNamed = file.header.members.length === file.copies.length && file.driveIds.every((id) => file.header.members.includes(id));
    if (!isNamed && file.copies.length > 0 && !this.#isClosing) await this.#rewriteHeaders(file);
    if (file.copies.length === 0 && !this.#isClosing)
      throw new CfsError("IO", `no copy of journal file ${file.fileId} is left on a healthy drive`);
  }

  /** Before the file has a copy: the size of a hasty one. False when it is that small already. */
  #shrink(file: LogFile): boolean {
    if (file.header.sizeBytes <= this.#hastyBytes) return false;
    file.header = { ...file.header, sizeBytes: this.#hastyBytes };
    for (const state of this.drives.states) state.fullUntilMs = 0;
    return true;
  }

  /** Healthy drives with space for the copies that are missing; which ones goes round with the file id, so that all drives share the load. */
  #choose(file: LogFile): DriveState[] {
    const now = this.#parts.clock.monotonicMs();
    const states = this.drives.states.filter(
      (state) =>
        state.isHealthy && (state.fullUntilMs <= now || state.spares.length > 0) && file.copies.every((copy) => copy.state !== state),
    );
    const shift = states.length === 0 ? 0 : file.fileId % states.length;
    const inTurn = [...states.slice(shift), ...states.slice(0, shift)];
    // The first file of a run is waited for: it goes where a spare is ready.
    if (this.#current === null || this.#current === file)
      inTurn.sort((a, b) => Math.min(1, b.spares.length) - Math.min(1, a.spares.length));
    return inTurn.slice(0, this.wantedCopies - file.copies.length);
  }

  async #waitForSpace(): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        cancel();
        this.#spaceWaiters.delete(wake);
        resolve();
      };
      const cancel = this.#parts.clock.after(fullMs, wake);
      this.#spaceWaiters.add(wake);
    });
  }

  async #addCopies(file: LogFile, states: readonly DriveState[]): Promise<void> {
    const members = [...file.driveIds, ...states.map((state) => state.drive.driveId)];
    const generation = file.copies.length === 0 ? file.header.generation : file.header.generation + 1;
    file.header = { ...file.header, members, generation };
    const header = encodeHeader(file.header, this.#parts.crc32c);
    const made = await Promise.all(states.map((state) => this.#addCopyOrGiveUp(file, state, header)));
    if (made.includes(false) || generation > 1) file.header = { ...file.header, members: [] }; // Not what every copy says: written anew at the end.
  }

  /** A drive that hangs is dropped by whoever notices; then nobody waits for the copy any more. */
  async #addCopyOrGiveUp(file: LogFile, state: DriveState, header: Uint8Array): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const giveUp = (): void => resolve(false);
    state.onDropped.add(giveUp);
    try {
      return await Promise.race([this.#addCopy(file, state, header), promise]);
    } finally {
      state.onDropped.delete(giveUp);
    }
  }

  async #addCopy(file: LogFile, state: DriveState, header: Uint8Array): Promise<boolean> {
    let copy: FileCopy | null = null;
    try {
      const made = await this.drives.create(state, file.fileId, header, file.header.sizeBytes);
      copy = { state, file: made.file, path: made.path };
      if (file.sentBytes > blockBytes) await this.#fillCopy(file, copy);
      if (!state.isHealthy) throw new CfsError("IO", `${state.drive.path} was dropped meanwhile`);
      file.copies.push(copy);
      return true;
    } catch (reason) {
      const isSourceLost = copy !== null && file.copies.length === 0 && file.sentBytes > blockBytes;
      if (!isSourceLost) this.#couldNotAdd(state, CfsError.from(reason));
      if (copy !== null) this.#abandon(copy);
      return false;
    }
  }

  #couldNotAdd(state: DriveState, error: CfsError): void {
    if (error.code === "NO_SPACE" || error.code === "QUOTA") {
      state.fullUntilMs = this.#parts.clock.monotonicMs() + fullMs;
      this.#parts.log.warn("a drive has no space for the journal", { drive: state.drive.path });
    } else if (state.isHealthy) {
      this.dropDrive(state, error);
    }
  }

  /** Closes a copy of a drive that failed when its last request ended, which on a drive that hangs may be never: nobody waits for it. */
  #abandon(copy: FileCopy): void {
    this.#parts.io.close(copy.file).then(
      () => undefined,
      (reason: unknown) =>
        this.#parts.log.warn("a journal file on a dropped drive did not close", { path: copy.path, reason: CfsError.from(reason).message }),
    );
  }

  /** Copies every frame that was sent from the first copy that can be read. Records are verified when they are read. */
  async #fillCopy(file: LogFile, target: FileCopy): Promise<void> {
    const { io } = this.#parts;
    await withPages(io, copyWindowBytes, async (pages) => {
      for (let at = blockBytes; at < file.sentBytes; at += pages.length) {
        const window = pages.subarray(0, Math.min(pages.length, file.sentBytes - at));
        await this.#readAny(file, window, at);
        await io.write(target.file, [window], at);
      }
    });
  }

  /** Blocks that no copy can give become zeros: reads of the records there find them wrong, the others go on. */
  async #readAny(file: LogFile, window: Uint8Array, offsetBytes: number): Promise<void> {
    const sources = [...file.copies];
    for (const copy of sources) if (await this.#tryRead(copy, window, offsetBytes)) return;
    if (file.copies.length === 0) throw new CfsError("IO", `no copy of journal file ${file.fileId} is left to read`);
    for (let at = 0; at < window.length; at += blockBytes) {
      const block = window.subarray(at, at + blockBytes);
      let isRead = false;
      for (const copy of sources) isRead ||= await this.#tryRead(copy, block, offsetBytes + at);
      if (isRead) continue;
      block.fill(0);
      this.#parts.log.error("a block of the journal cannot be read from any copy", { fileId: file.fileId, offsetBytes: offsetBytes + at });
    }
  }

  #tryRead(copy: FileCopy, target: Uint8Array, offsetBytes: number): Promise<boolean> {
    return readFully(this.#parts.io, copy.file, target, offsetBytes).then(
      () => true,
      () => false,
    );
  }

  /** Names the members that there are in every copy's header. */
  async #rewriteHeaders(file: LogFile): Promise<void> {
    file.header = { ...file.header, members: file.driveIds, generation: file.header.generation + 1 };
    const header = encodeHeader(file.header, this.#parts.crc32c);
    await Promise.all([...file.copies].map((copy) => this.writeHeader(copy, header)));
  }

  async writeHeader(copy: FileCopy, header: Uint8Array): Promise<void> {
    const { io } = this.#parts;
    await withPages(io, blockBytes, async (block) => {
      block.set(header);
      await io.write(copy.file, [block], 0);
    }).catch((reason: unknown) => {
      if (copy.state.isHealthy) this.dropDrive(copy.state, CfsError.from(reason));
    });
  }

  /** A drive whose files could not be listed or opened at the start: the log goes on without it, as if it had failed later. */
  startFailed(drive: JournalDrive, reason: Error): void {
    for (const copy of [...this.strays]) {
      if (copy.state.drive !== drive) continue;
      this.strays.delete(copy);
      this.#abandon(copy);
    }
    const state = this.drives.states.find((one) => one.drive === drive);
    if (state === undefined) this.#listener.onDriveFailed(drive, reason, false);
    else this.dropDrive(state, reason);
  }

  /** The drive is not written to any more. */
  dropDrive(state: DriveState, reason: Error, isAsked: boolean = false): void {
    assert(state.isHealthy, "a drive is dropped once");
    state.isHealthy = false;
    for (const giveUp of [...state.onDropped]) giveUp();
    for (const file of [...this.files.values(), this.#next]) {
      const copy = file?.drop(state) ?? null;
      if (copy !== null) this.#abandon(copy);
    }
    this.#listener.onDriveFailed(state.drive, reason, isAsked);
    if (this.#next !== null) this.ensure(this.#next);
    for (const file of this.#tasks.keys()) this.ensure(file);
    this.#wakeSpaceWaiters();
  }

  #wakeSpaceWaiters(): void {
    for (const wake of [...this.#spaceWaiters]) wake();
  }

  /** The file's content is no longer wanted, on any copy. */
  async discard(file: LogFile): Promise<void> {
    this.files.delete(file.fileId);
    await this.settled(file);
    const copies = file.copies.splice(0);
    await Promise.all(copies.map((copy) => this.#discardCopy(copy)));
    this.#wakeSpaceWaiters();
  }

  async #discardCopy(copy: FileCopy): Promise<void> {
    try {
      await this.#parts.io.close(copy.file);
      await this.drives.discard(copy.state, copy.path, copy.file.sizeBytes);
      copy.state.fullUntilMs = 0;
    } catch (reason) {
      if (copy.state.isHealthy) this.dropDrive(copy.state, CfsError.from(reason));
    }
  }

  async discardStrays(): Promise<void> {
    const strays = [...this.strays];
    this.strays.clear();
    await Promise.all(strays.map((copy) => this.#discardCopy(copy)));
  }

  /** The file made ready ahead goes, because its header belongs to an epoch that ends. */
  async dropNext(): Promise<void> {
    const next = this.#next;
    this.#next = null;
    if (next !== null) await this.discard(next);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#wakeSpaceWaiters();
    while (this.#tasks.size > 0) await Promise.all(this.#tasks.values());
    const files = [...this.files.values(), ...(this.#next === null ? [] : [this.#next])];
    const copies = [...this.strays, ...files.flatMap((file) => file.copies)];
    const outcomes = await Promise.allSettled(copies.map((copy) => this.#parts.io.close(copy.file)));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, "journal files could not be closed");
  }
}
