/**
 * The records of the namespace as they live in memory. Encodings are in record-format.ts, keys in keys.ts.
 *
 * Records are mutable and owned by the State that returned them: only `applyCommand` changes them, and only after it told
 * the State (changeInode and its like), because the State may have to copy or encode them.
 */
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";

/** The numbers are on disk: never changed. */
export const fileKinds = ["file", "directory", "symlink", "character", "block", "fifo", "socket"] as const;
export type FileKind = (typeof fileKinds)[number];

export interface Inode {
  readonly ino: InodeNumber;
  readonly generation: number;
  readonly kind: FileKind;
  /** Permission, set-id and sticky bits, 0 to 0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** 0 for an orphan. A directory has 2 plus its subdirectories. */
  nlink: number;
  readonly rdev: number;
  sizeBytes: number;
  /** Bytes covered by extents or inline data. Exact on the server; see `isAllocatedStale`. */
  allocatedBytes: number;
  /** Only on a partial state: the server knows a better `allocatedBytes`. Not encoded. */
  isAllocatedStale: boolean;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
  birthSec: number;
  birthNsec: number;
  /** The directory that holds this directory (the root holds itself); 0 for other kinds. */
  parent: InodeNumber | 0;
  /** Names in a directory without "." and ".."; 0 for other kinds. */
  entryCount: number;
  /** The symlink's target, null for other kinds. */
  readonly target: Uint8Array | null;
  /** Bytes of inline data, 0 to 4096; 0 when the content is in extents or empty. */
  inlineBytes: number;
  /** The inline data; null when there is none, or when a partial state has not loaded it (inlineBytes > 0). Replaced, never changed in place. */
  inline: Uint8Array | null;
  /** True once content went to extents; then inlineBytes is 0 until a truncate to 0. */
  hasExtents: boolean;
  /** Sorted names of extended attributes; their values are records of their own. Replaced, never changed in place. */
  xattrNames: readonly string[];
}

export interface Dirent {
  readonly ino: InodeNumber;
  readonly kind: FileKind;
}

/** Where the bytes of an extent are. */
export type ExtentSource =
  | { readonly kind: "journal"; readonly fileId: number; readonly recordOffsetBytes: number; readonly payloadOffsetBytes: number }
  | { readonly kind: "chunk"; readonly segment: SegmentId; readonly chunkIndex: number; readonly rawOffsetBytes: number }
  | { readonly kind: "reserved" };

/** A range of a file inside one region. */
export interface Extent {
  /** From the start of the region, 0 to 2^20-1. */
  readonly offsetBytes: number;
  /** 1 to 2^20. */
  readonly lengthBytes: number;
  readonly source: ExtentSource;
}

export const regionBytes: number = 1 << 20;
export const inlineBytesMax: number = 4096;

/** Sorted by offset, without overlap. */
export interface Region {
  extents: Extent[];
}

/** Sorted, disjoint, non-adjacent runs [begin, end) of region numbers that hold extents. */
export interface RegionRuns {
  runs: { begin: number; end: number }[];
}

export interface FragmentPlace {
  /** Index into the drive table of the superblock. */
  readonly drive: number;
  readonly container: number;
  /** A multiple of 4096. */
  readonly offsetBytes: number;
}

/** A chunk as the packer made it. */
export interface ChunkShape {
  readonly storedOffsetBytes: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  /** 0 none, 1 LZ4, 2 zstd. */
  readonly codec: number;
}

export interface ChunkRecord extends ChunkShape {
  /** Extents that point here. */
  refs: number;
  /** Sum of their lengths: bytes that several share count as often. 0 without refs. */
  extentBytes: number;
}

export interface Segment {
  readonly id: SegmentId;
  generation: number;
  readonly k: number;
  readonly m: number;
  /** Payload bytes of each fragment, a multiple of 4096. */
  readonly fragmentBytes: number;
  /** Bytes of the coded payload that carry data: chunks and chunk table. */
  readonly segmentBytes: number;
  /** k+m places in fragment order. */
  places: FragmentPlace[];
  chunks: ChunkRecord[];
  /** What chunks store of the bytes that extents point at: accounting.ts, liveBytesOf. 0 when and only when no extent points here. */
  liveBytes: number;
  /** Places in files that the segment's own table does not tell may point here: more than one did at some time, for all that is known. */
  isShared: boolean;
}

/** Live extents of one journal file. */
export interface JournalFileUse {
  readonly fileId: number;
  liveExtents: number;
  liveBytes: number;
}

export interface Session {
  readonly clientId: ClientId;
  /** The last command applied, 0 at first. */
  seq: number;
  /** Inode counts [begin, end) that this client may use. */
  grants: { begin: number; end: number }[];
}

export type DriveState = "ok" | "failed" | "draining" | "removed";

export interface DriveRecord {
  /** Position in the table: never used again. */
  readonly index: number;
  readonly id: string;
  state: DriveState;
}

export interface Superblock {
  readonly formatVersion: number;
  readonly clusterId: string;
  nextInodeCount: number;
  nextSegment: number;
  drives: DriveRecord[];
}

/** Sums over the whole state, changed in the same command as what they count. */
export interface Usage {
  inodes: number;
  /** Sum of allocatedBytes of all inodes. */
  allocatedBytes: number;
  /** Sums over segments: stored bytes that extents point at, and of all chunks; raw bytes of fragments with headers. */
  segmentLiveBytes: number;
  segmentStoredBytes: number;
  fragmentBytes: number;
  segments: number;
  /** Payload bytes in the journal that extents point at. */
  journalLiveBytes: number;
  /** Bytes promised by fallocate and not yet written. */
  reservedBytes: number;
}

export interface NamedDirent extends Dirent {
  readonly name: Name;
  readonly cookie: number;
}
