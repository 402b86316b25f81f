/**
 * What was submitted and what is durable: sequence numbers, those who wait for them, and the budgets of what is on its way.
 *
 * Invariant: sequence numbers are given out without gaps; a waiter for seq n is released by the first progress that covers n, in order.
 * Memory held by commands that are not durable is bounded: past `memoryBytesMax` those who submit wait for progress.
 * A lost session rejects every waiter and begins again at sequence number 1.
 */
import { assert } from "@cfs/core";
import type { CfsError } from "@cfs/core";
import type { Progress } from "./remote.ts";

/** What a queued command costs beside its payload, roughly: the command, its record in the queues of the session. */
const commandMemoryBytes = 1024;

interface Waiter {
  readonly seq: number;
  readonly resolve: () => void;
  readonly reject: (reason: CfsError) => void;
}

interface Submitted {
  readonly seq: number;
  readonly memoryBytes: number;
  readonly spaceBytes: number;
}

/** First in, first out, without moving what is left at every removal. */
class Queue<T> {
  #items: T[] = [];
  #head = 0;

  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): void {
    this.#head++;
    if (this.#head >= 1024 && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  takeAll(): T[] {
    const rest = this.#items.slice(this.#head);
    this.#items = [];
    this.#head = 0;
    return rest;
  }
}

export class Durability {
  readonly #memoryBytesMax: number;
  #epoch = 0;
  #lastSeq = 0;
  #durableSeq = 0;
  #memoryBytes = 0;
  #spaceBytes = 0;
  #availableBytes: number = Number.MAX_SAFE_INTEGER;
  #submitted: Queue<Submitted> = new Queue();
  #durableWaiters: Queue<Waiter> = new Queue();
  #roomWaiters: Waiter[] = [];
  /** Hears that somebody begins to wait. */
  onWait: (() => void) | null = null;

  constructor(options: { readonly memoryBytesMax: number }) {
    this.#memoryBytesMax = options.memoryBytesMax;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Counts lost sessions. */
  get epoch(): number {
    return this.#epoch;
  }

  get durableSeq(): number {
    return this.#durableSeq;
  }

  get isAllDurable(): boolean {
    return this.#durableSeq === this.#lastSeq;
  }

  /** Bytes of memory behind commands that are not durable. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** How much more can be written, after what is on its way. */
  get spaceLeftBytes(): number {
    return this.#availableBytes - this.#spaceBytes;
  }

  get hasRoom(): boolean {
    return this.#memoryBytes <= this.#memoryBytesMax;
  }

  /** Takes the next sequence number. `spaceBytes`: what the command adds to the content. */
  submit(memoryBytes: number, spaceBytes: number): number {
    const seq = ++this.#lastSeq;
    const item = { seq, memoryBytes: memoryBytes + commandMemoryBytes, spaceBytes };
    this.#memoryBytes += item.memoryBytes;
    this.#spaceBytes += spaceBytes;
    this.#submitted.push(item);
    return seq;
  }

  /** Resolves when everything submitted so far is durable. */
  whenDurable(): Promise<void> {
    this.onWait?.();
    return new Promise((resolve, reject) => this.#durableWaiters.push({ seq: this.#lastSeq, resolve, reject }));
  }

  /** Resolves when the memory of what is on its way is inside the budget again. */
  whenRoom(): Promise<void> {
    this.onWait?.();
    return new Promise((resolve, reject) => this.#roomWaiters.push({ seq: this.#lastSeq, resolve, reject }));
  }

  progress(progress: Progress): void {
    assert(progress.durableSeq <= this.#lastSeq, "only what was submitted becomes durable");
    this.#availableBytes = progress.availableBytes;
    if (progress.durableSeq <= this.#durableSeq) return;
    this.#durableSeq = progress.durableSeq;
    for (let item = this.#submitted.first; item !== undefined && item.seq <= this.#durableSeq; item = this.#submitted.first) {
      this.#memoryBytes -= item.memoryBytes;
      this.#spaceBytes -= item.spaceBytes;
      this.#submitted.shift();
    }
    for (
      let waiter = this.#durableWaiters.first;
      waiter !== undefined && waiter.seq <= this.#durableSeq;
      waiter = this.#durableWaiters.first
    ) {
      this.#durableWaiters.shift();
      waiter.resolve();
    }
    this.#releaseRoomWaiters();
  }

  /** News about free space that did not come with progress. */
  setAvailable(availableBytes: number): void {
    this.#availableBytes = availableBytes;
  }

  /** The session is gone, and with it everything that was not durable. */
  reset(reason: CfsError): void {
    const waiters = [...this.#durableWaiters.takeAll(), ...this.#roomWaiters];
    this.#submitted.takeAll();
    this.#roomWaiters = [];
    this.#epoch++;
    this.#lastSeq = 0;
    this.#durableSeq = 0;
    this.#memoryBytes = 0;
    this.#spaceBytes = 0;
    for (const waiter of waiters) waiter.reject(reason);
  }

  #releaseRoomWaiters(): void {
    if (!this.hasRoom || this.#roomWaiters.length === 0) return;
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const waiter of waiters) waiter.resolve();
  }
}
