/**
 * How long the kernel may believe what this mount told it: the lease behind every cached record, behind a tiny interface.
 *
 * Today a mount owns the whole file system, so nothing can change behind its back and answers stay valid for long.
 * Leases per inode, which others can recall, will be a second implementation.
 */
import type { InodeNumber } from "@cfs/core";
import type { Validity } from "./vfs.ts";

export interface Lease {
  /** What may be promised to the kernel about an inode and the names that lead to it. */
  validityOf(ino: InodeNumber): Validity;
}

/** 1 hour: long enough to cost nothing, short enough that a kernel drops what it never uses again. */
const exclusiveMs = 3_600_000;

export class ExclusiveLease implements Lease {
  readonly #validity: Validity = { attributesMs: exclusiveMs, entryMs: exclusiveMs };

  validityOf(): Validity {
    return this.#validity;
  }
}
