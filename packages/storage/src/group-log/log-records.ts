/**
 * Which records an append is made of, and which records of an old file are still needed.
 *
 * Order within a group: hard state, snapshot, then each entry with its payload before it, then payloads of entries that are in the log. Any
 * prefix of them is a log that could have been, and never has an entry without the payload that came with it; so a write of several
 * frames that a crash cuts short does no harm.
 */
import type { GroupEntries, GroupId, GroupRecord, GroupUpdate, PayloadUse } from "@cfs/metadata";

import { readPlace } from "./log-file.ts";
import type { FileParts, LogFile } from "./log-file.ts";

export function recordsOf(updates: readonly GroupUpdate[], groups: ReadonlyMap<GroupId, GroupEntries>): GroupRecord[] {
  const records: GroupRecord[] = [];
  for (const update of updates) {
    const { group, snapshot } = update;
    if (update.isRemoved) {
      records.push({ type: "removed", group });
      continue;
    }
    if (update.hardState !== null) records.push({ type: "hardState", group, hardState: update.hardState });
    if (snapshot?.how === "compacted") records.push({ type: "compacted", group, meta: snapshot.meta });
    if (snapshot?.how === "installed") {
      records.push({ type: "installed", group, meta: snapshot.meta, cutFrom: groups.get(group)?.firstIndex ?? 1 });
    }
    pushEntries(records, update);
  }
  return records;
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
