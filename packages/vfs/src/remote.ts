/**
 * The port through which the vfs reaches its server: one ordered session. The client package implements it on an rpc connection.
 *
 * Invariant: requests are handled by the server in the order of the calls, and answers arrive in that order relative to progress:
 * a fetch sees every command submitted before it, and its reply comes before the progress that covers any command submitted after it.
 * While the server is away, calls wait; what was submitted and is not yet durable is sent again after a reconnect, exactly once in effect.
 */
import type { InodeNumber, Name } from "@cfs/core";
import type { ClientCommand, Inode, NamedDirent } from "@cfs/metadata";
import type { FileSystemStatistics, ReadResult, VfsWait } from "./vfs.ts";

export interface ListedEntry extends NamedDirent {
  readonly inode: Inode;
}

export interface Progress {
  /** Everything up to here is on stable storage as the contract says. */
  readonly durableSeq: number;
  /** How many more payload bytes the server can take before its reserve; the client subtracts what is not yet durable. */
  readonly availableBytes: number;
}

/** A command that the server could not carry out though the client's copy said yes: no space, or a failed drive set. */
export interface Rejection {
  readonly seq: number;
  readonly errno: number;
  readonly message: string;
  /** The inode whose cached knowledge is void, 0 when not one. */
  readonly ino: InodeNumber | 0;
}

export interface RemoteListener {
  onProgress(progress: Progress): void;
  onRejected(rejection: Rejection): void;
  /** The session is lost (fenced or forgotten by the server): everything cached and unacknowledged is void. */
  onSessionLost(message: string): void;
}

export interface Remote {
  /** The vfs that listens; set before the first call. */
  listener: RemoteListener | null;
  /** Takes a command with the next sequence number (1, 2, 3 …) and, for a write, its bytes: the views are given, `release` hands them back when no longer needed. */
  submit(seq: number, command: ClientCommand, payload: readonly Uint8Array[], release: (() => void) | null): void;
  /** Somebody waits for durability: what was submitted goes out now. Without it a small command may wait a few milliseconds for company. */
  hurry(): void;
  /** Inode counts [begin, end) for new files, one grant at a time; waits for the server when it has none left. Asks for the next one early. */
  takeGrant(): Promise<{ readonly begin: number; readonly end: number }>;

  fetchInode(ino: InodeNumber, withInline: boolean): Promise<Inode | null>;
  /** Null: no such name. The child comes without its inline data unless asked for. */
  fetchDirent(
    parent: InodeNumber,
    name: Name,
    withInline: boolean,
  ): Promise<{ readonly dirent: NamedDirent; readonly inode: Inode } | null>;
  /** Entries after `cookie` in cookie order (see namespace/cookie.ts), about `limit` of them, entries of one cookie never split. */
  fetchDirectory(
    parent: InodeNumber,
    cookie: number,
    limit: number,
    withInline: boolean,
  ): Promise<{ readonly entries: readonly ListedEntry[]; readonly isEnd: boolean }>;
  fetchXattr(ino: InodeNumber, name: string): Promise<Uint8Array | null>;
  read(ino: InodeNumber, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Promise<ReadResult>;
  /** SEEK_DATA 3, SEEK_HOLE 4. */
  seek(ino: InodeNumber, offsetBytes: number, whence: number): Promise<number>;
  /** How many bytes of the range fallocate has set aside: they can be written when no space is left otherwise. */
  promisedBytes(ino: InodeNumber, offsetBytes: number, lengthBytes: number): Promise<number>;
  statistics(): Promise<FileSystemStatistics>;
}
