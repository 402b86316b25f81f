/**
 * What the server asks of the whole state, page by page: directory listings, and lists of orphans, zombies, segments and so on.
 *
 * Every function gives up to `limit` items after a given one, in order, and fewer only at the end. Dirty records are seen.
 * A listing never splits entries of one hash, because they share their cookie: it may give a few more than `limit`.
 */
import { assert } from "@cfs/core";
import type { ClientId, InodeNumber, SegmentId } from "@cfs/core";
import type { KvEntry, KvKey } from "../kv/ordered-kv.ts";
import { decodeJournalFile, decodeRegion, decodeSegment, decodeTruncation } from "./content-format.ts";
import { firstNameCookie, hashAfterCookie, nameHashMax } from "./cookie.ts";
import * as keys from "./keys.ts";
import { scanMerged } from "./kv-scan.ts";
import type { KvState } from "./kv-state.ts";
import { decodeDirent, decodeOrphan } from "./record-format.ts";
import type { JournalFileUse, NamedDirent, Region, Segment, Session } from "./records.ts";
import { decodeSession } from "./system-format.ts";

export const listLimitMax = 10_000;

function namedDirent({ key, value }: KvEntry): NamedDirent {
  const { hash, name } = keys.parseDirentKey(key);
  return { ...decodeDirent(value), name, cookie: hash + firstNameCookie };
}

/** Entries after `cookie` (0: from the start) in cookie order; at least `limit` of them unless the directory ends. */
export async function listDirectory(state: KvState, parent: InodeNumber, cookie: number, limit: number): Promise<NamedDirent[]> {
  assert(limit >= 1 && limit <= listLimitMax, "a listing asks for 1 to 10,000 entries");
  const hash = hashAfterCookie(cookie);
  if (hash > nameHashMax) return [];
  const parts = state.direntScanParts(parent);
  const entries = await scanMerged(parts, keys.direntKeyFrom(parent, hash), keys.direntKeyEnd(parent), limit);
  const last = entries.at(-1);
  if (entries.length === limit && last !== undefined) {
    const end = keys.direntKeyFrom(parent, keys.parseDirentKey(last.key).hash + 1);
    for (let at = keys.keyAfter(last.key); ;) {
      const more = await scanMerged(parts, at, end, limit);
      entries.push(...more);
      if (more.length < limit) break;
      at = keys.keyAfter((more.at(-1) as KvEntry).key);
    }
  }
  return entries.map(namedDirent);
}

type ScannedKind = Parameters<KvState["scanParts"]>[0];

/** `after` null: from the first record of the kind. */
async function scanKind(state: KvState, kind: ScannedKind, letter: string, after: KvKey | null, limit: number): Promise<KvEntry[]> {
  assert(limit >= 1 && limit <= listLimitMax, "a scan asks for 1 to 10,000 records");
  const { begin, end } = keys.kindRange(letter);
  return scanMerged(state.scanParts(kind), after === null ? begin : keys.keyAfter(after), end, limit);
}

export async function listOrphans(
  state: KvState,
  after: InodeNumber | 0,
  limit: number,
): Promise<{ readonly ino: InodeNumber; readonly owner: ClientId }[]> {
  const entries = await scanKind(state, "orphans", "O", after === 0 ? null : keys.orphanKey(after), limit);
  return entries.map(({ key, value }) => ({ ino: keys.parseNumberKey(key) as InodeNumber, owner: decodeOrphan(value) }));
}

export async function listZombies(state: KvState, after: InodeNumber | 0, limit: number): Promise<InodeNumber[]> {
  const entries = await scanKind(state, "zombies", "Z", after === 0 ? null : keys.zombieKey(after), limit);
  return entries.map(({ key }) => keys.parseNumberKey(key) as InodeNumber);
}

export async function listTruncations(
  state: KvState,
  after: InodeNumber | 0,
  limit: number,
): Promise<{ readonly ino: InodeNumber; readonly sizeBytes: number }[]> {
  const entries = await scanKind(state, "truncations", "T", after === 0 ? null : keys.truncationKey(after), limit);
  return entries.map(({ key, value }) => ({ ino: keys.parseNumberKey(key) as InodeNumber, sizeBytes: decodeTruncation(value) }));
}

export async function listCandidates(state: KvState, after: SegmentId | 0, limit: number): Promise<SegmentId[]> {
  const entries = await scanKind(state, "candidates", "G", after === 0 ? null : keys.candidateKey(after), limit);
  return entries.map(({ key }) => keys.parseNumberKey(key) as SegmentId);
}

export async function listSegments(state: KvState, after: SegmentId | 0, limit: number): Promise<Segment[]> {
  const entries = await scanKind(state, "segments", "S", after === 0 ? null : keys.segmentKey(after), limit);
  return entries.map(({ value }) => decodeSegment(value));
}

/** `after`: a file number, -1 from the start. */
export async function listJournalFiles(state: KvState, after: number, limit: number): Promise<JournalFileUse[]> {
  const entries = await scanKind(state, "journalFiles", "J", after < 0 ? null : keys.journalFileKey(after), limit);
  return entries.map(({ value }) => decodeJournalFile(value));
}

export async function listSessions(state: KvState, after: ClientId | null, limit: number): Promise<Session[]> {
  const entries = await scanKind(state, "sessions", "C", after === null ? null : keys.sessionKey(after), limit);
  return entries.map(({ value }) => decodeSession(value));
}

export interface ListedRegion {
  readonly ino: InodeNumber;
  readonly index: number;
  readonly region: Region;
}

/** All regions of all files, for the compactor and the packer after a restart. */
export async function listRegions(
  state: KvState,
  after: Pick<ListedRegion, "ino" | "index"> | null,
  limit: number,
): Promise<ListedRegion[]> {
  const entries = await scanKind(state, "regions", "E", after === null ? null : keys.regionKey(after.ino, after.index), limit);
  return entries.map(({ key, value }) => ({ ...keys.parseRegionKey(key), region: decodeRegion(value) }));
}
