/**
 * A snapshot on its way to one follower: reads ahead of Raft, one chunk at a time, within the node's rate.
 *
 * Raft asks synchronously and is told "not yet" until the chunk is here; `onReady` tells it to ask again.
 */
import { assert, CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import type { SnapshotMeta, SnapshotPart, SnapshotSource } from "raft-ts";
import type { SnapshotReader } from "./state-machine.ts";

/** Bytes per second of all snapshots of a node together. */
export class SnapshotBudget {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  #allowance: number;
  #atMs: number;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#allowance = bytesPerSecond;
    this.#atMs = clock.monotonicMs();
  }

  /** True when a chunk may go now; a large one may overdraw, and what comes later waits longer. */
  take(sizeBytes: number): boolean {
    const now = this.#clock.monotonicMs();
    const earned = ((now - this.#atMs) / 1000) * this.#bytesPerSecond;
    this.#allowance = Math.min(this.#bytesPerSecond, this.#allowance + earned);
    this.#atMs = now;
    if (this.#allowance <= 0) return false;
    this.#allowance -= sizeBytes;
    return true;
  }
}

interface Fetched {
  readonly offset: number;
  readonly part: SnapshotPart;
}

export class SnapshotStream implements SnapshotSource {
  readonly meta: SnapshotMeta;
  readonly #reader: SnapshotReader;
  readonly #budget: SnapshotBudget;
  readonly #onReady: () => void;
  readonly #onFailed: (reason: CfsError) => void;
  #fetched: Fetched | null = null;
  #isFetching = false;
  #isReleased = false;

  constructor(
    meta: SnapshotMeta,
    parts: { readonly reader: SnapshotReader; readonly budget: SnapshotBudget },
    on: { readonly ready: () => void; readonly failed: (reason: CfsError) => void },
  ) {
    assert(parts.reader.index === meta.index, "a snapshot is of the index that it says");
    this.meta = meta;
    this.#reader = parts.reader;
    this.#budget = parts.budget;
    this.#onReady = on.ready;
    this.#onFailed = on.failed;
  }

  read(offset: number, lengthMax: number): SnapshotPart | null {
    const fetched = this.#fetched;
    if (fetched !== null && fetched.offset === offset) {
      if (!this.#budget.take(fetched.part.bytes.length)) return null;
      this.#fetched = null;
      if (!fetched.part.isLast) this.#fetch(offset + fetched.part.bytes.length, lengthMax);
      return fetched.part;
    }
    this.#fetch(offset, lengthMax);
    return null;
  }

  #fetch(offset: number, lengthMax: number): void {
    if (this.#isFetching || this.#isReleased) return;
    this.#isFetching = true;
    this.#reader.read(offset, lengthMax).then(
      (part) => {
        this.#isFetching = false;
        if (this.#isReleased) return;
        this.#fetched = { offset, part };
        this.#onReady();
      },
      (reason: unknown) => {
        this.#isFetching = false;
        this.#onFailed(CfsError.from(reason));
      },
    );
  }

  release(): void {
    assert(!this.#isReleased, "a snapshot is released once");
    this.#isReleased = true;
    this.#fetched = null;
    this.#reader.close();
  }
}
