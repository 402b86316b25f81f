/**
 * Errors of writes that were answered early: kept per inode, reported once per open handle, as Linux errseq does.
 *
 * Invariant: an error that nobody has seen is reported by the first sync or flush of every handle that was open when it happened,
 * and of the first handle opened after it if there was none. `syncAll` reports any error once.
 * Inodes with errors are bounded: the oldest are forgotten past `inodesMax`.
 */
import type { CfsError, InodeNumber } from "@cfs/core";

interface Latched {
  /** How many errors this inode had. */
  count: number;
  last: CfsError;
  isSeen: boolean;
}

const inodesMax = 10_000;

export class LatchedErrors {
  readonly #byInode: Map<InodeNumber, Latched> = new Map();
  #anywhere: CfsError | null = null;

  latch(ino: InodeNumber, error: CfsError): void {
    const known = this.#byInode.get(ino);
    this.#byInode.delete(ino);
    this.#byInode.set(ino, { count: (known?.count ?? 0) + 1, last: error, isSeen: false });
    if (this.#byInode.size > inodesMax) {
      for (const oldest of this.#byInode.keys()) {
        this.#byInode.delete(oldest);
        break;
      }
    }
    this.#anywhere ??= error;
  }

  /** An error of the mount that belongs to no inode. */
  latchAnywhere(error: CfsError): void {
    this.#anywhere ??= error;
  }

  /** Where a new handle starts to look. */
  sample(ino: InodeNumber): number {
    const latched = this.#byInode.get(ino);
    if (latched === undefined) return 0;
    return latched.isSeen ? latched.count : latched.count - 1;
  }

  /** The error that a handle which has looked up to `seen` must report, with where it looks from then on. */
  take(ino: InodeNumber, seen: number): { readonly error: CfsError; readonly seen: number } | null {
    const latched = this.#byInode.get(ino);
    if (latched === undefined || latched.count <= seen) return null;
    latched.isSeen = true;
    return { error: latched.last, seen: latched.count };
  }

  takeAnywhere(): CfsError | null {
    const error = this.#anywhere;
    this.#anywhere = null;
    return error;
  }
}
