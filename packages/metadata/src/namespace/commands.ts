/**
 * The commands: every change of the state is one of these, and carries all that decides its outcome.
 *
 * Invariant: the same commands on the same state give the same state and the same results, on a client's partial copy and on
 * the server (except content and allocatedBytes, which only the server has). Encodings are in command-format.ts.
 * Times are those of the client that made the command.
 */
import type { Mend } from "./mend.ts";
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import type { ChunkShape, DriveRecord, ExtentSource, FileKind, FragmentPlace } from "./records.ts";

export interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** Null: the kernel has judged already, and nothing is refused here; set-id bits still follow uid and gid. */
  readonly groups: readonly number[] | null;
}

export interface Moment {
  readonly sec: number;
  readonly nsec: number;
}

interface Change {
  readonly caller: Caller;
  readonly time: Moment;
}

export interface MakeNode extends Change {
  readonly type: "makeNode";
  readonly parent: InodeNumber;
  /** Null makes an orphan without a name (O_TMPFILE); the server records it as open by the session. */
  readonly name: Name | null;
  /** From the session's grant. */
  readonly ino: InodeNumber;
  readonly kind: FileKind;
  readonly mode: number;
  readonly umask: number;
  readonly rdev: number;
  readonly target: Uint8Array | null;
}

export interface Link extends Change {
  readonly type: "link";
  readonly ino: InodeNumber;
  readonly parent: InodeNumber;
  readonly name: Name;
}

/** Also rmdir: `directory` says which of the two was called. */
export interface Unlink extends Change {
  readonly type: "unlink";
  readonly parent: InodeNumber;
  readonly name: Name;
  readonly directory: boolean;
}

export interface Rename extends Change {
  readonly type: "rename";
  readonly parent: InodeNumber;
  readonly name: Name;
  readonly newParent: InodeNumber;
  readonly newName: Name;
  /** RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4. */
  readonly flags: number;
  /** From the session's grant, for the whiteout device; 0 without RENAME_WHITEOUT. */
  readonly whiteout: InodeNumber | 0;
}

export interface SetAttributes extends Change {
  readonly type: "setAttributes";
  readonly ino: InodeNumber;
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly sizeBytes: number | null;
  readonly atime: Moment | null;
  readonly mtime: Moment | null;
  /** Null: `time`. */
  readonly ctime: Moment | null;
  /** True when atime or mtime is "now" or comes from a kernel's cache: then write access is enough, ownership is not asked for. */
  readonly isTouch: boolean;
  readonly killSetId: boolean;
}

export interface SetXattr extends Change {
  readonly type: "setXattr";
  readonly ino: InodeNumber;
  readonly name: string;
  /** Null removes. */
  readonly value: Uint8Array | null;
  /** XATTR_CREATE 1, XATTR_REPLACE 2. */
  readonly flags: number;
  readonly killSetGid: boolean;
}

/** Bytes of a write: in the command (inline), beside it in the log (payload), or already in a segment (the server rewrites payload to chunks). */
export type WriteSource =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "payload" }
  | { readonly kind: "extents"; readonly extents: readonly { readonly lengthBytes: number; readonly source: ExtentSource }[] };

export interface Write extends Change {
  readonly type: "write";
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly source: WriteSource;
  /** mtime and ctime become `time`. False when a kernel's writeback cache owns the times. */
  readonly setTimes: boolean;
  readonly killSetId: boolean;
  /** The bytes are the inode's inline data moving to content; size and times stay. */
  readonly spill: boolean;
}

/** fallocate: reserve, punch, zero. */
export interface Allocate extends Change {
  readonly type: "allocate";
  readonly ino: InodeNumber;
  readonly action: "reserve" | "punch" | "zero";
  readonly keepSize: boolean;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Shares extents; the source must hold no inline data (the vfs writes those instead). Ranges do not overlap in one file. */
export interface CopyRange extends Change {
  readonly type: "copyRange";
  readonly source: InodeNumber;
  readonly sourceOffsetBytes: number;
  readonly target: InodeNumber;
  readonly targetOffsetBytes: number;
  readonly lengthBytes: number;
}

/** An orphan that nobody holds open any more: it goes. A no-op for an inode with links. */
export interface Reap {
  readonly type: "reap";
  readonly ino: InodeNumber;
}

/* From here on only the server makes commands. */

export interface OpenSession {
  readonly type: "openSession";
  readonly clientId: ClientId;
}

/** Its orphans are listed by the server and reaped by commands of their own. */
export interface CloseSession {
  readonly type: "closeSession";
  readonly clientId: ClientId;
}

/** Gives the session the next `count` inode counts. */
export interface GrantInodes {
  readonly type: "grantInodes";
  readonly clientId: ClientId;
  readonly count: number;
}

export interface NewSegment {
  readonly id: SegmentId;
  readonly k: number;
  readonly m: number;
  readonly fragmentBytes: number;
  readonly segmentBytes: number;
  readonly places: readonly FragmentPlace[];
  /** Without references: the extents that follow in the same command count them. */
  readonly chunks: readonly ChunkShape[];
}

/** A large write that went straight to a segment: the segment appears and the writes point at it, at once. */
export interface WriteSegment {
  readonly type: "writeSegment";
  readonly segment: NewSegment;
  /** Each with source kind "extents". */
  readonly writes: readonly Write[];
}

/** One swap of the packer or the compactor: where [offset, offset+length) still comes from `from`, it comes from `to`. */
export interface Swap {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly from: ExtentSource;
  readonly to: ExtentSource;
}

export interface Publish {
  readonly type: "publish";
  readonly segment: NewSegment;
  readonly swaps: readonly Swap[];
}

/** A repaired or moved fragment. */
export interface Relocate {
  readonly type: "relocate";
  readonly segment: SegmentId;
  readonly fragment: number;
  readonly from: FragmentPlace;
  readonly to: FragmentPlace;
}

/** Second phase of deletion: the fragments are gone. Only a segment without live bytes. */
export interface DropSegment {
  readonly type: "dropSegment";
  readonly segment: SegmentId;
}

/** Drops up to `regionsMax` regions of content that no inode owns any more. */
export interface DropContent {
  readonly type: "dropContent";
  readonly ino: InodeNumber;
  readonly regionsMax: number;
}

/** A truncate to `sizeBytes` begins that takes several commands; null: there is none. The command that reaches the size ends it. */
export interface IntendTruncate {
  readonly type: "intendTruncate";
  readonly ino: InodeNumber;
  readonly sizeBytes: number | null;
}

export interface SetDrive {
  readonly type: "setDrive";
  readonly drive: DriveRecord;
}

/** The first command of a new file system. */
export interface Format {
  readonly type: "format";
  readonly clusterId: string;
  readonly drives: readonly DriveRecord[];
  readonly uid: number;
  readonly gid: number;
  readonly time: Moment;
}

/** What a client may send. */
export type ClientCommand = MakeNode | Link | Unlink | Rename | SetAttributes | SetXattr | Write | Allocate | CopyRange | Reap;

export type Command =
  | ClientCommand
  | OpenSession
  | CloseSession
  | GrantInodes
  | WriteSegment
  | Publish
  | Relocate
  | DropSegment
  | DropContent
  | IntendTruncate
  | SetDrive
  | Format
  | Mend;
