/**
 * The state of a node: an ordered key-value store with one LevelDB directory on each of up to three drives.
 *
 * Writes are visible at once and go to the engine behind the log, in batches, to every member the same ones in the same order; the marker in
 * each batch says up to which log index it is. Reads ask the first member; one that fails is dropped and the next one asked, so a
 * drive's loss costs nothing but its copy. Opening takes the freshest members; the others are filled again from them while work goes on.
 *
 * Invariants: every member that is not being filled holds the state of one batch, the newest or the one being written; nothing above the gate
 * (the durable log index) is ever in a member; the pending writes hold what is not yet in all members.
 * A value that is wrong in one member (level-engine.ts) is taken from another and written again.
 */
import { assert, CfsError } from "@cfs/core";
import type { KvEntry, KvKey, KvRange, KvWrite, OrderedKv } from "@cfs/metadata";

import type { Marker } from "./level-engine.ts";
import { encodeBatch, LevelEngine } from "./level-engine.ts";
import { engineOptions, optionsOf } from "./kv-options.ts";
import type { Engine, EngineMaker, KvSettings, MirroredKvListener, MirroredKvOptions, MirroredKvParts } from "./kv-options.ts";
import { freshest, openAll } from "./open-members.ts";
import { overlay, PendingWrites } from "./pending-writes.ts";
import { StateSnapshot } from "./state-snapshot.ts";

/** Entries that are copied in one step of a resync; flushes wait for a step. */
const resyncEntries = 1000;
/** Keys begin with at most this; used as the end of a scan over everything. */
const keyEnd = "\xff".repeat(1024);

interface Member {
  readonly engine: Engine;
  /** Not read, and not counted, before it is whole. */
  isComplete: boolean;
}

export class MirroredKv implements OrderedKv {
  readonly #parts: MirroredKvParts;
  readonly #engines: EngineMaker;
  readonly #listener: MirroredKvListener;
  readonly #options: KvSettings;
  readonly #members: Member[] = [];
  readonly #pending: PendingWrites;
  #batchNumber: number;
  /** In every complete member. */
  #flushedIndex: number;
  #flushedSequence = 0;
  #repairedCount = 0;
  #broken: CfsError | null = null;
  #isClosing = false;
  #closing: Promise<void> | null = null;
  #cancelDelay: (() => void) | null = null;
  /** Flushes, steps of a resync and changes of the members happen one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #isFlushing = false;
  #waiters: { readonly sequence: number; resolve(): void; reject(reason: Error): void }[] = [];
  #roomWaiters: { resolve(): void; reject(reason: Error): void }[] = [];
  readonly #resyncs: Set<Promise<void>> = new Set();

  private constructor(parts: MirroredKvParts, listener: MirroredKvListener, options: KvSettings, marker: Marker) {
    this.#parts = parts;
    this.#engines = parts.engines ?? LevelEngine;
    this.#listener = listener;
    this.#options = options;
    this.#batchNumber = marker.batchNumber;
    this.#flushedIndex = marker.appliedIndex;
    this.#pending = new PendingWrites(marker.appliedIndex, options.isGated);
  }

  /**
   * Opens what the directories hold. The freshest whole ones become members at once, the others are filled from them; with none that was ever
   * written, all begin empty. Fails when no directory can be opened, or when all that can be were being filled.
   */
  static async open(
    parts: MirroredKvParts,
    directories: readonly string[],
    listener: MirroredKvListener,
    options: MirroredKvOptions,
  ): Promise<MirroredKv> {
    assert(directories.length >= 1, "a state store has a directory");
    const full = optionsOf(options);
    const engines = parts.engines ?? LevelEngine;
    const found = await openAll(parts, engines, directories, listener, full);
    try {
      const best = freshest(full, found);
      const kv = new MirroredKv(parts, listener, full, best);
      for (const { directory, engine, marker } of found) {
        const isFresh = marker === null ? best.batchNumber === 0 : marker.isComplete && marker.batchNumber === best.batchNumber;
        if (engine !== null && isFresh) kv.#members.push({ engine, isComplete: true });
        else kv.#startRefill(directory, engine).catch((reason: unknown) => kv.#break(CfsError.from(reason)));
      }
      if (best.batchNumber === 0) await kv.#begin();
      return kv;
    } catch (reason) {
      for (const { engine } of found) await engine?.close();
      throw reason;
    }
  }

  /** The first batch of a new store: from now on its directories are told from others. */
  async #begin(): Promise<void> {
    this.#pending.write([], this.#pending.index);
    await this.#flushOnce();
  }

  /** Highest log index that every member holds durably. */
  get appliedIndex(): number {
    return this.#flushedIndex;
  }

  get directories(): string[] {
    return this.#members.filter((member) => member.isComplete).map((member) => member.engine.directory);
  }

  get pendingBytes(): number {
    return this.#pending.sizeBytes;
  }

  /** Values that were wrong in one member and right in another. */
  get repairedCount(): number {
    return this.#repairedCount;
  }

  get(key: KvKey): Uint8Array | null {
    const pending = this.#pending.get(key);
    return pending === undefined ? this.#stored(key) : pending;
  }

  #stored(key: KvKey): Uint8Array | null {
    let wrong: CfsError | null = null;
    for (const member of [...this.#members]) {
      if (!member.isComplete) continue;
      try {
        const value = member.engine.get(key);
        if (wrong !== null) this.#repair(key, value, wrong);
        return value;
      } catch (reason) {
        const error = CfsError.from(reason);
        if (error.code === "CORRUPT") wrong = error;
        else this.#drop(member, error);
      }
    }
    throw wrong ?? this.#broken ?? new CfsError("IO", "no member of the state store is left");
  }

  /** The true value goes to every member once more, with the next batch. */
  #repair(key: KvKey, value: Uint8Array | null, wrong: CfsError): void {
    this.#repairedCount++;
    this.#parts.log.warn("a wrong value in the state store was repaired", { reason: wrong.message });
    this.#enqueue([{ key, value }], this.#pending.index);
  }

  async scan(range: KvRange): Promise<readonly KvEntry[]> {
    assert(range.limit >= 1 && range.limit <= 10_000, "a scan asks for 1 to 10,000 entries");
    if (range.begin >= range.end) return [];
    for (;;) {
      const member = this.#members.find((one) => one.isComplete);
      if (member === undefined) throw this.#broken ?? new CfsError("IO", "no member of the state store is left");
      // Both are as of this moment: the engine's iterator is made before the first wait.
      const pending = this.#pending.range(range);
      const deletedCount = pending.reduce((count, entry) => (entry.value === null ? count + 1 : count), 0);
      try {
        const stored = await member.engine.scan(range.begin, range.end, range.limit + deletedCount, (key) => this.get(key));
        return overlay(stored, pending, range.limit);
      } catch (reason) {
        const error = CfsError.from(reason);
        if (error.code === "CORRUPT" || this.#isClosing) throw error;
        this.#drop(member, error);
      }
    }
  }

  write(batch: readonly KvWrite[]): void {
    this.writeAt(batch, this.#pending.index);
  }

  /** As write, for the effects of the log entry `index` and all before it. Index must not fall. */
  writeAt(batch: readonly KvWrite[], index: number): void {
    if (this.#broken !== null) throw this.#broken;
    assert(!this.#isClosing, "nothing is written after close");
    this.#enqueue(batch, index);
  }

  #enqueue(batch: readonly KvWrite[], index: number): void {
    this.#pending.write(batch, index);
    this.#schedule();
  }

  /** Log entries up to `index` are durable: what they wrote may go to the engine. */
  openGate(index: number): void {
    this.#pending.openGate(index);
    this.#schedule();
  }

  /** Null when the caller may go on, else a promise: too much waits for the engine. */
  whenRoom(): Promise<void> | null {
    if (this.#pending.sizeBytes < this.#options.pendingBytesMax) return null;
    if (this.#broken !== null) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => this.#roomWaiters.push({ resolve, reject }));
  }

  /** With every batch synced, there is nothing more to do for `sync`. */
  flush(_options: { sync: boolean }): Promise<void> {
    if (this.#broken !== null) return Promise.reject(this.#broken);
    if (this.#flushedSequence >= this.#pending.sequence) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ sequence: this.#pending.sequence, resolve, reject });
      this.#startFlush();
    });
  }

  #schedule(): void {
    if (!this.#pending.hasTakeable() || this.#isFlushing) return;
    if (this.#pending.sizeBytes >= this.#options.flushBytes || this.#waiters.length > 0) return this.#startFlush();
    this.#cancelDelay ??= this.#parts.clock.after(this.#options.flushDelayMs, () => {
      this.#cancelDelay = null;
      this.#startFlush();
    });
  }

  /** The flush that runs hears of its own failure; nothing else does not wait for it. */
  #startFlush(): void {
    if (this.#isFlushing || !this.#pending.hasTakeable() || this.#broken !== null) return;
    this.#isFlushing = true;
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    this.#flushOnce().then(
      () => this.#flushed(),
      (reason: unknown) => this.#break(CfsError.from(reason)),
    );
  }

  #flushed(): void {
    this.#isFlushing = false;
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.sequence > this.#flushedSequence) return true;
      waiter.resolve();
      return false;
    });
    if (this.#pending.sizeBytes < this.#options.pendingBytesMax) for (const waiter of this.#roomWaiters.splice(0)) waiter.resolve();
    this.#schedule();
  }

  async #flushOnce(): Promise<void> {
    await this.#inTurn(async () => {
      const taken = this.#pending.take();
      if (taken === null) return;
      const marker = { storeId: this.#options.storeId, appliedIndex: taken.index, batchNumber: this.#batchNumber + 1, isComplete: true };
      await this.#writeAll(taken.values, marker);
      this.#batchNumber = marker.batchNumber;
      this.#flushedIndex = taken.index;
      this.#flushedSequence = taken.sequence;
      this.#pending.done(taken);
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined); // The caller hears it; the next in turn goes on.
    return done;
  }

  /** The same batch to every member; those that fail, or hang while others are done, are dropped. */
  async #writeAll(values: ReadonlyMap<KvKey, Uint8Array | null>, marker: Marker): Promise<void> {
    const batch = encodeBatch(values, this.#parts.crc32c);
    const outstanding = new Set(this.#members);
    let doneCount = 0;
    await new Promise<void>((resolve) => {
      let cancel: (() => void) | null = null;
      const settle = (): void => {
        if (outstanding.size > 0) return;
        cancel?.();
        resolve();
      };
      const watch = (): void => {
        cancel = this.#parts.clock.after(this.#options.stallMs, () => {
          if (doneCount === 0) return watch();
          for (const member of [...outstanding]) {
            outstanding.delete(member);
            this.#drop(
              member,
              new CfsError(
                "TIMED_OUT",
                `a write to ${member.engine.directory} hangs for ${this.#options.stallMs} ms while others were done`,
              ),
            );
          }
          settle();
        });
      };
      for (const member of this.#members) {
        member.engine.write(batch, { ...marker, isComplete: member.isComplete }).then(
          () => {
            doneCount++;
            if (outstanding.delete(member)) settle();
          },
          (reason: unknown) => {
            if (!outstanding.delete(member)) return;
            this.#drop(member, CfsError.from(reason));
            settle();
          },
        );
      }
      watch();
      settle();
    });
    if (!this.#members.some((member) => member.isComplete))
      throw this.#broken ?? new CfsError("IO", "no member of the state store is left");
  }

  /** Its engine is closed when what runs there ends, which on a drive that hangs may be never: nobody waits for it. */
  #drop(member: Member, error: CfsError): void {
    if (this.#isClosing) return; // close() has them all.
    if (!this.#members.includes(member)) return;
    this.#parts.log.error("the state store dropped a member", { directory: member.engine.directory, reason: error.message });
    this.#leave(member);
    this.#listener.onMemberFailed(member.engine.directory, error);
    if (!this.#members.some((one) => one.isComplete)) this.#break(error);
  }

  #leave(member: Member): void {
    this.#members.splice(this.#members.indexOf(member), 1);
    member.engine.close().then(
      () => undefined,
      (reason: unknown) =>
        this.#parts.log.warn("a dropped state store did not close", {
          directory: member.engine.directory,
          reason: CfsError.from(reason).message,
        }),
    );
  }

  #break(error: CfsError): void {
    this.#broken ??= new CfsError("IO", `no member of the state store is left: ${error.message}`, { cause: error });
    this.#isFlushing = false;
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    for (const waiter of [...this.#waiters.splice(0), ...this.#roomWaiters.splice(0)]) waiter.reject(this.#broken);
  }

  /** Everything that was written before the call, for reading only, as it stays while the store goes on. It must be closed before the store. */
  async snapshot(): Promise<StateSnapshot> {
    await this.flush({ sync: true });
    for (const { isComplete, engine } of this.#members) {
      if (!isComplete || engine.snapshot === undefined) continue;
      return new StateSnapshot(engine.snapshot());
    }
    throw this.#broken ?? new CfsError("NOT_SUPPORTED", "no member of the state store can give a snapshot");
  }

  /** Makes `directory` a member, on a drive that is new or came back; what is there goes. Resolves when it is filled, or has failed, which the listener hears. */
  addMember(directory: string): Promise<void> {
    assert(
      this.#members.every((member) => member.engine.directory !== directory),
      "a directory becomes a member once",
    );
    return this.#startRefill(directory, null);
  }

  /** The directory is no member any more, because its drive failed or leaves, which whoever calls this knows: no listener hears it. The last whole member stays. */
  dropMember(directory: string, reason: CfsError): void {
    const member = this.#members.find((one) => one.engine.directory === directory);
    if (member === undefined) return;
    if (member.isComplete && this.#members.filter((one) => one.isComplete).length === 1) return;
    if (this.#isClosing) return;
    this.#parts.log.info("the state store lets a member go", { directory, reason: reason.message });
    this.#leave(member);
  }

  /** Resolves when no member is being filled any more. */
  async resynced(): Promise<void> {
    while (this.#resyncs.size > 0) await Promise.all(this.#resyncs);
  }

  #startRefill(directory: string, old: Engine | null): Promise<void> {
    const task = this.#refill(directory, old)
      .catch((reason: unknown) => {
        if (!this.#isClosing) this.#listener.onMemberFailed(directory, CfsError.from(reason));
      })
      .finally(() => this.#resyncs.delete(task));
    this.#resyncs.add(task);
    return task;
  }

  async #refill(directory: string, old: Engine | null): Promise<void> {
    await old?.close();
    await this.#engines.destroy(directory);
    const engine = await this.#engines.open(directory, this.#parts.crc32c, engineOptions(this.#options, false));
    const member: Member = { engine, isComplete: false };
    if (await this.#join(member)) await this.#fill(member);
  }

  /**
   * Fills a member in the order of the keys, one step between flushes. Flushes go to it from the start: below the cursor they keep it current,
   * above it they are overwritten by what the step reads, which is the same or newer.
   */
  async #fill(member: Member): Promise<void> {
    let cursor: KvKey = "";
    let entryCount = 0;
    for (let isDone = false; !isDone;) {
      await this.#inTurn(async () => {
        isDone = this.#isClosing || !this.#members.includes(member);
        if (isDone) return;
        const entries = await this.#copyStep(member, cursor);
        entryCount += entries.length;
        isDone = member.isComplete;
        cursor = `${entries.at(-1)?.key ?? ""}\0`;
        this.#listener.onResync(member.engine.directory, entryCount, isDone);
      });
    }
  }

  /** An empty member that is being filled; its marker says so before anything else is in it. */
  async #join(member: Member): Promise<boolean> {
    let isJoined = false;
    await this.#inTurn(async () => {
      if (!this.#isClosing) {
        await member.engine.write([], { storeId: this.#options.storeId, appliedIndex: 0, batchNumber: 0, isComplete: false });
        this.#members.push(member);
        isJoined = true;
      }
    }).catch(async (reason: unknown) => {
      await member.engine.close();
      throw reason;
    });
    if (!isJoined) await member.engine.close();
    return isJoined;
  }

  /** One step; the last one makes the member whole. A source that fails is dropped, and the step is made again from the next. */
  async #copyStep(member: Member, begin: KvKey): Promise<readonly KvEntry[]> {
    for (;;) {
      const source = this.#members.find((one) => one.isComplete);
      if (source === undefined) throw this.#broken ?? new CfsError("IO", "no member of the state store is left");
      let entries: readonly KvEntry[];
      try {
        entries = await source.engine.scan(begin, keyEnd, resyncEntries, (key) => this.#stored(key));
      } catch (reason) {
        this.#drop(source, CfsError.from(reason));
        continue;
      }
      const isComplete = entries.length < resyncEntries;
      const marker = { storeId: this.#options.storeId, appliedIndex: this.#flushedIndex, batchNumber: this.#batchNumber, isComplete };
      const batch = encodeBatch(
        entries.map(({ key, value }) => [key, value] as const),
        this.#parts.crc32c,
      );
      await member.engine.write(batch, marker).catch((reason: unknown) => {
        this.#drop(member, CfsError.from(reason));
        throw reason;
      });
      member.isComplete = isComplete;
      return entries;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** What the gate holds back is not written: the log has it. */
  async #close(): Promise<void> {
    this.#isClosing = true;
    this.#cancelDelay?.();
    this.#cancelDelay = null;
    while (this.#broken === null && this.#pending.hasTakeable())
      await this.#flushOnce().catch((reason: unknown) => this.#break(CfsError.from(reason)));
    await this.#turn;
    await this.resynced();
    for (const waiter of [...this.#waiters.splice(0), ...this.#roomWaiters.splice(0)])
      waiter.reject(new CfsError("BAD_HANDLE", "the state store is closed"));
    for (const member of this.#members.splice(0)) await member.engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
