/**
 * The names of all directories that a client knows, bounded by their number.
 *
 * Eviction goes by directory: a small one that was not used goes whole, of a large one the oldest quarter.
 */
import type { InodeNumber, Name } from "@cfs/core";
import type { Dirent } from "@cfs/metadata";
import { ClockHand, overflowShare } from "./clock-hand.ts";
import { DirectoryNames } from "./directory-names.ts";

/** Directories up to this many names are evicted whole. */
const wholeEvictionMax = 1024;

export class NameCache {
  readonly #namesMax: number;
  readonly #directories: Map<InodeNumber, DirectoryNames> = new Map();
  readonly #hand: ClockHand<DirectoryNames>;
  #count = 0;
  #sweepAt = 0;

  constructor(namesMax: number) {
    this.#namesMax = namesMax;
    this.#hand = new ClockHand(this.#directories);
  }

  /** Names and directories, each counts as one. */
  get size(): number {
    return this.#count + this.#directories.size;
  }

  get(parent: InodeNumber): DirectoryNames | undefined {
    const directory = this.#directories.get(parent);
    if (directory !== undefined) directory.isUsed = true;
    return directory;
  }

  directories(): IterableIterator<DirectoryNames> {
    return this.#directories.values();
  }

  getOrAdd(parent: InodeNumber): DirectoryNames {
    return this.get(parent) ?? this.#add(parent, false);
  }

  /** A directory made by this client: every name in it is known. */
  addComplete(ino: InodeNumber, seq: number): void {
    this.#add(ino, true).changedSeq = seq;
  }

  set(parent: InodeNumber, name: Name, dirent: Dirent | null, seq: number): void {
    const directory = this.getOrAdd(parent);
    const before = directory.size;
    directory.set(name, dirent, seq);
    this.#count += directory.size - before;
  }

  learn(parent: InodeNumber, name: Name, dirent: Dirent | null, cookie: number): void {
    const directory = this.getOrAdd(parent);
    const before = directory.size;
    directory.learn(name, dirent, cookie);
    this.#count += directory.size - before;
  }

  markComplete(directory: DirectoryNames): void {
    const before = directory.size;
    directory.markComplete();
    this.#count += directory.size - before;
  }

  drop(ino: InodeNumber): void {
    const directory = this.#directories.get(ino);
    if (directory === undefined) return;
    this.#count -= directory.size;
    this.#directories.delete(ino);
  }

  clear(): void {
    this.#directories.clear();
    this.#count = 0;
    this.#sweepAt = 0;
  }

  /** Evicts what is over the budget. Returns the newest command among what was evicted. */
  settle(durableSeq: number): number {
    const { size } = this;
    if (size <= this.#namesMax || size < this.#sweepAt) return 0;
    let newestSeq = 0;
    const target = Math.floor(this.#namesMax * 0.95);
    const isOverflowing = size > this.#namesMax * overflowShare + 64;
    const isEnough = this.#hand.sweep(
      () => this.size <= target,
      (directory) => {
        if (directory.isUsed && !isOverflowing) {
          directory.isUsed = false;
          return;
        }
        newestSeq = Math.max(newestSeq, this.#evict(directory, durableSeq));
      },
    );
    this.#sweepAt = isEnough ? 0 : Math.ceil(this.size * 1.05);
    return newestSeq;
  }

  #evict(directory: DirectoryNames, durableSeq: number): number {
    const count = directory.size <= wholeEvictionMax ? directory.size : Math.ceil(directory.size / 4);
    const { evicted, newestSeq } = directory.evict(count, durableSeq);
    this.#count -= evicted;
    if (directory.size > 0 || directory.changedSeq > durableSeq) return newestSeq;
    this.#directories.delete(directory.ino);
    return Math.max(newestSeq, directory.changedSeq);
  }

  #add(ino: InodeNumber, isComplete: boolean): DirectoryNames {
    const directory = new DirectoryNames(ino, isComplete);
    this.drop(ino);
    this.#directories.set(ino, directory);
    return directory;
  }
}
