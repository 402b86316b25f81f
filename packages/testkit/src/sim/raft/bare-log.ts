/**
 * The stable log of one replica of a simulated host: what Raft reads, what a power failure leaves, and the snapshot below it.
 *
 *   store(batch) ──► unsynced batches ──sync()──► medium            confirm(batch) ──► visible: what LogStorage answers
 *
 * Invariant: what was synced survives; of the rest a crash keeps the first batches and loses the others, each whole: the host frames what belongs
 * to one Ready with one checksum, as raft-ts asks for (hard state and entries become durable together). The group log proves it for real bytes.
 */
import { assert } from "@cfs/core";
import { entryBytes } from "raft-ts";
import type { Configuration, Entry, HardState, InitialState, LogStorage, SnapshotMeta, SnapshotPart, SnapshotSource } from "raft-ts";

import type { SimRandom } from "../engine/sim-random.ts";

export interface StoredSnapshot {
  readonly meta: SnapshotMeta;
  readonly bytes: Uint8Array;
}

export interface Compaction extends StoredSnapshot {
  readonly dropIndex: number;
}

/** What one write brings, whole or not at all. */
export interface Batch {
  readonly hardState: HardState | null;
  /** Replaces the log and the state. */
  readonly snapshot: StoredSnapshot | null;
  /** A snapshot of the own state, and how far the log goes that it makes superfluous: at most to the snapshot. */
  readonly compaction: Compaction | null;
  /** Replace everything from entries[0].index on. */
  readonly entries: readonly Entry[];
}

interface Image {
  hardState: HardState;
  snapshot: StoredSnapshot;
  /** The last entry that is gone; at most that of the snapshot. */
  baseIndex: number;
  baseTerm: number;
  /** entries[0] has index baseIndex + 1. */
  entries: Entry[];
}

export const emptyBatch: Batch = { hardState: null, snapshot: null, compaction: null, entries: [] };

function applyBatch(image: Image, batch: Batch): void {
  if (batch.hardState !== null) image.hardState = batch.hardState;
  if (batch.snapshot !== null) {
    image.snapshot = batch.snapshot;
    image.baseIndex = batch.snapshot.meta.index;
    image.baseTerm = batch.snapshot.meta.term;
    image.entries = [];
  }
  if (batch.compaction !== null) compact(image, batch.compaction);
  const first = batch.entries[0];
  if (first === undefined) return;
  const keep = first.index - image.baseIndex - 1;
  assert(keep >= 0 && keep <= image.entries.length, "entries continue the log without a hole");
  image.entries.length = keep;
  for (const entry of batch.entries) image.entries.push(entry);
}

function compact(image: Image, compaction: Compaction): void {
  image.snapshot = compaction;
  const count = compaction.dropIndex - image.baseIndex;
  const last = image.entries[count - 1];
  if (last === undefined) return;
  image.baseIndex = last.index;
  image.baseTerm = last.term;
  image.entries = image.entries.slice(count);
}

function copyOf(image: Image): Image {
  return { ...image, entries: [...image.entries] };
}

export class BareLog implements LogStorage {
  readonly #medium: Image;
  readonly #visible: Image;
  #unsynced: Batch[] = [];

  private constructor(image: Image) {
    this.#medium = image;
    this.#visible = copyOf(image);
  }

  /** Before the first entry, with the configuration the group was founded with, or empty for one who joins. */
  static founded(configuration: Configuration, stateBytes: Uint8Array): BareLog {
    return new BareLog({
      hardState: { term: 0, vote: 0, commit: 0 },
      snapshot: { meta: { index: 0, term: 0, configuration }, bytes: stateBytes },
      baseIndex: 0,
      baseTerm: 0,
      entries: [],
    });
  }

  initial(): InitialState {
    return { hardState: this.#visible.hardState, configuration: this.#visible.snapshot.meta.configuration };
  }

  get hardState(): HardState {
    return this.#visible.hardState;
  }

  /** What a power failure would leave. */
  get durableHardState(): HardState {
    return this.#medium.hardState;
  }

  get durableLastIndex(): number {
    return this.#medium.baseIndex + this.#medium.entries.length;
  }

  /** Whether a power failure would leave this entry, or a snapshot that has its effects. */
  isDurable(index: number, term: number): boolean {
    const { baseIndex, entries } = this.#medium;
    return index <= baseIndex || entries[index - baseIndex - 1]?.term === term;
  }

  get ownSnapshot(): StoredSnapshot {
    return this.#visible.snapshot;
  }

  get firstIndex(): number {
    return this.#visible.baseIndex + 1;
  }

  get lastIndex(): number {
    return this.#visible.baseIndex + this.#visible.entries.length;
  }

  term(index: number): number | null {
    const { baseIndex, baseTerm, entries } = this.#visible;
    return index === baseIndex ? baseTerm : (entries[index - baseIndex - 1]?.term ?? null);
  }

  entries(begin: number, end: number, bytesMax: number): readonly Entry[] {
    const found: Entry[] = [];
    let sumBytes = 0;
    for (let index = begin; index < end; index++) {
      const entry = this.#visible.entries[index - this.firstIndex];
      assert(entry !== undefined, "entries that are asked for are there");
      sumBytes += entryBytes(entry);
      if (found.length > 0 && sumBytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  snapshot(): SnapshotSource | null {
    const { meta, bytes } = this.#visible.snapshot;
    if (meta.index === 0) return null;
    return {
      meta,
      read: (offset: number, lengthMax: number): SnapshotPart => {
        const end = Math.min(offset + lengthMax, bytes.length);
        return { bytes: bytes.subarray(offset, end), isLast: end === bytes.length };
      },
      release: (): void => {},
    };
  }

  /** On its way to the medium. */
  store(batch: Batch): void {
    this.#unsynced.push(batch);
  }

  /** Everything that was stored is on the medium. */
  sync(): void {
    for (const batch of this.#unsynced) applyBatch(this.#medium, batch);
    this.#unsynced = [];
  }

  /** Raft may read it from now on. */
  confirm(batch: Batch): void {
    applyBatch(this.#visible, batch);
  }

  /** The log as the next life finds it. A kill loses nothing that was handed to the machine, a power failure any number of unsynced batches. */
  crashed(kind: "kill" | "power", random: SimRandom): BareLog {
    const image = copyOf(this.#medium);
    const keepCount = kind === "power" ? random.below(this.#unsynced.length + 1) : this.#unsynced.length;
    for (const batch of this.#unsynced.slice(0, keepCount)) applyBatch(image, batch);
    return new BareLog(image);
  }
}
