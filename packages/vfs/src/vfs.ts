/**
 * The interface of one mounted file system: POSIX semantics by inode number, as the front ends (FUSE, later NFS and S3) call it.
 *
 * Every call answers at once when it can and by a promise when it must wait; failures are CfsErrors (thrown or rejected).
 * The front end hands out references with every Entry: each counts one lookup, given back by `forget` (fuse protocol, FUSE_FORGET).
 * Names are byte strings (core Name); times are seconds and nanoseconds since 1970, seconds may be negative.
 */
import type { InodeNumber, Name } from "@cfs/core";

export type Awaitable<T> = T | Promise<T>;

/** Who asks. `groups` null means: a kernel with default_permissions has judged already, and nothing is refused here. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly groups: readonly number[] | null;
}

export interface Time {
  /** Seconds since 1970, a safe integer, negative before. */
  readonly sec: number;
  /** 0 to 999,999,999. */
  readonly nsec: number;
}

export type FileKind = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

export interface Attributes {
  readonly ino: InodeNumber;
  readonly generation: number;
  readonly kind: FileKind;
  /** Permission, set-id and sticky bits: 0 to 0o7777. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Linux device number as in stat(2), 0 for what is not a device. */
  readonly rdev: number;
  readonly sizeBytes: number;
  /** Bytes that hold data (st_blocks x 512); holes do not count. */
  readonly allocatedBytes: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
}

/** How long the kernel may keep what it was told, as the lease on it allows. Milliseconds; 0 means ask again each time. */
export interface Validity {
  readonly attributesMs: number;
  readonly entryMs: number;
}

export interface Entry {
  readonly attributes: Attributes;
  readonly validity: Validity;
}

/** Fields left out do not change. "now" takes the clock of the client. */
export interface AttributeChange {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  readonly atime?: Time | "now";
  readonly mtime?: Time | "now";
  /** Only from a kernel with writeback cache, which owns the times of files it writes. */
  readonly ctime?: Time;
  /** Clear set-user-id and set-group-id (FATTR_KILL_SUIDGID). */
  readonly killSetId?: boolean;
}

export interface NewNode {
  readonly kind: FileKind;
  /** Permission bits before umask and default ACL. */
  readonly mode: number;
  /** 0 to 0o777; ignored when the parent has a default ACL. */
  readonly umask: number;
  readonly rdev: number;
  /** Only for a symlink: 1 to 4095 bytes without NUL. */
  readonly target: Uint8Array | null;
}

export interface OpenFile {
  /** A handle of this session: 1 to 2^53-1, never used again. */
  readonly handle: number;
  /** The kernel may keep pages from before (FOPEN_KEEP_CACHE). */
  readonly keepCache: boolean;
  /** Bypass the page cache (FOPEN_DIRECT_IO). */
  readonly direct: boolean;
}

export interface DirectoryEntry {
  readonly name: Name;
  readonly ino: InodeNumber;
  readonly kind: FileKind;
  /** Where to go on after this entry: 1 to 2^53-1, stable for the life of the entry, also across restarts. */
  readonly cookie: number;
  /** Null in a plain listing, and for "." and "..", which are never counted as lookups. */
  readonly entry: Entry | null;
}

/** The bytes read, in order, possibly fewer than asked at the end of the file. Give them back with `release` after use. */
export interface ReadResult {
  readonly lengthBytes: number;
  readonly parts: readonly Uint8Array[];
  release(): void;
}

export interface FileSystemStatistics {
  readonly blockSizeBytes: number;
  readonly blocks: number;
  readonly blocksFree: number;
  readonly blocksAvailable: number;
  readonly files: number;
  readonly filesFree: number;
  readonly nameBytesMax: number;
}

/**
 * What the kernel must forget, as `Vfs` tells its front end: attributes and all pages of an inode, its attributes alone, its pages from an offset on
 * (dirty ones are written back first), or one name.
 */
export type Invalidation =
  | { readonly kind: "inode"; readonly ino: InodeNumber }
  | { readonly kind: "attributes"; readonly ino: InodeNumber }
  | { readonly kind: "pages"; readonly ino: InodeNumber; readonly offsetBytes: number }
  | { readonly kind: "entry"; readonly parent: InodeNumber; readonly name: Name };

export interface WriteOptions {
  /** The kernel asks to clear set-id bits. */
  readonly killSetId: boolean;
  /** From the kernel's page cache, some time after the write(2). */
  readonly fromPageCache: boolean;
  /** Who writes, where `killSetId` asks for its groups; default: who opened the file. */
  readonly caller?: Caller;
}

/** Whether the caller still waits. Not an AbortSignal: one for each read costs more than much of the read. */
export interface VfsWait {
  /** The caller was interrupted (FUSE_INTERRUPT): the call fails with INTERRUPTED. */
  readonly isInterrupted: boolean;
  /** Called once when that happens later; set by whoever waits, at most one. */
  onInterrupt: (() => void) | null;
}

export interface Vfs {
  lookup(parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry>;
  /** Gives back `count` lookups of an inode. Never fails. */
  forget(ino: InodeNumber, count: number): void;
  getAttributes(ino: InodeNumber): Awaitable<Entry>;
  setAttributes(ino: InodeNumber, change: AttributeChange, caller: Caller): Awaitable<Entry>;
  readSymlink(ino: InodeNumber): Awaitable<Uint8Array>;
  makeNode(parent: InodeNumber, name: Name, node: NewNode, caller: Caller): Awaitable<Entry>;
  link(ino: InodeNumber, parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry>;
  unlink(parent: InodeNumber, name: Name, caller: Caller): Awaitable<void>;
  removeDirectory(parent: InodeNumber, name: Name, caller: Caller): Awaitable<void>;
  /** `flags`: renameat2(2) RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4; others are INVALID. */
  rename(parent: InodeNumber, name: Name, newParent: InodeNumber, newName: Name, flags: number, caller: Caller): Awaitable<void>;

  /** `flags`: open(2) flags as the kernel passes them (O_TRUNC included when it was negotiated as atomic). */
  open(ino: InodeNumber, flags: number, caller: Caller): Awaitable<OpenFile>;
  create(parent: InodeNumber, name: Name, node: NewNode, flags: number, caller: Caller): Awaitable<{ entry: Entry; file: OpenFile }>;
  /** O_TMPFILE: an open file without a name. */
  createUnnamed(parent: InodeNumber, node: NewNode, flags: number, caller: Caller): Awaitable<{ entry: Entry; file: OpenFile }>;
  read(handle: number, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Awaitable<ReadResult>;
  /** `data` is borrowed until the call returns (not until its promise settles). */
  write(handle: number, offsetBytes: number, data: Uint8Array, options: WriteOptions): Awaitable<number>;
  /** At close(2) of one descriptor: reports errors of earlier writes, once. */
  flush(handle: number): Awaitable<void>;
  /** Returns when everything written to the file so far is on stable storage as the contract's level says. */
  sync(handle: number, dataOnly: boolean): Awaitable<void>;
  release(handle: number): Awaitable<void>;
  /**
   * fallocate(2) mode bits KEEP_SIZE 1, PUNCH_HOLE 2, ZERO_RANGE 16; others are NOT_SUPPORTED. `caller`, here and for copyRange: who does it, who may be
   * another one than the one who opened the file; set-id bits go unless it is root.
   */
  allocate(handle: number, mode: number, offsetBytes: number, lengthBytes: number, caller: Caller): Awaitable<void>;
  /** Somebody has it open for writing: only then a kernel with a write-back cache may hold bytes that were not written yet. */
  isOpenForWriting(ino: InodeNumber): boolean;
  /** SEEK_DATA 3 or SEEK_HOLE 4; NO_DEVICE (ENXIO) past the end. */
  seek(handle: number, offsetBytes: number, whence: number): Awaitable<number>;
  copyRange(
    source: number,
    sourceOffsetBytes: number,
    target: number,
    targetOffsetBytes: number,
    lengthBytes: number,
    caller: Caller,
  ): Awaitable<number>;

  openDirectory(ino: InodeNumber, flags: number, caller: Caller): Awaitable<OpenFile>;
  /**
   * Entries after `cookie` (0 from the start, "." and ".." included) until `take` returns false for one that did not fit.
   * With `withAttributes`, every entry but "." and ".." that `take` accepted counts one lookup.
   */
  readDirectory(handle: number, cookie: number, withAttributes: boolean, take: (entry: DirectoryEntry) => boolean): Awaitable<void>;
  releaseDirectory(handle: number): void;
  syncDirectory(handle: number): Awaitable<void>;

  getXattr(ino: InodeNumber, name: string): Awaitable<Uint8Array>;
  /** `flags`: setxattr(2) XATTR_CREATE 1, XATTR_REPLACE 2. `killSetGid`: FUSE_SETXATTR_ACL_KILL_SGID. */
  setXattr(ino: InodeNumber, name: string, value: Uint8Array, flags: number, killSetGid: boolean, caller: Caller): Awaitable<void>;
  /** Names of the namespace trusted are for root alone. */
  listXattr(ino: InodeNumber, caller: Caller): Awaitable<readonly string[]>;
  removeXattr(ino: InodeNumber, name: string, caller: Caller): Awaitable<void>;
  /** access(2) mask R 4, W 2, X 1. */
  access(ino: InodeNumber, mask: number, caller: Caller): Awaitable<void>;

  statistics(): Awaitable<FileSystemStatistics>;
  /** syncfs(2): everything of this mount on stable storage. */
  syncAll(): Awaitable<void>;
  /** The front end that wants to hear what its kernel must forget, and calls `done` when it has. One listener; free when nobody listens. */
  onInvalidate: ((what: Invalidation, done?: () => void) => void) | null;
}
