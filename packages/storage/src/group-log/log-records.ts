/**
 * Which records an append is made of, and which records of an old file are still needed.
 *
 * Order within a group: hard state, snapshot, then each entry with its payload before it, then payloads of entries that are in the log, then the
 * hard state again when its commit index speaks of any of these. Any prefix of them is a log that could have been, and never has an entry without
 * the payload that came with it; so a write of several frames that a crash cuts short does no harm.
 */
import type { GroupEntries, GroupId, GroupRecord, GroupUpdate, PayloadUse } from "@cfs/metadata";

import { readPlace } from "./log-file.ts";
import type { FileParts, LogFile } from "./log-file.ts";
import { frameAlignBytes, frameSectors, sectorBytes, streamCapacity } from "./sector-format.ts";

export function recordsOf(updates: readonly GroupUpdate[], groups: ReadonlyMap<GroupId, GroupEntries>): GroupRecord[] {
  const records: GroupRecord[] = [];
  for (const update of updates) {
    const { group, snapshot } = update;
    if (update.isRemoved) {
      records.push({ type: "removed", group });
      continue;
    }
    const { hardState } = update;
    const commit = hardState === null ? 0 : Math.min(hardState.commit, commitBefore(update, groups.get(group)));
    if (hardState !== null) records.push({ type: "hardState", group, hardState: { ...hardState, commit } });
    // One that was overtaken while its append waited for room says nothing new.
    const isNews = snapshot !== null && snapshot.meta.index > (groups.get(group)?.snapshot.index ?? -1);
    if (isNews && snapshot.how === "compacted") records.push({ type: "compacted", group, meta: snapshot.meta });
    if (snapshot?.how === "installed") {
      records.push({ type: "installed", group, meta: snapshot.meta, cutFrom: groups.get(group)?.firstIndex ?? 1 });
    }
    pushEntries(records, update);
    if (hardState !== null && hardState.commit > commit) records.push({ type: "hardState", group, hardState });
  }
  return records;
}

/**
 * The commit index may speak of the entries or the snapshot that come with it. Where a crash cuts the write before those, others may stand in their
 * place, of a leader that lost: so what is said first goes only as far as what the log holds already and keeps.
 */
function commitBefore({ snapshot, entries }: GroupUpdate, held: GroupEntries | undefined): number {
  if (snapshot?.how === "installed") return held?.hardState.commit ?? 0;
  const first = entries[0];
  return first === undefined ? Number.MAX_SAFE_INTEGER : first.index - 1;
}

function pushEntries(records: GroupRecord[], { group, entries, payloads }: GroupUpdate): void {
  const waiting = new Map(payloads.map((payload) => [payload.index, payload]));
  for (const entry of entries) {
    const payload = waiting.get(entry.index);
    if (payload !== undefined) records.push({ type: "payload", group, ...payload });
    waiting.delete(entry.index);
    records.push({ type: "entry", group, entry });
  }
  for (const payload of waiting.values()) records.push({ type: "payload", group, ...payload });
}

/** Bytes of a record beyond data and payload at most, but for a configuration's replicas. */
const headBytesMax = 64;

export function recordBytesMax(record: GroupRecord): number {
  if (record.type === "entry" || record.type === "moved") return headBytesMax + record.entry.data.length;
  if (record.type === "payload") return headBytesMax + record.bytes.length;
  if (record.type !== "compacted" && record.type !== "installed") return headBytesMax;
  const { voters, votersOutgoing, learners, learnersNext } = record.meta.configuration;
  return headBytesMax + 8 * (voters.length + votersOutgoing.length + learners.length + learnersNext.length);
}

/** What the records take of a file at most, in frames of up to `frameBytes`. */
export function framesBytesMax(records: readonly GroupRecord[], frameBytes: number): number {
  let streamBytes = 0;
  for (const record of records) streamBytes += recordBytesMax(record);
  const capacity = streamCapacity(frameBytes);
  // Two frames that follow each other hold more than one would.
  const frames = streamBytes <= capacity ? 1 : 2 * Math.ceil(streamBytes / capacity);
  return frameSectors(streamBytes) * sectorBytes + (frames - 1) * frameAlignBytes;
}

/** What is needed of all files, about. */
export function liveBytesOf(groups: ReadonlyMap<GroupId, GroupEntries>, isInUse: PayloadUse): number {
  let sizeBytes = 0;
  for (const [group, entries] of groups) {
    sizeBytes += entries.sizeBytes;
    for (const [index, place] of entries.payloads) {
      if (index >= entries.firstIndex || isInUse(group, index)) sizeBytes += place.sizeBytes;
    }
  }
  return sizeBytes;
}

/** Records that stand in for what is needed of the file, about `bytesMax` of them; none when nothing is. */
export async function liveRecords(
  parts: FileParts,
  groups: ReadonlyMap<GroupId, GroupEntries>,
  log: LogFile,
  isInUse: PayloadUse,
  bytesMax: number,
): Promise<GroupRecord[]> {
  const { fileId } = log.header;
  const records: GroupRecord[] = [];
  let sizeBytes = 0;
  for (const [group, entries] of groups) {
    if (entries.hasHeadIn(fileId)) {
      records.push({ type: "hardState", group, hardState: entries.hardState }, { type: "compacted", group, meta: entries.snapshot });
    }
    for (const entry of entries.entriesIn(fileId)) {
      if (sizeBytes > bytesMax) return records;
      records.push({ type: "moved", group, entry });
      sizeBytes += entry.data.length;
    }
    for (const [index, place] of entries.payloads) {
      if (place.fileId !== fileId || (index < entries.firstIndex && !isInUse(group, index))) continue;
      if (sizeBytes > bytesMax) return records;
      records.push({ type: "payload", group, index, term: place.term, bytes: await readPlace(parts, log, place) });
      sizeBytes += place.sizeBytes;
    }
  }
  return records;
}

/** Forgets payloads of the file that nobody needs: it goes. */
export function dropUnused(groups: ReadonlyMap<GroupId, GroupEntries>, fileId: number): void {
  for (const entries of groups.values()) {
    for (const [index, place] of entries.payloads) if (place.fileId === fileId) entries.payloads.delete(index);
  }
}
