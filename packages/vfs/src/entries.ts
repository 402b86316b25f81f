/**
 * What the kernel is told of inodes, and for how long; and who has files open for writing, because that limits what can be told.
 *
 * A kernel with a write-back cache keeps the size and the times of a file by itself, but not its blocks: those stay as they were told until a
 * close(2). Programs that look for holes take few blocks for a hint and none for a proof (GNU tar: a file without blocks is one hole). So
 * a file that is open for writing never has none, and once it has grown by an eighth since the kernel was told, a sync makes it ask again.
 */
import type { InodeNumber } from "@cfs/core";
import type { Inode } from "@cfs/metadata";
import { attributesOf } from "./attributes.ts";
import type { Lease } from "./lease.ts";
import type { Awaitable, Entry } from "./vfs.ts";

export interface EntriesOptions {
  /** A kernel's write-back cache may hold what was not written yet. */
  readonly kernelOwnsTimes: boolean;
}

/** A file that somebody has open for writing. */
interface Written {
  handles: number;
  /** The size of the file when the kernel was last told its blocks. */
  toldSizeBytes: number;
}

/** What the smallest amount of data takes, as local file systems count. */
const blockBytes = 4096;

export class Entries {
  readonly #lease: Lease;
  readonly #kernelOwnsTimes: boolean;
  readonly #written: Map<InodeNumber, Written> = new Map();
  /** The kernel must ask for these attributes again; `done` when it has forgotten them. */
  onStaleAttributes: (ino: InodeNumber, done?: () => void) => void = (_ino, done) => done?.();

  constructor(lease: Lease, { kernelOwnsTimes }: EntriesOptions) {
    this.#lease = lease;
    this.#kernelOwnsTimes = kernelOwnsTimes;
  }

  /** While only the server knows the allocated bytes, the kernel must ask for attributes when somebody wants them. */
  of(inode: Inode): Entry {
    const { attributesMs, entryMs } = this.#lease.validityOf(inode.ino);
    const written = this.#kernelOwnsTimes ? this.#written.get(inode.ino) : undefined;
    if (written !== undefined && !inode.isAllocatedStale) written.toldSizeBytes = inode.sizeBytes;
    const attributes = attributesOf(inode);
    return {
      attributes: written === undefined ? attributes : { ...attributes, allocatedBytes: Math.max(blockBytes, attributes.allocatedBytes) },
      validity: { attributesMs: inode.isAllocatedStale ? 0 : attributesMs, entryMs },
    };
  }

  isOpenForWriting(ino: InodeNumber): boolean {
    return this.#written.has(ino);
  }

  addWriter(inode: Inode): void {
    const written = this.#written.get(inode.ino);
    if (written !== undefined) {
      written.handles++;
      return;
    }
    this.#written.set(inode.ino, { handles: 1, toldSizeBytes: inode.sizeBytes });
  }

  removeWriter(ino: InodeNumber): void {
    const written = this.#written.get(ino);
    if (written !== undefined && --written.handles === 0) this.#written.delete(ino);
  }

  /** The kernel was told that an existing file has no blocks, and somebody begins to write it. */
  opened(inode: Inode): void {
    if (this.#kernelOwnsTimes && inode.allocatedBytes === 0) this.onStaleAttributes(inode.ino);
  }

  /** After a sync of a file: the kernel forgets the blocks that it was told when the file was much smaller. */
  synced(inode: Inode): Awaitable<void> {
    const written = this.#written.get(inode.ino);
    if (written === undefined || !this.#kernelOwnsTimes || !hasGrown(inode.sizeBytes, written.toldSizeBytes)) return;
    written.toldSizeBytes = inode.sizeBytes;
    return new Promise((resolve) => this.onStaleAttributes(inode.ino, resolve));
  }
}

function hasGrown(sizeBytes: number, toldSizeBytes: number): boolean {
  return sizeBytes > toldSizeBytes + Math.max(blockBytes, toldSizeBytes / 8);
}
