/**
 * The client's copy of a part of the namespace state: what it fetched and what it made, bounded, with eviction.
 *
 * Commands run on it exactly as on the server; what it does not know it throws as NotCached, and the caller fetches.
 * Invariants:
 *  1. Everything here is true of the state after the last command of this client. Fetched records go only where nothing is known.
 *  2. A record whose last command is not durable is not evicted: fetching it again would have to wait for that command.
 *  3. An answer to a fetch is refused when a record changed after the question has been evicted or dropped since (`accepts`):
 *     it could bring an old form back. The asker asks again.
 * Content (extents) lives on the server only: `content` is null.
 */
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import type { Dirent, Inode, NamedDirent, State } from "@cfs/metadata";
import type { DirectoryNames } from "./directory-names.ts";
import { InodeCache } from "./inode-cache.ts";
import type { CachedInode } from "./inode-cache.ts";
import { NameCache } from "./name-cache.ts";
import type { ListedEntry } from "./remote.ts";
import { XattrCache } from "./xattr-cache.ts";

export interface CacheBudgets {
  /** Inodes without their inline data; about 0.6 KiB each. Default 80,000. */
  readonly inodes: number;
  /** Names over all directories; about 0.2 KiB each. Default 160,000. */
  readonly names: number;
  /** Directories with more entries than this are not taken in by listing them. Default 50,000. */
  readonly namesPerDirectory: number;
  /** Inline data, bytes. Default 32 MiB. */
  readonly inlineBytes: number;
  /** Values of extended attributes, bytes. Default 8 MiB. */
  readonly xattrBytes: number;
}

export const cacheBudgetDefaults: CacheBudgets = {
  inodes: 80_000,
  names: 160_000,
  namesPerDirectory: 50_000,
  inlineBytes: 32 << 20,
  xattrBytes: 8 << 20,
};

export class PartialState implements State {
  readonly content = null;
  /** The sequence number that the command being run will get. */
  stampSeq = 1;
  /** Unlinked inodes of this session that have not been reaped. */
  readonly orphans: Set<InodeNumber> = new Set();
  readonly #durableSeq: () => number;
  readonly #inodes: InodeCache;
  readonly #names: NameCache;
  readonly #xattrs: XattrCache;
  /** Inodes that lost their last name in commands since `takeNewOrphans`. */
  #newOrphans: InodeNumber[] = [];
  #staleBefore = 0;

  constructor(budgets: CacheBudgets, durableSeq: () => number) {
    this.#durableSeq = durableSeq;
    this.#inodes = new InodeCache(budgets);
    this.#names = new NameCache(budgets.names);
    this.#xattrs = new XattrCache(budgets.xattrBytes);
  }

  /** How much is held, for metrics and tests. */
  get held(): { readonly inodes: number; readonly names: number; readonly inlineBytes: number; readonly xattrBytes: number } {
    return { inodes: this.#inodes.size, names: this.#names.size, inlineBytes: this.#inodes.inlineBytes, xattrBytes: this.#xattrs.bytes };
  }

  inode(ino: InodeNumber): Inode | null {
    return this.#inodes.get(ino);
  }

  inline(inode: Inode): Uint8Array | null {
    return this.#inodes.inline(inode);
  }

  addInode(inode: Inode): void {
    this.#inodes.add(inode, this.stampSeq);
    if (inode.kind === "directory") this.#names.addComplete(inode.ino, this.stampSeq);
  }

  changeInode(inode: Inode): void {
    this.#inodes.change(inode, this.stampSeq);
  }

  removeInode(inode: Inode): void {
    this.#inodes.remove(inode.ino, this.stampSeq);
    if (inode.kind !== "directory") return;
    this.#names.drop(inode.ino);
    this.#refuseBefore(this.stampSeq);
  }

  dirent(parent: InodeNumber, name: Name): Dirent | null {
    const directory = this.directory(parent);
    const known = directory?.get(name);
    if (known !== undefined) return known.ino === 0 ? null : (known as Dirent);
    if (directory?.excludes(name) === true) return null;
    throw new NotCached({ kind: "dirent", parent, name });
  }

  setDirent(parent: InodeNumber, name: Name, dirent: Dirent | null): void {
    this.#names.set(parent, name, dirent, this.stampSeq);
  }

  xattr(ino: InodeNumber, name: string): Uint8Array | null {
    const inode = this.#inodes.peek(ino)?.inode;
    if (inode?.xattrNames.includes(name) === false) return null;
    return this.#xattrs.get(ino, name);
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array | null): void {
    this.#xattrs.set(ino, name, value, this.stampSeq);
  }

  setOrphan(ino: InodeNumber, owner: ClientId | null): void {
    if (owner === null) {
      this.orphans.delete(ino);
      return;
    }
    this.orphans.add(ino);
    this.#newOrphans.push(ino);
  }

  takeNewOrphans(): readonly InodeNumber[] {
    if (this.#newOrphans.length === 0) return this.#newOrphans;
    const taken = this.#newOrphans;
    this.#newOrphans = [];
    return taken;
  }

  /** Inodes whose last change came after command `seq`. */
  changedAfter(seq: number): InodeNumber[] {
    return this.#inodes.changedAfter(seq);
  }

  peekInode(ino: InodeNumber): CachedInode | undefined {
    return this.#inodes.peek(ino);
  }

  /** What is known of the names of a directory; undefined when nothing is. Notices when these are all. */
  directory(ino: InodeNumber): DirectoryNames | undefined {
    let directory = this.#names.get(ino);
    if (directory?.isComplete === true) return directory;
    const inode = this.#inodes.peek(ino)?.inode;
    if (inode === undefined || inode === null || inode.kind !== "directory" || inode.entryCount !== (directory?.presentCount ?? 0))
      return directory;
    directory ??= this.#names.getOrAdd(ino);
    this.#names.markComplete(directory);
    return directory;
  }

  directories(): IterableIterator<DirectoryNames> {
    return this.#names.directories();
  }

  /** May the answer to what was asked after command `askedSeq` be taken in? */
  accepts(askedSeq: number): boolean {
    return askedSeq >= this.#staleBefore;
  }

  learnInode(ino: InodeNumber, inode: Inode | null, askedSeq: number): void {
    this.#inodes.learn(ino, inode, askedSeq, null);
  }

  learnDirent(
    parent: InodeNumber,
    name: Name,
    found: { readonly dirent: NamedDirent; readonly inode: Inode } | null,
    askedSeq: number,
  ): void {
    if (found === null) this.#names.learn(parent, name, null, 0);
    else this.learnEntry(parent, { ...found.dirent, inode: found.inode }, askedSeq);
  }

  learnEntry(parent: InodeNumber, entry: ListedEntry, askedSeq: number): void {
    this.#names.learn(parent, entry.name, entry, entry.cookie);
    this.#inodes.learn(entry.ino, entry.inode, askedSeq, { parent, cookie: entry.cookie });
  }

  learnXattr(ino: InodeNumber, name: string, value: Uint8Array | null): void {
    this.#xattrs.learn(ino, name, value);
  }

  /** Evicts what is over the budgets. To be called after a command or an answer, never while a command runs. */
  settle(): void {
    const durableSeq = this.#durableSeq();
    this.#refuseBefore(Math.max(this.#inodes.settle(durableSeq), this.#names.settle(durableSeq), this.#xattrs.settle(durableSeq)));
  }

  /** Forgets what is known of one inode, because the server holds something else. `lastSeq`: the last command submitted. */
  voidInode(ino: InodeNumber, lastSeq: number): void {
    const parent = this.#inodes.peek(ino)?.parent ?? 0;
    for (const one of parent === 0 ? [ino] : [ino, parent]) {
      this.#inodes.drop(one);
      this.#names.drop(one);
      this.#xattrs.drop(one);
    }
    this.#refuseBefore(lastSeq);
  }

  /** Forgets everything but the list of orphans. */
  voidAll(lastSeq: number): void {
    this.#inodes.clear();
    this.#names.clear();
    this.#xattrs.clear();
    this.#staleBefore = lastSeq;
  }

  #refuseBefore(seq: number): void {
    if (seq > this.#staleBefore) this.#staleBefore = seq;
  }
}
