/**
 * What an operation sees of its session: the Vfs, the replies, and how to answer now or later.
 *
 * Invariant: each request is answered exactly once. An answer that comes by a promise keeps only the request's unique number,
 * since the slot is used again.
 */
import type { InodeNumber } from "@cfs/core";
import type { Awaitable, Caller, Vfs, VfsWait } from "@cfs/vfs";
import type { Presented } from "./encode.ts";
import type { PagePool } from "./direntries.ts";
import type { Replies } from "./replies.ts";
import type { Request } from "./request.ts";

/** Writes the reply to `value`. */
export type ReplyWith<T> = (replies: Replies, low: number, upper: number, value: T) => void;

/**
 * Undoes a result that nobody waits for any more. An operation that has one is answered EINTR at once when its caller dies,
 * whatever the Vfs does meanwhile; so only operations that change nothing which the kernel should know have one.
 */
export type Undo<T> = (vfs: Vfs, value: T) => void;

export interface Context {
  readonly vfs: Vfs;
  readonly replies: Replies;
  readonly pages: PagePool;
  readonly presented: Presented | null;
  readonly isReadOnly: boolean;
  readonly hasDefaultPermissions: boolean;
  readonly hasWritebackCache: boolean;
  readonly hasExtendedSetxattr: boolean;
  readonly maxReadBytes: number;
  caller(request: Request): Caller;
  /** Uid and gid as stored, for those that a user of this mount names. */
  storedUid(uid: number): number;
  storedGid(gid: number): number;
  /** The kernel writes back what it holds of a file from an offset on. Only LSEEK may wait for it: docs/internals/fuse.md, rule 7. */
  writeBack(ino: InodeNumber, offsetBytes: number): Promise<void>;
  answer<T>(request: Request, result: Awaitable<T>, reply: ReplyWith<T>, undo: Undo<T> | null, wait?: Wait): void;
}

/** Tells the Vfs that nobody waits for a request any more. */
export class Wait implements VfsWait {
  isInterrupted = false;
  onInterrupt: (() => void) | null = null;

  interrupt(): void {
    if (this.isInterrupted) return;
    this.isInterrupted = true;
    this.onInterrupt?.();
  }
}

export interface Operation {
  readonly name: string;
  /** Fixed part of the body; a shorter request is answered EINVAL. */
  readonly bodyBytesMin: number;
  /** Refused with EROFS on a read-only mount. */
  readonly mutates: boolean;
  readonly run: (context: Context, request: Request) => void;
}

/** Nothing to undo, yet a caller that dies need not wait. */
export function undoNothing(): void {}
