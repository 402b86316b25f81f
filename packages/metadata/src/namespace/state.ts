/**
 * What `applyCommand` reads and changes: typed records, point access only.
 *
 * Two implementations: KvState (the server: decoded records over an OrderedKv, encodes what changed when it is flushed) and the
 * client's partial copy (vfs), which throws NotCached for what it has not fetched. A getter that returns null means: known not to exist.
 * Invariant: applyCommand reads everything that it may need before its first change, so NotCached never leaves half a change.
 */
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import type { Dirent, Inode, JournalFileUse, Region, RegionRuns, Segment, Session, Superblock, Usage } from "./records.ts";

export type Missing =
  | { readonly kind: "inode"; readonly ino: InodeNumber; readonly withInline: boolean }
  | { readonly kind: "dirent"; readonly parent: InodeNumber; readonly name: Name }
  | { readonly kind: "xattr"; readonly ino: InodeNumber; readonly name: string };

/** Thrown by a partial state: fetch `missing` and run the command again. Not an error of the file system, so not a CfsError. */
export class NotCached extends Error {
  override readonly name: string = "NotCached";
  readonly missing: Missing;

  constructor(missing: Missing) {
    super(`not cached: ${missing.kind}`);
    this.missing = missing;
  }
}

export interface State {
  inode(ino: InodeNumber): Inode | null;
  /** The inode's inline data, loaded; null when it has none. */
  inline(inode: Inode): Uint8Array | null;
  addInode(inode: Inode): void;
  /** Announces that fields of a record got from `inode()` change now. */
  changeInode(inode: Inode): void;
  removeInode(inode: Inode): void;

  dirent(parent: InodeNumber, name: Name): Dirent | null;
  /** Sets or, with null, removes. */
  setDirent(parent: InodeNumber, name: Name, dirent: Dirent | null): void;

  xattr(ino: InodeNumber, name: string): Uint8Array | null;
  setXattr(ino: InodeNumber, name: string, value: Uint8Array | null): void;

  /** An inode without links that is still open: by which session. Null takes it off the list. */
  setOrphan(ino: InodeNumber, owner: ClientId | null): void;

  /** Null on a partial state. */
  readonly content: ContentState | null;
}

/** What only the server has: where bytes are, who may write, and the sums. Every getter's record is changed only after its change call. */
export interface ContentState {
  region(ino: InodeNumber, index: number): Region | null;
  /** Sets or, with null, removes; the runs follow. */
  setRegion(ino: InodeNumber, index: number, region: Region | null): void;
  runs(ino: InodeNumber): RegionRuns | null;
  /** The runs say whether the region exists: for mending; setRegion does so by itself. */
  noteRegion(ino: InodeNumber, index: number, isThere: boolean): void;
  /** The content of `ino` has lost its inode: it stays until DropContent has emptied it. */
  setZombie(ino: InodeNumber, isZombie: boolean): void;
  isZombie(ino: InodeNumber): boolean;

  /** A truncate to this size goes on in steps: it is ended whatever happens. */
  truncation(ino: InodeNumber): number | null;
  setTruncation(ino: InodeNumber, sizeBytes: number | null): void;

  segment(id: SegmentId): Segment | null;
  setSegment(id: SegmentId, segment: Segment | null): void;
  /** Lists or unlists a segment as dead or thin, for the compactor. */
  setCandidate(id: SegmentId, isCandidate: boolean): void;
  journalFile(fileId: number): JournalFileUse | null;
  setJournalFile(fileId: number, use: JournalFileUse | null): void;

  session(clientId: ClientId): Session | null;
  setSession(clientId: ClientId, session: Session | null): void;
  superblock(): Superblock | null;
  setSuperblock(superblock: Superblock): void;
  usage(): Usage;
  setUsage(usage: Usage): void;
  /** A record was found to contradict another. Told to people; no part of the state. */
  noteDamage(what: string): void;
}

/** What is known beside the command when it is applied. */
export interface ApplyContext {
  /** Who sent it; null for commands of the server itself. */
  readonly clientId: ClientId | null;
  /** Where the payload of a `write` with source "payload" lies in the journal; null on a client. */
  readonly payload: { readonly fileId: number; readonly recordOffsetBytes: number } | null;
}

/** 0 or the positive errno with which the command failed; a failed command changed nothing. */
export interface Outcome {
  readonly errno: number;
}
