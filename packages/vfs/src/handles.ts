/**
 * Open files and directories of this mount, by handle.
 *
 * Invariant: a handle number is never used again, so a late call on a closed handle is BAD_HANDLE and never another file.
 */
import type { InodeNumber } from "@cfs/core";
import { quickError } from "./quick-error.ts";
import type { Caller } from "./vfs.ts";

export const openWriteOnly = 0o1;
export const openReadWrite = 0o2;
export const openAccessMask = 0o3;
export const openExclusive = 0o200;
export const openTruncate = 0o1000;
export const openAppend = 0o2000;
export const openNoAtime = 0o1000000;

export interface FileHandle {
  readonly handle: number;
  readonly ino: InodeNumber;
  readonly flags: number;
  /** Who opened it: ownership rules of later changes of content are judged by it. */
  readonly caller: Caller;
  /** Errors of the inode up to here are not this handle's to report (latched-errors.ts). */
  errorsSeen: number;
}

export function canWrite(file: FileHandle): boolean {
  const access = file.flags & openAccessMask;
  return access === openWriteOnly || access === openReadWrite;
}

export class HandleTable<T extends { readonly handle: number }> {
  readonly #open: Map<number, T> = new Map();
  readonly #nextHandle: () => number;

  /** `nextHandle` is shared by all tables of a mount. */
  constructor(nextHandle: () => number) {
    this.#nextHandle = nextHandle;
  }

  get size(): number {
    return this.#open.size;
  }

  open(make: (handle: number) => T): T {
    const opened = make(this.#nextHandle());
    this.#open.set(opened.handle, opened);
    return opened;
  }

  get(handle: number): T {
    const opened = this.#open.get(handle);
    if (opened === undefined) throw quickError("BAD_HANDLE", `handle ${handle} is not open`);
    return opened;
  }

  /** Null when it was not open. */
  close(handle: number): T | null {
    const opened = this.#open.get(handle) ?? null;
    this.#open.delete(handle);
    return opened;
  }

  all(): IterableIterator<T> {
    return this.#open.values();
  }
}
