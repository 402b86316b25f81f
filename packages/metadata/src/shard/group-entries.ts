/**
 * What is durable of one group's log, in memory: hard state, the point up to which it was compacted, the entries after it, and where
 * payloads lie. The read side of raft-ts's LogStorage, but for snapshots.
 *
 * Invariant: entries are consecutive from `snapshot.index` + 1 on, their terms never fall, and no term is above the hard state's.
 * Only the log changes it, when a write is durable. File numbers belong to the log: they say where a copy of each thing lies that can be read again.
 */
import { assert } from "@cfs/core";
import { entryBytes } from "raft-ts";
import type { Configuration, Entry, HardState, SnapshotMeta } from "raft-ts";

export interface PayloadPlace {
  readonly term: number;
  readonly fileId: number;
  /** Of the frame that holds it. */
  readonly frameOffsetBytes: number;
  readonly frame: number;
  /** Its place in the frame's stream. */
  readonly streamOffset: number;
  readonly sizeBytes: number;
}

export class GroupEntries {
  #hardState: HardState = { term: 0, vote: 0, commit: 0 };
  #snapshot: SnapshotMeta;
  #entries: Entry[] = [];
  #fileIds: number[] = [];
  #sizeBytes = 0;
  /** Where hard state and snapshot were written last. */
  #hardStateFileId: number;
  #snapshotFileId: number;
  /** By index, also of entries that were compacted away. */
  readonly payloads: Map<number, PayloadPlace> = new Map();

  constructor(snapshot: SnapshotMeta, fileId: number) {
    this.#snapshot = snapshot;
    this.#hardStateFileId = fileId;
    this.#snapshotFileId = fileId;
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  /** The newest state that the host holds durably; the log begins behind it. */
  get snapshot(): SnapshotMeta {
    return this.#snapshot;
  }

  get configuration(): Configuration {
    return this.#snapshot.configuration;
  }

  get firstIndex(): number {
    return this.#snapshot.index + 1;
  }

  get lastIndex(): number {
    return this.#snapshot.index + this.#entries.length;
  }

  /** Weight of the entries, as raft-ts counts it. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  term(index: number): number | null {
    if (index === this.#snapshot.index) return this.#snapshot.term;
    return this.#entries[index - this.firstIndex]?.term ?? null;
  }

  at(index: number): Entry | null {
    return this.#entries[index - this.firstIndex] ?? null;
  }

  entries(begin: number, end: number, bytesMax: number): readonly Entry[] {
    assert(begin >= this.firstIndex && begin < end && end <= this.lastIndex + 1, "only entries that are there are asked for");
    const found: Entry[] = [];
    let sizeBytes = 0;
    for (let index = begin; index < end; index++) {
      const entry = this.#entries[index - this.firstIndex] as Entry;
      sizeBytes += entryBytes(entry);
      if (found.length > 0 && sizeBytes > bytesMax) break;
      found.push(entry);
    }
    return found;
  }

  /** True when the payload of the entry (its term may be left out) is durable here. */
  hasPayload(index: number, term: number | null = null): boolean {
    const place = this.payloads.get(index);
    return place !== undefined && (term === null || place.term === term);
  }

  setHardState(hardState: HardState, fileId: number): void {
    assert(hardState.term >= this.#hardState.term, "a term never falls");
    this.#hardState = hardState;
    this.#hardStateFileId = fileId;
  }

  append(entry: Entry, fileId: number): void {
    assert(entry.index > this.#snapshot.index && entry.index <= this.lastIndex + 1, "an entry follows the log without a gap");
    this.#cut(entry.index);
    // The payload of an entry is written before it: one that is here already is the entry's own, or of one that was cut.
    if (this.payloads.get(entry.index)?.term !== entry.term) this.payloads.delete(entry.index);
    assert(entry.term >= (this.term(entry.index - 1) as number), "terms never fall along the log");
    this.#entries.push(entry);
    this.#fileIds.push(fileId);
    this.#sizeBytes += entryBytes(entry);
  }

  /** Entries from `from` on go, and the payloads behind it. */
  #cut(from: number): void {
    if (from > this.lastIndex) return;
    for (const entry of this.#entries.splice(from - this.firstIndex)) {
      this.#sizeBytes -= entryBytes(entry);
      if (entry.index > from) this.payloads.delete(entry.index);
    }
    this.#fileIds.length = this.#entries.length;
  }

  /** Entries up to the snapshot's go; payloads stay until the log asks who uses them. */
  compact(meta: SnapshotMeta, fileId: number): void {
    assert(meta.index >= this.#snapshot.index && meta.index <= this.lastIndex, "what is compacted is in the log");
    assert(this.term(meta.index) === meta.term, "what is compacted is what the log holds");
    const count = meta.index - this.#snapshot.index;
    for (const entry of this.#entries.splice(0, count)) this.#sizeBytes -= entryBytes(entry);
    this.#fileIds.splice(0, count);
    this.#begin(meta, fileId);
  }

  /** The state came from elsewhere: the whole log goes. */
  install(meta: SnapshotMeta, fileId: number): void {
    assert(meta.index >= this.#snapshot.index, "an older snapshot is not installed");
    for (const index of this.payloads.keys()) if (index >= this.firstIndex) this.payloads.delete(index);
    this.#cut(this.firstIndex);
    this.#begin(meta, fileId);
  }

  #begin(meta: SnapshotMeta, fileId: number): void {
    this.#snapshot = meta;
    this.#snapshotFileId = fileId;
    // What the state holds is committed.
    if (this.#hardState.commit < meta.index) this.#hardState = { ...this.#hardState, commit: meta.index };
  }

  setPayload(index: number, place: PayloadPlace): void {
    assert(index <= this.lastIndex + 1, "a payload belongs to an entry that is or was in the log, or comes next");
    this.payloads.set(index, place);
  }

  /** Hard state or snapshot are written nowhere later than in this file. */
  hasHeadIn(fileId: number): boolean {
    return this.#hardStateFileId === fileId || this.#snapshotFileId === fileId;
  }

  /** A copy of the entry lies in another file now. */
  move(index: number, fileId: number): void {
    assert(index >= this.firstIndex && index <= this.lastIndex, "an entry that moves is in the log");
    this.#fileIds[index - this.firstIndex] = fileId;
  }

  /** Entries whose only copy lies in the file. */
  entriesIn(fileId: number): readonly Entry[] {
    return this.#entries.filter((_, at) => this.#fileIds[at] === fileId);
  }
}
