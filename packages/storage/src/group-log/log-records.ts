/**
 * Which records an append is made of, and which records of an old file are still needed.
 *
 * Order within a group: hard state, snapshot, entries, payloads. A prefix of them is a log that could have been, so a write of several frames
 * that a crash cuts short does no harm.
 */
import type { GroupEntries, GroupId, GroupRecord, GroupUpdate, PayloadUse } from "@cfs/metadata";

import { readPlace } from "./log-file.ts";
import type { FileParts, LogFile } from "./log-file.ts";

export function recordsOf(updates: readonly GroupUpdate[]): GroupRecord[] {
  const records: GroupRecord[] = [];
  for (const { group, isRemoved, hardState, snapshot, entries, payloads } of updates) {
    if (isRemoved) {
      records.push({ type: "removed", group });
      continue;
    }
    if (hardState !== null) records.push({ type: "hardState", group, hardState });
    if (snapshot !== null) records.push({ type: snapshot.how, group, meta: snapshot.meta });
    for (const entry of entries) records.push({ type: "entry", group, entry });
    for (const payload of payloads) records.push({ type: "payload", group, ...payload });
  }
  return records;
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
