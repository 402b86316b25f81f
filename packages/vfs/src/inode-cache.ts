/**
 * The inodes that a client knows, with or without their inline data, bounded by count and by inline bytes.
 *
 * Invariant: a record is true of the state after the last command of this client. Records are changed in place by commands; `settle`
 * recounts the inline bytes of what changed, and evicts what is over the budget and durable.
 */
import type { InodeNumber } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import type { Inode } from "@cfs/metadata";
import { ClockHand, overflowShare } from "./clock-hand.ts";
import { ownedBytes } from "./owned-bytes.ts";

export interface CachedInode {
  readonly ino: InodeNumber;
  /** Null: known not to exist. */
  inode: Inode | null;
  /** The last command that changed it, 0 for what was only fetched. */
  seq: number;
  isUsed: boolean;
  isInlineUsed: boolean;
  /** Inline bytes as last counted. */
  inlineBytes: number;
  /** The directory through which it was last seen and its cookie there, 0 unknown: hints for fetching inline data in pages. */
  parent: InodeNumber | 0;
  cookie: number;
}

export interface InodeBudgets {
  readonly inodes: number;
  readonly inlineBytes: number;
}

export class InodeCache {
  readonly #budgets: InodeBudgets;
  readonly #entries: Map<InodeNumber, CachedInode> = new Map();
  /** Those whose inline data is loaded. */
  readonly #inlined: Map<InodeNumber, CachedInode> = new Map();
  readonly #hand: ClockHand<CachedInode>;
  readonly #inlineHand: ClockHand<CachedInode>;
  #changed: CachedInode[] = [];
  #inlineBytes = 0;
  /** After a sweep that found nothing to evict, the next one waits until the cache has grown to this. */
  #sweepAt = 0;

  constructor(budgets: InodeBudgets) {
    this.#budgets = budgets;
    this.#hand = new ClockHand(this.#entries);
    this.#inlineHand = new ClockHand(this.#inlined);
  }

  get size(): number {
    return this.#entries.size;
  }

  get inlineBytes(): number {
    return this.#inlineBytes;
  }

  /** The record, null when known not to exist; throws NotCached. */
  get(ino: InodeNumber): Inode | null {
    const entry = this.#entries.get(ino);
    if (entry === undefined) throw new NotCached({ kind: "inode", ino, withInline: false });
    entry.isUsed = true;
    return entry.inode;
  }

  peek(ino: InodeNumber): CachedInode | undefined {
    return this.#entries.get(ino);
  }

  inline(inode: Inode): Uint8Array | null {
    if (inode.inlineBytes === 0) return null;
    if (inode.inline === null) throw new NotCached({ kind: "inode", ino: inode.ino, withInline: true });
    const entry = this.#entries.get(inode.ino);
    if (entry !== undefined) entry.isInlineUsed = true;
    return inode.inline;
  }

  add(inode: Inode, seq: number): void {
    const entry = this.#entries.get(inode.ino);
    if (entry === undefined) {
      this.#insert(inode.ino, inode, seq);
      return;
    }
    entry.inode = inode;
    this.#stamp(entry, seq);
  }

  change(inode: Inode, seq: number): void {
    const entry = this.#entries.get(inode.ino);
    if (entry === undefined) this.#insert(inode.ino, inode, seq);
    else this.#stamp(entry, seq);
  }

  remove(ino: InodeNumber, seq: number): void {
    const entry = this.#entries.get(ino);
    if (entry === undefined) {
      this.#insert(ino, null, seq);
      return;
    }
    entry.inode = null;
    entry.isUsed = false;
    this.#stamp(entry, seq);
  }

  /**
   * What the server said, asked at `askedSeq`. A known record stays; from one that no command changed since, it takes what only the
   * server knows: inline data that was not loaded, and the allocated bytes.
   */
  learn(
    ino: InodeNumber,
    inode: Inode | null,
    askedSeq: number,
    hint: { readonly parent: InodeNumber; readonly cookie: number } | null,
  ): void {
    const entry = this.#entries.get(ino) ?? this.#insert(ino, inode === null ? null : owned(inode), 0);
    if (hint !== null) {
      entry.parent = hint.parent;
      entry.cookie = hint.cookie;
    }
    const known = entry.inode;
    if (inode === null || known === null || entry.seq > askedSeq) return;
    if (known.isAllocatedStale) {
      known.allocatedBytes = inode.allocatedBytes;
      known.isAllocatedStale = false;
    }
    if (known.inline === null && inode.inline !== null && known.inlineBytes === inode.inlineBytes) {
      known.inline = ownedBytes(inode.inline);
      entry.isInlineUsed = true;
      this.#count(entry);
    }
  }

  changedAfter(seq: number): InodeNumber[] {
    const changed: InodeNumber[] = [];
    for (const entry of this.#entries.values()) if (entry.seq > seq) changed.push(entry.ino);
    return changed;
  }

  drop(ino: InodeNumber): void {
    const entry = this.#entries.get(ino);
    if (entry !== undefined) this.#evict(entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#inlined.clear();
    this.#changed = [];
    this.#inlineBytes = 0;
    this.#sweepAt = 0;
  }

  /** After a command or a fetch: recounts, and evicts. Returns the newest command among what was evicted. */
  settle(durableSeq: number): number {
    if (this.#changed.length > 0) {
      for (const entry of this.#changed) this.#count(entry);
      this.#changed = [];
    }
    if (this.#inlineBytes > this.#budgets.inlineBytes) this.#evictInline(durableSeq);
    const { size } = this.#entries;
    return size > this.#budgets.inodes && size >= this.#sweepAt ? this.#evictInodes(durableSeq) : 0;
  }

  #insert(ino: InodeNumber, inode: Inode | null, seq: number): CachedInode {
    const entry = { ino, inode, seq, isUsed: true, isInlineUsed: true, inlineBytes: 0, parent: 0 as const, cookie: 0 };
    this.#entries.set(ino, entry);
    this.#count(entry);
    return entry;
  }

  #stamp(entry: CachedInode, seq: number): void {
    entry.seq = seq;
    this.#changed.push(entry);
  }

  #count(entry: CachedInode): void {
    if (this.#entries.get(entry.ino) !== entry) return;
    const bytes = entry.inode?.inline?.length ?? 0;
    if (bytes === entry.inlineBytes) return;
    if (entry.inlineBytes === 0) this.#inlined.set(entry.ino, entry);
    else if (bytes === 0) this.#inlined.delete(entry.ino);
    this.#inlineBytes += bytes - entry.inlineBytes;
    entry.inlineBytes = bytes;
  }

  #evict(entry: CachedInode): void {
    this.#entries.delete(entry.ino);
    this.#inlined.delete(entry.ino);
    this.#inlineBytes -= entry.inlineBytes;
    entry.inlineBytes = 0;
  }

  #evictInline(durableSeq: number): void {
    const target = this.#budgets.inlineBytes * 0.9;
    this.#inlineHand.sweep(
      () => this.#inlineBytes <= target,
      (entry) => {
        if (entry.seq > durableSeq) return;
        if (entry.isInlineUsed) {
          entry.isInlineUsed = false;
          return;
        }
        if (entry.inode !== null) entry.inode.inline = null;
        this.#count(entry);
      },
    );
  }

  #evictInodes(durableSeq: number): number {
    let newestSeq = 0;
    const target = Math.floor(this.#budgets.inodes * 0.98);
    const isOverflowing = this.#entries.size > this.#budgets.inodes * overflowShare + 64;
    const isEnough = this.#hand.sweep(
      () => this.#entries.size <= target,
      (entry) => {
        if (entry.seq > durableSeq) return;
        if (entry.isUsed && !isOverflowing) {
          entry.isUsed = false;
          return;
        }
        newestSeq = Math.max(newestSeq, entry.seq);
        this.#evict(entry);
      },
    );
    this.#sweepAt = isEnough ? 0 : Math.ceil(this.#entries.size * 1.05);
    return newestSeq;
  }
}

/** The record is ours; the bytes in it may be views of a frame. */
function owned(inode: Inode): Inode {
  if (inode.inline !== null) inode.inline = ownedBytes(inode.inline);
  return inode.target === null ? inode : { ...inode, target: ownedBytes(inode.target) };
}
