/**
 * Group commit: records that come while a turn of the event loop runs, or while writes are in flight, go out as one frame to every copy.
 *
 * Invariants: indexes are given in order, frames are submitted in order, and durability is told in order: a frame counts when every copy
 * that its file has holds it and these are enough. Up to `depth` frames are in flight, so after a crash frame n+1 may be there without frame n;
 * it was never acknowledged, and recovery voids it. A drive that fails, or lags `stallMs` behind another, is dropped; the frames in
 * flight go on with the copies that are left, and the next record goes to a new file on healthy drives.
 */
import { assert, CfsError } from "@cfs/core";

import type { DriveState, JournalDrive } from "./journal-drives.ts";
import type { FileCopy, LogFile } from "./journal-file.ts";
import { JournalFiles } from "./journal-files.ts";
import { blockBytes, encodeRecord, headBytesMax, recordSpanBytes, roundUp } from "./journal-format.ts";
import type { JournalListener, JournalParts, JournalSettings } from "./journal-options.ts";
import type { JournalTail, TailChunk } from "./journal-tail.ts";

/** Where a record lies. */
export interface RecordPlace {
  readonly index: number;
  readonly fileId: number;
  readonly recordOffsetBytes: number;
}

interface Frame {
  readonly file: LogFile;
  readonly chunk: TailChunk;
  /** Place in the chunk and in the file. */
  readonly chunkBegin: number;
  readonly offsetBytes: number;
  sizeBytes: number;
  lastIndex: number;
  submittedMs: number;
  /** Copies that are still being written; null before the frame is submitted. */
  outstanding: Set<FileCopy> | null;
  doneCount: number;
}

export interface WriterCounts {
  appendCount: number;
  frameCount: number;
  frameBytes: number;
  stallCount: number;
}

export class JournalWriter {
  readonly counts: WriterCounts = { appendCount: 0, frameCount: 0, frameBytes: 0, stallCount: 0 };
  readonly files: JournalFiles;
  readonly #parts: JournalParts;
  readonly #settings: JournalSettings;
  readonly #listener: JournalListener;
  readonly #tail: JournalTail;
  readonly #flush: () => void;
  #current: LogFile | null = null;
  #mustRoll = false;
  #lastIndex = 0;
  #durableIndex = 0;
  #pendingBytes = 0;
  #frame: Frame | null = null;
  readonly #queue: Frame[] = [];
  readonly #flight: Frame[] = [];
  #isScheduled = false;
  #cancelTimer: (() => void) | null = null;
  #broken: CfsError | null = null;
  #isClosing = false;
  #roomWaiters: { promise: Promise<void>; resolve(): void; reject(reason: Error): void } | null = null;
  #onIdle: (() => void) | null = null;

  constructor(parts: JournalParts, settings: JournalSettings, listener: JournalListener, tail: JournalTail) {
    this.#parts = parts;
    this.#settings = settings;
    this.#listener = listener;
    this.#tail = tail;
    this.#flush = () => this.#turnEnded();
    this.files = new JournalFiles(parts, settings, {
      onReady: (file) => this.#fileReady(file),
      onBroken: (reason) => this.#break(reason),
      onDriveFailed: (drive, reason, isAsked) => this.#driveFailed(drive, reason, isAsked),
    });
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get durableIndex(): number {
    return this.#durableIndex;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get current(): LogFile {
    assert(this.#current !== null, "the log was begun");
    return this.#current;
  }

  get broken(): CfsError | null {
    return this.#broken;
  }

  /** The log goes on behind `lastIndex`, in a new file. */
  async begin(lastIndex: number): Promise<void> {
    assert(this.#pendingBytes === 0, "nothing is on its way where the log begins");
    this.#lastIndex = lastIndex;
    this.#durableIndex = lastIndex;
    this.#current = this.files.rollInHaste();
    this.#mustRoll = false;
    const { current } = this;
    await this.files.settled(current);
    if (this.#broken !== null) throw this.#broken;
  }

  /** A file that was begun in haste serves until the next one is ready. */
  #fileReady(file: LogFile): void {
    const current = this.#current;
    if (current !== null && file !== current && file.firstIndex === 0 && current.header.sizeBytes < this.#settings.fileBytes)
      this.#mustRoll = true;
    this.#settle();
  }

  #roll(): void {
    this.#current = this.files.roll();
    this.#mustRoll = false;
  }

  append(head: Uint8Array, payload: readonly Uint8Array[]): RecordPlace {
    if (this.#broken !== null) throw this.#broken;
    assert(!this.#isClosing, "nothing is appended after close");
    let payloadBytes = 0;
    for (const view of payload) payloadBytes += view.length;
    const span = recordSpanBytes(head.length, payloadBytes);
    if (span > this.#settings.chunkBytes || head.length > headBytesMax) {
      throw new CfsError("TOO_BIG", `a journal record of ${span} bytes is above ${this.#settings.chunkBytes}`);
    }
    const frame = this.#frameFor(span);
    const index = this.#lastIndex + 1;
    const { file, chunk } = frame;
    const recordOffsetBytes = frame.offsetBytes + frame.sizeBytes;
    const record = { index, durableIndex: this.#durableIndex, offsetBytes: recordOffsetBytes, head, payload };
    encodeRecord(chunk.bytes, frame.chunkBegin + frame.sizeBytes, file.header, record, this.#parts.crc32c);
    frame.sizeBytes += span;
    frame.lastIndex = index;
    chunk.usedBytes += span;
    this.#pendingBytes += span;
    this.#lastIndex = index;
    if (file.firstIndex === 0) file.firstIndex = index;
    file.lastIndex = index;
    file.payloadBytes += payloadBytes;
    this.counts.appendCount++;
    this.#schedule();
    return { index, fileId: file.fileId, recordOffsetBytes };
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#flush);
  }

  #turnEnded(): void {
    this.#isScheduled = false;
    this.#settle();
  }

  /** The open frame, where the record fits; otherwise a new one, in a new file where it must be. */
  #frameFor(span: number): Frame {
    const open = this.#frame;
    if (open !== null && !this.#mustRoll) {
      const end = open.sizeBytes + span;
      if (open.chunkBegin + end <= open.chunk.bytes.length && open.offsetBytes + end <= open.file.header.sizeBytes) return open;
    }
    if (open !== null) this.#seal(open);
    if (this.#mustRoll || this.current.endBytes + span > this.current.header.sizeBytes) this.#roll();
    const file = this.current;
    const chunk = this.#tail.room(file.fileId, file.endBytes, span);
    chunk.pinCount++;
    const frame: Frame = {
      file,
      chunk,
      chunkBegin: chunk.usedBytes,
      offsetBytes: file.endBytes,
      sizeBytes: 0,
      lastIndex: 0,
      submittedMs: 0,
      outstanding: null,
      doneCount: 0,
    };
    this.#frame = frame;
    return frame;
  }

  /** No record is added any more: the frame is filled up to a whole block. */
  #seal(frame: Frame): void {
    assert(frame === this.#frame && frame.sizeBytes > 0, "the open frame is sealed, with something in it");
    const padded = roundUp(frame.sizeBytes, blockBytes);
    const end = frame.chunkBegin + frame.sizeBytes;
    frame.chunk.bytes.fill(0, end, frame.chunkBegin + padded);
    frame.chunk.usedBytes += padded - frame.sizeBytes;
    this.#pendingBytes += padded - frame.sizeBytes;
    frame.sizeBytes = padded;
    frame.file.endBytes += padded;
    this.#frame = null;
    this.#queue.push(frame);
  }

  #pump(): void {
    while (this.#flight.length < this.#settings.depth && this.#broken === null) {
      if (this.#queue.length === 0 && this.#frame !== null) this.#seal(this.#frame);
      const frame = this.#queue[0];
      if (frame === undefined || this.files.isBusy(frame.file)) return;
      if (frame.file.copies.length < Math.max(1, this.files.requiredCopies)) return this.files.ensure(frame.file);
      this.#queue.shift();
      this.#submit(frame);
    }
  }

  #submit(frame: Frame): void {
    const { chunk, file } = frame;
    const view = new Uint8Array(chunk.taken.buffer, chunk.taken.byteOffset + frame.chunkBegin, frame.sizeBytes);
    const views = [view];
    const copies = [...file.copies];
    frame.outstanding = new Set(copies);
    frame.submittedMs = this.#parts.clock.monotonicMs();
    chunk.writeCount += copies.length;
    file.sentBytes = frame.offsetBytes + frame.sizeBytes;
    this.#flight.push(frame);
    this.counts.frameCount++;
    this.counts.frameBytes += frame.sizeBytes;
    for (const copy of copies) {
      this.#parts.io.write(copy.file, views, frame.offsetBytes).then(
        () => this.#written(frame, copy, null),
        (reason: unknown) => this.#written(frame, copy, CfsError.from(reason)),
      );
    }
    this.#watch();
  }

  #written(frame: Frame, copy: FileCopy, error: CfsError | null): void {
    frame.chunk.writeCount--;
    const wasAwaited = frame.outstanding?.delete(copy) === true;
    if (error === null) frame.doneCount++;
    else if (copy.state.isHealthy) this.files.dropDrive(copy.state, error);
    if (wasAwaited || error !== null) this.#settle();
  }

  /** Tells what became durable, in order, and sends what waits. */
  #settle(): void {
    let isDone = false;
    for (let frame = this.#flight[0]; frame !== undefined && this.#isDurable(frame); frame = this.#flight[0]) {
      this.#flight.shift();
      this.#listener.onSynced?.(this.#parts.clock.monotonicMs() - frame.submittedMs);
      frame.chunk.pinCount--;
      this.#pendingBytes -= frame.sizeBytes;
      this.#durableIndex = frame.lastIndex;
      isDone = true;
    }
    if (isDone) this.#listener.onDurable(this.#durableIndex);
    this.#pump();
    if (isDone) this.#afterDurable();
  }

  #isDurable(frame: Frame): boolean {
    if (this.#broken !== null || frame.outstanding === null || frame.outstanding.size > 0) return false;
    const { file } = frame;
    if (this.files.isBusy(file)) return false;
    if (file.copies.length >= Math.max(1, this.files.requiredCopies)) return true;
    // Its copies are made from one that holds every frame in flight: the others of this file must have arrived there first.
    if (this.#flight.every((other) => other.file !== file || other.outstanding?.size === 0)) this.files.ensure(file);
    return false;
  }

  #afterDurable(): void {
    if (this.#tail.heldBytes > this.#settings.cacheBytes) this.#tail.trim();
    this.#offerRoom();
    if (this.#pendingBytes === 0) this.#onIdle?.();
  }

  #driveFailed(drive: JournalDrive, reason: Error, isAsked: boolean): void {
    this.#mustRoll = true;
    for (const frame of this.#flight) {
      for (const copy of frame.outstanding ?? []) if (!copy.state.isHealthy) frame.outstanding?.delete(copy);
    }
    this.#parts.log[isAsked ? "info" : "error"]("the journal dropped a drive", { drive: drive.path, reason: reason.message });
    this.#listener.onDriveFailed(drive, reason);
    const written = new Set([...this.#flight.map((frame) => frame.file), ...(this.#current === null ? [] : [this.#current])]);
    const lost = [...written].find((file) => file.copies.length === 0 && file.sentBytes > blockBytes && !this.files.isBusy(file));
    if (lost !== undefined) {
      this.#break(new CfsError("IO", `no copy of journal file ${lost.fileId} is left on a healthy drive`, { cause: reason }));
    } else if (this.files.drives.healthyCount === 0) {
      this.#break(new CfsError("IO", "no healthy drive is left for the journal", { cause: reason }));
    }
    this.#schedule();
  }

  /** One timer at most, and none while nothing is in flight for long: it is not cancelled when a write ends. */
  #watch(): void {
    if (this.#cancelTimer !== null) return;
    const head = this.#flight[0] as Frame;
    const age = this.#parts.clock.monotonicMs() - head.submittedMs;
    this.#cancelTimer = this.#parts.clock.after(Math.max(1, this.#settings.stallMs - age), () => {
      this.#cancelTimer = null;
      this.#dropLaggards();
      if (this.#flight.length > 0 && this.#broken === null) this.#watch();
    });
  }

  #dropLaggards(): void {
    const now = this.#parts.clock.monotonicMs();
    const late = new Set<DriveState>();
    for (const frame of this.#flight) {
      if (now - frame.submittedMs < this.#settings.stallMs || frame.doneCount === 0) continue;
      for (const copy of frame.outstanding ?? []) late.add(copy.state);
    }
    for (const state of late) {
      if (!state.isHealthy) continue;
      this.counts.stallCount++;
      this.files.dropDrive(
        state,
        new CfsError(
          "TIMED_OUT",
          `a journal write to ${state.drive.path} hangs for ${this.#settings.stallMs} ms while other drives were done`,
        ),
      );
    }
    if (late.size > 0) this.#settle();
  }

  #break(reason: Error): void {
    if (this.#broken !== null) return;
    this.#broken = CfsError.from(reason);
    this.#parts.log.error("the journal cannot go on", { reason: reason.message });
    this.#roomWaiters?.reject(this.#broken);
    this.#roomWaiters = null;
    this.#onIdle?.();
    this.#listener.onBroken(this.#broken);
  }

  /** Null when there is room; else resolves when there is. Rejects when the journal breaks or closes. */
  whenRoom(): Promise<void> | null {
    if (this.#hasRoom()) return null;
    if (this.#broken !== null) return Promise.reject(this.#broken);
    if (this.#roomWaiters === null) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      promise.catch(() => undefined); // Each waiter hears it; without one it is no news.
      this.#roomWaiters = { promise, resolve, reject };
    }
    return this.#roomWaiters.promise;
  }

  #hasRoom(): boolean {
    if (this.#broken !== null || this.#pendingBytes >= this.#settings.pendingBytesMax) return false;
    return this.files.totalBytes <= this.#settings.totalBytesMax && this.#tail.hasRoom();
  }

  /** To be called when something was given back. */
  offerRoom(): void {
    this.#offerRoom();
  }

  #offerRoom(): void {
    if (this.#roomWaiters === null || !this.#hasRoom()) return;
    this.#roomWaiters.resolve();
    this.#roomWaiters = null;
  }

  /** Waits until what was appended is durable, or the journal is broken; then nothing is appended any more. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#pump();
    if (this.#pendingBytes > 0 && this.#broken === null) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#roomWaiters?.reject(new CfsError("BAD_HANDLE", "the journal is closed"));
    this.#roomWaiters = null;
    await this.files.close();
    this.#tail.close();
  }
}
