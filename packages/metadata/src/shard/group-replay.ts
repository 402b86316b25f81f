/**
 * Builds the groups of a node from the records of the shared log, in their order.
 *
 * The log may begin anywhere after files were reclaimed: what was needed of those was written again later, so while records pass there may be
 * gaps, and copies of entries may come after entries that follow them. At the end there must be none: a gap is lost data and an error.
 */
import { CfsError } from "@cfs/core";
import type { Entry, HardState, SnapshotMeta } from "raft-ts";
import { GroupEntries } from "./group-entries.ts";
import type { PayloadPlace } from "./group-entries.ts";
import type { GroupRecord } from "./group-record-format.ts";

interface Kept {
  readonly entry: Entry;
  readonly fileId: number;
}

class GroupBuilder {
  hardState: HardState | null = null;
  meta: SnapshotMeta | null = null;
  hardStateFileId = 0;
  snapshotFileId = 0;
  readonly kept: Map<number, Kept> = new Map();
  readonly payloads: Map<number, PayloadPlace> = new Map();
  #lastIndex = 0;
  #firstIndex = Number.MAX_SAFE_INTEGER;
  #lastPayload = 0;

  take(entry: Entry, fileId: number, cuts: boolean): void {
    if (!cuts && (entry.index <= (this.meta?.index ?? 0) || this.kept.get(entry.index)?.entry.term === entry.term)) {
      // The older copy goes with its file.
      if (this.kept.has(entry.index)) this.kept.set(entry.index, { entry, fileId });
      return;
    }
    if (cuts) this.#cut(entry.index, entry.term);
    this.kept.set(entry.index, { entry, fileId });
    this.#lastIndex = Math.max(this.#lastIndex, entry.index);
    this.#firstIndex = Math.min(this.#firstIndex, entry.index);
  }

  /** Entries and payloads from `from` on go, but for a payload of the entry that comes now: it is written before it. */
  #cut(from: number, term: number): void {
    // A payload may be here while its entry, which went with an older file, is not.
    for (let index = Math.max(this.#lastIndex, this.#lastPayload); index >= from; index--) {
      this.kept.delete(index);
      if (index > from || this.payloads.get(index)?.term !== term) this.payloads.delete(index);
    }
    this.#lastIndex = Math.min(this.#lastIndex, from - 1);
    this.#lastPayload = Math.min(this.#lastPayload, from);
  }

  payload(index: number, place: PayloadPlace): void {
    this.payloads.set(index, place);
    this.#lastPayload = Math.max(this.#lastPayload, index);
  }

  /** `cutFrom`: the first entry of the log that an installed snapshot takes the place of; null for a compaction. */
  snapshot(meta: SnapshotMeta, cutFrom: number | null): void {
    if (cutFrom !== null) this.#cut(cutFrom, 0);
    for (let index = this.#firstIndex; index <= Math.min(meta.index, this.#lastIndex); index++) this.kept.delete(index);
    this.#firstIndex = Math.max(this.#firstIndex, meta.index + 1);
    this.#lastIndex = Math.max(this.#lastIndex, meta.index);
    this.meta = meta;
  }

  finish(group: number): GroupEntries {
    const { meta } = this;
    if (meta === null) throw damaged(group, "begins without a configuration");
    const entries = new GroupEntries(meta, this.snapshotFileId);
    for (let index = meta.index + 1; index <= this.#lastIndex; index++) {
      const kept = this.kept.get(index);
      if (kept === undefined) throw damaged(group, `lacks entry ${index} of those up to ${this.#lastIndex}`);
      if (kept.entry.term < (entries.term(index - 1) ?? 0))
        throw damaged(group, `has an entry ${index} of an older term than the one before`);
      entries.append(kept.entry, kept.fileId);
    }
    const { lastIndex } = entries;
    const hardState = this.hardState ?? { term: meta.term, vote: 0, commit: meta.index };
    if (hardState.term < (entries.term(lastIndex) ?? 0))
      throw damaged(group, `has entries of a later term than its own, ${hardState.term}`);
    // A commit index comes behind what it speaks of (log-records.ts); logs of before that may have it without the entries, when a write was torn.
    entries.setHardState({ ...hardState, commit: Math.max(meta.index, Math.min(hardState.commit, lastIndex)) }, this.hardStateFileId);
    for (const [index, place] of this.payloads) {
      const term = index > meta.index ? entries.term(index) : place.term;
      if (term === place.term) entries.setPayload(index, place);
    }
    return entries;
  }
}

function damaged(group: number, what: string): CfsError {
  const cure = "files of the group log are missing or damaged; let the other replicas of this group make a new one";
  return new CfsError("CORRUPT", `group ${group} ${what}: ${cure}`, { details: { group } });
}

export class GroupReplay {
  readonly #builders: Map<number, GroupBuilder> = new Map();
  /** Files up to here were let go; those that are still there may be removed. */
  reclaimedFileId = 0;

  /** `place` tells of a payload where its bytes are. */
  take(record: GroupRecord, fileId: number, place: PayloadPlace | null): void {
    if (record.type === "reclaimed") {
      this.reclaimedFileId = Math.max(this.reclaimedFileId, record.fileId);
      return;
    }
    if (record.type === "removed") {
      this.#builders.delete(record.group);
      return;
    }
    const builder = this.#builder(record.group);
    switch (record.type) {
      case "entry":
      case "moved":
        builder.take(record.entry, fileId, record.type === "entry");
        return;
      case "hardState":
        builder.hardState = record.hardState;
        builder.hardStateFileId = fileId;
        return;
      case "compacted":
      case "installed":
        builder.snapshot(record.meta, record.type === "installed" ? record.cutFrom : null);
        builder.snapshotFileId = fileId;
        return;
      case "payload":
        if (place !== null) builder.payload(record.index, place);
    }
  }

  finish(): Map<number, GroupEntries> {
    return new Map([...this.#builders].map(([group, builder]) => [group, builder.finish(group)]));
  }

  #builder(group: number): GroupBuilder {
    let builder = this.#builders.get(group);
    if (builder === undefined) this.#builders.set(group, (builder = new GroupBuilder()));
    return builder;
  }
}
