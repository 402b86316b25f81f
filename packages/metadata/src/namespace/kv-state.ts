/**
 * The whole state over an ordered key-value store: what the server applies commands to.
 *
 * Records live decoded in caches; changes stay in memory until `encodeDirty` turns all of them into one batch, so that a record
 * that changed a hundred times is encoded once. The driver calls it at a log index and writes the batch, with that index, before
 * the next read. Invariant: store + dirty records = the state after the last command; nothing else is remembered.
 *
 * A record got from here is good until the next command: keep numbers and names across waits, not records.
 */
import { assert } from "@cfs/core";
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import type { KvKey, KvWrite, OrderedKv } from "../kv/ordered-kv.ts";
import * as content from "./content-format.ts";
import { DirentCache } from "./dirent-cache.ts";
import { FreshInodes } from "./fresh-inodes.ts";
import * as keys from "./keys.ts";
import type { ScanParts } from "./kv-scan.ts";
import { ScanWindows } from "./kv-scan.ts";
import { RecordCache } from "./record-cache.ts";
import { decodeInode, decodeOrphan, encodeInode, encodeOrphan } from "./record-format.ts";
import type { Dirent, Inode, JournalFileUse, Region, RegionRuns, Segment, Session, Superblock, Usage } from "./records.ts";
import { addToRuns, removeFromRuns } from "./region-runs.ts";
import type { ContentState, State } from "./state.ts";
import * as system from "./system-format.ts";

/** Clean records kept at most, by kind. An inode takes about 0.5 KiB plus its inline data (4 KiB at most). */
export interface KvStateOptions {
  readonly inodes: number;
  readonly dirents: number;
  readonly regions: number;
  readonly segments: number;
  readonly xattrs: number;
  /** Each of: runs, orphans, zombies, candidates, journal files, sessions. */
  readonly others: number;
}

export const kvStateDefaults: KvStateOptions = {
  inodes: 65_536,
  dirents: 262_144,
  regions: 8192,
  segments: 8192,
  xattrs: 1024,
  others: 16_384,
};

/** Damage that is remembered, one by one. */
const damageMax = 100;

const noBytes: Uint8Array = new Uint8Array(0);
const markKind = { encode: (): Uint8Array => noBytes, decode: (): true => true };
const sameKey = (key: KvKey): KvKey => key;

export class KvState implements State, ContentState {
  readonly content: ContentState = this;
  readonly windows: ScanWindows = new ScanWindows();
  /** Contradictions that commands have met since the start or the last check that found none. */
  readonly damage: Set<string> = new Set();
  /** Hears of each of them once. */
  onDamage: ((what: string) => void) | null = null;
  readonly #kv: OrderedKv;
  readonly #inodes: RecordCache<InodeNumber, Inode>;
  readonly #dirents: DirentCache;
  readonly #xattrs: RecordCache<KvKey, Uint8Array>;
  readonly #orphans: RecordCache<InodeNumber, ClientId>;
  readonly #zombies: RecordCache<InodeNumber, true>;
  readonly #fresh: FreshInodes = new FreshInodes();
  readonly #truncations: RecordCache<InodeNumber, number>;
  readonly #regions: RecordCache<KvKey, Region>;
  readonly #runs: RecordCache<InodeNumber, RegionRuns>;
  readonly #segments: RecordCache<SegmentId, Segment>;
  readonly #candidates: RecordCache<SegmentId, true>;
  readonly #journalFiles: RecordCache<number, JournalFileUse>;
  readonly #sessions: RecordCache<ClientId, Session>;
  readonly #superblocks: RecordCache<KvKey, Superblock>;
  readonly #usages: RecordCache<KvKey, Usage>;
  readonly #caches: readonly Pick<DirentCache, "dirtyCount" | "cleanCount" | "drain">[];

  constructor(kv: OrderedKv, options: Partial<KvStateOptions> = {}) {
    const max = { ...kvStateDefaults, ...options };
    this.#kv = kv;
    this.#inodes = new RecordCache(kv, { keyOf: keys.inodeKey, encode: encodeInode, decode: decodeInode }, max.inodes);
    this.#dirents = new DirentCache(kv, max.dirents);
    this.#xattrs = new RecordCache(kv, { keyOf: sameKey, encode: (value) => value, decode: (bytes) => bytes }, max.xattrs);
    this.#orphans = new RecordCache(kv, { keyOf: keys.orphanKey, encode: encodeOrphan, decode: decodeOrphan }, max.others);
    this.#zombies = new RecordCache(kv, { keyOf: keys.zombieKey, ...markKind }, max.others);
    this.#truncations = new RecordCache(
      kv,
      { keyOf: keys.truncationKey, encode: content.encodeTruncation, decode: content.decodeTruncation },
      max.others,
    );
    this.#regions = new RecordCache(kv, { keyOf: sameKey, encode: content.encodeRegion, decode: content.decodeRegion }, max.regions);
    this.#runs = new RecordCache(kv, { keyOf: keys.runsKey, encode: content.encodeRuns, decode: content.decodeRuns }, max.others);
    this.#segments = new RecordCache(
      kv,
      { keyOf: keys.segmentKey, encode: content.encodeSegment, decode: content.decodeSegment },
      max.segments,
    );
    this.#candidates = new RecordCache(kv, { keyOf: keys.candidateKey, ...markKind }, max.others);
    this.#journalFiles = new RecordCache(
      kv,
      { keyOf: keys.journalFileKey, encode: content.encodeJournalFile, decode: content.decodeJournalFile },
      max.others,
    );
    this.#sessions = new RecordCache(
      kv,
      { keyOf: keys.sessionKey, encode: system.encodeSession, decode: system.decodeSession },
      max.others,
    );
    this.#superblocks = new RecordCache(kv, { keyOf: sameKey, encode: system.encodeSuperblock, decode: system.decodeSuperblock }, 2);
    this.#usages = new RecordCache(kv, { keyOf: sameKey, encode: system.encodeUsage, decode: system.decodeUsage }, 2);
    this.#caches = [
      this.#inodes,
      this.#dirents,
      this.#xattrs,
      this.#orphans,
      this.#zombies,
      this.#truncations,
      this.#regions,
      this.#runs,
      this.#segments,
      this.#candidates,
      this.#journalFiles,
      this.#sessions,
      this.#superblocks,
      this.#usages,
    ];
  }

  /** Records that the next batch will hold: the driver flushes when they grow many. */
  get dirtyCount(): number {
    return this.#caches.reduce((sum, cache) => sum + cache.dirtyCount, 0);
  }

  get cleanCount(): number {
    return this.#caches.reduce((sum, cache) => sum + cache.cleanCount, 0);
  }

  /** All dirty records as one batch, and none is dirty any more: the caller writes it to the store before anything else happens. */
  encodeDirty(): KvWrite[] {
    const batch: KvWrite[] = [];
    for (const cache of this.#caches) cache.drain(batch);
    this.windows.note(batch);
    return batch;
  }

  /** What a scan of one kind of record needs (kv-scan.ts, state-scans.ts). */
  scanParts(kind: "orphans" | "zombies" | "truncations" | "regions" | "segments" | "candidates" | "journalFiles" | "sessions"): ScanParts {
    const caches = {
      orphans: this.#orphans,
      zombies: this.#zombies,
      truncations: this.#truncations,
      regions: this.#regions,
      segments: this.#segments,
      candidates: this.#candidates,
      journalFiles: this.#journalFiles,
      sessions: this.#sessions,
    };
    const cache: { dirtyBetween(begin: KvKey, end: KvKey): KvWrite[] } = caches[kind];
    return { kv: this.#kv, windows: this.windows, dirtyBetween: (begin, end) => cache.dirtyBetween(begin, end) };
  }

  direntScanParts(parent: InodeNumber): ScanParts {
    return { kv: this.#kv, windows: this.windows, dirtyBetween: (begin, end) => this.#dirents.dirtyBetween(parent, begin, end) };
  }

  inode(ino: InodeNumber): Inode | null {
    return this.#inodes.get(ino);
  }

  inline(inode: Inode): Uint8Array | null {
    return inode.inline;
  }

  addInode(inode: Inode): void {
    this.#inodes.set(inode.ino, inode);
    if (inode.kind === "directory") this.#dirents.made(inode.ino);
  }

  changeInode(inode: Inode): void {
    this.#inodes.set(inode.ino, inode);
  }

  removeInode(inode: Inode): void {
    this.#inodes.set(inode.ino, null);
  }

  dirent(parent: InodeNumber, name: Name): Dirent | null {
    return this.#dirents.get(parent, name);
  }

  setDirent(parent: InodeNumber, name: Name, dirent: Dirent | null): void {
    this.#dirents.set(parent, name, dirent);
  }

  xattr(ino: InodeNumber, name: string): Uint8Array | null {
    return this.#xattrs.get(keys.xattrKey(ino, name));
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array | null): void {
    this.#xattrs.set(keys.xattrKey(ino, name), value);
  }

  orphan(ino: InodeNumber): ClientId | null {
    return this.#orphans.get(ino);
  }

  setOrphan(ino: InodeNumber, owner: ClientId | null): void {
    this.#orphans.set(ino, owner);
  }

  region(ino: InodeNumber, index: number): Region | null {
    return this.#regions.get(keys.regionKey(ino, index));
  }

  setRegion(ino: InodeNumber, index: number, region: Region | null): void {
    const key = keys.regionKey(ino, index);
    const isThere = this.#regions.get(key) !== null;
    this.#regions.set(key, region);
    if (isThere !== (region !== null)) this.#changeRuns(ino, index, region !== null);
  }

  noteRegion(ino: InodeNumber, index: number, isThere: boolean): void {
    const isNoted = this.#runs.get(ino)?.runs.some(({ begin, end }) => begin <= index && index < end) ?? false;
    if (isNoted !== isThere) this.#changeRuns(ino, index, isThere);
  }

  #changeRuns(ino: InodeNumber, index: number, isThere: boolean): void {
    const runs = this.#runs.get(ino) ?? { runs: [] };
    if (isThere) addToRuns(runs.runs, index);
    else removeFromRuns(runs.runs, index);
    this.#runs.set(ino, runs.runs.length === 0 ? null : runs);
  }

  runs(ino: InodeNumber): RegionRuns | null {
    return this.#runs.get(ino);
  }

  setZombie(ino: InodeNumber, isZombie: boolean): void {
    this.#zombies.set(ino, isZombie ? true : null);
  }

  isZombie(ino: InodeNumber): boolean {
    return this.#zombies.get(ino) !== null;
  }

  granted(begin: number, end: number): void {
    this.#fresh.granted(begin, end);
  }

  takeFresh(ino: InodeNumber): boolean {
    return this.#fresh.take(ino);
  }

  truncation(ino: InodeNumber): number | null {
    return this.#truncations.get(ino);
  }

  setTruncation(ino: InodeNumber, sizeBytes: number | null): void {
    this.#truncations.set(ino, sizeBytes);
  }

  segment(id: SegmentId): Segment | null {
    return this.#segments.get(id);
  }

  setSegment(id: SegmentId, segment: Segment | null): void {
    this.#segments.set(id, segment);
  }

  isCandidate(id: SegmentId): boolean {
    return this.#candidates.get(id) !== null;
  }

  setCandidate(id: SegmentId, isCandidate: boolean): void {
    this.#candidates.set(id, isCandidate ? true : null);
  }

  journalFile(fileId: number): JournalFileUse | null {
    return this.#journalFiles.get(fileId);
  }

  setJournalFile(fileId: number, use: JournalFileUse | null): void {
    this.#journalFiles.set(fileId, use);
  }

  session(clientId: ClientId): Session | null {
    return this.#sessions.get(clientId);
  }

  setSession(clientId: ClientId, session: Session | null): void {
    this.#sessions.set(clientId, session);
  }

  superblock(): Superblock | null {
    return this.#superblocks.get(keys.superblockKey);
  }

  setSuperblock(superblock: Superblock): void {
    this.#superblocks.set(keys.superblockKey, superblock);
  }

  usage(): Usage {
    return this.#usages.get(keys.usageKey) ?? system.emptyUsage();
  }

  noteDamage(what: string): void {
    if (this.damage.size >= damageMax || this.damage.has(what)) return;
    this.damage.add(what);
    this.onDamage?.(what);
  }

  setUsage(usage: Usage): void {
    assert(usage.inodes >= 0, "there are not fewer than no inodes");
    this.#usages.set(keys.usageKey, usage);
  }
}
