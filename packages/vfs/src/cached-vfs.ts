/**
 * A Vfs that keeps a part of the file system's state, runs every change on it at once, and sends it on to the server in order.
 *
 * So a call waits only for what is not cached; a change is answered before it is durable, and sync waits for durability.
 * This file only joins the parts: names and attributes (tree.ts), handles (open-files.ts), bytes (file-content.ts, file-ranges.ts),
 * listings (directory-listing.ts), and what the session reports.
 * Invariant: after `close` has resolved everything that was answered is durable, or `close` has thrown.
 */
import { CfsError } from "@cfs/core";
import type { Clock, InodeNumber, Logger, Name } from "@cfs/core";
import { Attempts } from "./attempts.ts";
import { CommandRunner } from "./command-runner.ts";
import { DirectoryListing } from "./directory-listing.ts";
import { Durability } from "./durability.ts";
import { Entries } from "./entries.ts";
import { Fetcher } from "./fetcher.ts";
import { FileContent } from "./file-content.ts";
import { FileRanges } from "./file-ranges.ts";
import { InodeNumbers } from "./inode-numbers.ts";
import { ExclusiveLease } from "./lease.ts";
import { OpenFiles } from "./open-files.ts";
import type { Created } from "./open-files.ts";
import { PartialState } from "./partial-state.ts";
import { PayloadPool } from "./payload-pool.ts";
import { DirectoryPrefetch } from "./prefetch.ts";
import { References } from "./references.ts";
import type { Rejection, Remote } from "./remote.ts";
import { SpaceGate } from "./space-gate.ts";
import { Tree } from "./tree.ts";
import { withDefaults } from "./vfs-options.ts";
import type { CachedVfsOptions, CachedVfsSettings } from "./vfs-options.ts";
import type {
  AttributeChange,
  Awaitable,
  Caller,
  DirectoryEntry,
  Entry,
  FileSystemStatistics,
  Invalidation,
  NewNode,
  OpenFile,
  ReadResult,
  Vfs,
  VfsWait,
  WriteOptions,
} from "./vfs.ts";

export interface CachedVfsParts {
  readonly remote: Remote;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a mount holds in memory, for metrics. */
export interface CachedVfsHoldings {
  readonly inodes: number;
  readonly names: number;
  readonly inlineBytes: number;
  readonly xattrBytes: number;
  readonly lookedUpInodes: number;
  readonly openFiles: number;
  readonly undurableBytes: number;
  readonly poolBytes: number;
}

export class CachedVfs implements Vfs {
  onInvalidate: ((what: Invalidation, done?: () => void) => void) | null = null;
  readonly #remote: Remote;
  readonly #logger: Logger;
  readonly #options: CachedVfsOptions;
  readonly #durability: Durability;
  readonly #state: PartialState;
  readonly #fetcher: Fetcher;
  readonly #numbers: InodeNumbers;
  readonly #pool: PayloadPool;
  readonly #references: References;
  readonly #tree: Tree;
  readonly #open: OpenFiles;
  readonly #content: FileContent;
  readonly #ranges: FileRanges;
  readonly #listing: DirectoryListing;
  readonly #entries: Entries;
  #closing: Promise<void> | null = null;

  constructor(parts: CachedVfsParts, settings: CachedVfsSettings = {}) {
    const { remote, clock, logger } = parts;
    const options = withDefaults(settings);
    const entries = new Entries(new ExclusiveLease(), options);
    const durability = new Durability({ memoryBytesMax: options.writeBytesMax });
    const state = new PartialState(options.cache, () => durability.durableSeq);
    const fetcher = new Fetcher({ remote, state, durability });
    const attempts = new Attempts((missing) => fetcher.fetch(missing));
    const numbers = new InodeNumbers({ remote, logger });
    const commands = new CommandRunner({ remote, clock, state, durability, numbers, attempts }, options);
    const references = new References({ state, commands });
    const pool = new PayloadPool({ bytesMax: options.poolBytesMax });
    const space = new SpaceGate({ remote, durability });
    const content = new FileContent({ remote, state, commands, attempts, pool, space }, options);
    const tree = new Tree({ state, durability, commands, attempts, references, content, entries });
    this.#remote = remote;
    this.#logger = logger;
    this.#options = options;
    this.#durability = durability;
    this.#state = state;
    this.#fetcher = fetcher;
    this.#numbers = numbers;
    this.#pool = pool;
    this.#references = references;
    this.#tree = tree;
    this.#content = content;
    this.#entries = entries;
    this.#open = new OpenFiles({ state, durability, commands, attempts, references, content, tree, entries }, options);
    this.#ranges = new FileRanges({ remote, state, commands, attempts, space, content });
    this.#listing = new DirectoryListing({ state, fetcher, attempts, references, content, entries });
    fetcher.namePrefetch = new DirectoryPrefetch({ fetcher, state, clock, logger }, namePrefetchOptions(options));
    fetcher.inlinePrefetch = new DirectoryPrefetch({ fetcher, state, clock, logger }, inlinePrefetchOptions(options));
    durability.onWait = () => remote.hurry();
    entries.onStaleAttributes = (ino, done) => {
      if (this.onInvalidate === null) done?.();
      else this.onInvalidate({ kind: "attributes", ino }, done);
    };
    remote.listener = {
      onProgress: (progress) => durability.progress(progress),
      onRejected: (rejection) => this.#onRejected(rejection),
      onSessionLost: (message) => this.#onSessionLost(message),
    };
  }

  get holdings(): CachedVfsHoldings {
    return {
      ...this.#state.held,
      lookedUpInodes: this.#references.lookedUpCount,
      openFiles: this.#open.files.size + this.#open.directories.size,
      undurableBytes: this.#durability.memoryBytes,
      poolBytes: this.#pool.slabBytes,
    };
  }

  lookup(parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry> {
    return this.#tree.lookup(parent, name, caller);
  }

  forget(ino: InodeNumber, count: number): void {
    this.#references.forget(ino, count);
  }

  getAttributes(ino: InodeNumber): Awaitable<Entry> {
    return this.#tree.getAttributes(ino);
  }

  setAttributes(ino: InodeNumber, change: AttributeChange, caller: Caller): Awaitable<Entry> {
    return this.#tree.setAttributes(ino, change, caller);
  }

  readSymlink(ino: InodeNumber): Awaitable<Uint8Array> {
    return this.#tree.readSymlink(ino);
  }

  makeNode(parent: InodeNumber, name: Name, node: NewNode, caller: Caller): Awaitable<Entry> {
    return this.#tree.makeNode(parent, name, node, caller);
  }

  link(ino: InodeNumber, parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry> {
    return this.#tree.link(ino, parent, name, caller);
  }

  unlink(parent: InodeNumber, name: Name, caller: Caller): Awaitable<void> {
    return this.#tree.unlink(parent, name, false, caller);
  }

  removeDirectory(parent: InodeNumber, name: Name, caller: Caller): Awaitable<void> {
    return this.#tree.unlink(parent, name, true, caller);
  }

  rename(parent: InodeNumber, name: Name, newParent: InodeNumber, newName: Name, flags: number, caller: Caller): Awaitable<void> {
    return this.#tree.rename(parent, name, newParent, newName, flags, caller);
  }

  open(ino: InodeNumber, flags: number, caller: Caller): Awaitable<OpenFile> {
    return this.#open.open(ino, flags, caller);
  }

  create(parent: InodeNumber, name: Name, node: NewNode, flags: number, caller: Caller): Awaitable<Created> {
    return this.#open.create(parent, name, node, flags, caller);
  }

  createUnnamed(parent: InodeNumber, node: NewNode, flags: number, caller: Caller): Awaitable<Created> {
    return this.#open.createUnnamed(parent, node, flags, caller);
  }

  read(handle: number, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Awaitable<ReadResult> {
    return this.#content.read(this.#open.files.get(handle), offsetBytes, lengthBytes, wait);
  }

  write(handle: number, offsetBytes: number, data: Uint8Array, options: WriteOptions): Awaitable<number> {
    return this.#content.write(this.#open.files.get(handle), offsetBytes, data, options);
  }

  flush(handle: number): void {
    this.#open.report(this.#open.files.get(handle));
  }

  sync(handle: number, _dataOnly: boolean): Awaitable<void> {
    return this.#open.sync(this.#open.files.get(handle));
  }

  release(handle: number): void {
    this.#open.release(handle);
  }

  allocate(handle: number, mode: number, offsetBytes: number, lengthBytes: number, caller: Caller): Awaitable<void> {
    return this.#ranges.allocate(this.#open.files.get(handle), mode, offsetBytes, lengthBytes, caller);
  }

  isOpenForWriting(ino: InodeNumber): boolean {
    return this.#entries.isOpenForWriting(ino);
  }

  seek(handle: number, offsetBytes: number, whence: number): Awaitable<number> {
    return this.#ranges.seek(this.#open.files.get(handle), offsetBytes, whence);
  }

  copyRange(
    source: number,
    sourceOffsetBytes: number,
    target: number,
    targetOffsetBytes: number,
    lengthBytes: number,
    caller: Caller,
  ): Awaitable<number> {
    const { files } = this.#open;
    return this.#ranges.copy(files.get(source), sourceOffsetBytes, files.get(target), targetOffsetBytes, lengthBytes, caller);
  }

  openDirectory(ino: InodeNumber, _flags: number, caller: Caller): Awaitable<OpenFile> {
    return this.#open.openDirectory(ino, caller);
  }

  readDirectory(handle: number, cookie: number, withAttributes: boolean, take: (entry: DirectoryEntry) => boolean): Awaitable<void> {
    return this.#listing.read(this.#open.directories.get(handle), cookie, withAttributes, take);
  }

  releaseDirectory(handle: number): void {
    this.#open.releaseDirectory(handle);
  }

  syncDirectory(handle: number): Awaitable<void> {
    return this.#open.sync(this.#open.directories.get(handle));
  }

  getXattr(ino: InodeNumber, name: string): Awaitable<Uint8Array> {
    return this.#tree.getXattr(ino, name);
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array, flags: number, killSetGid: boolean, caller: Caller): Awaitable<void> {
    return this.#tree.setXattr(ino, name, value, flags, killSetGid, caller);
  }

  listXattr(ino: InodeNumber, caller: Caller): Awaitable<readonly string[]> {
    return this.#tree.listXattr(ino, caller);
  }

  removeXattr(ino: InodeNumber, name: string, caller: Caller): Awaitable<void> {
    return this.#tree.setXattr(ino, name, null, 0, false, caller);
  }

  access(ino: InodeNumber, mask: number, caller: Caller): Awaitable<void> {
    return this.#tree.access(ino, mask, caller);
  }

  statistics(): Promise<FileSystemStatistics> {
    return this.#remote.statistics();
  }

  async syncAll(): Promise<void> {
    if (!this.#durability.isAllDurable) await this.#durability.whenDurable();
    const error = this.#open.errors.takeAnywhere();
    if (error !== null) throw error;
  }

  /** Reaps what only this mount kept alive, and waits until everything is durable. The remote stays open: its owner closes it. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    if (!this.#options.isReadOnly) this.#references.reapAll();
    await Promise.all([this.#fetcher.namePrefetch?.close(), this.#fetcher.inlinePrefetch?.close()]);
    await this.syncAll();
  }

  #onRejected({ seq, errno, message, ino }: Rejection): void {
    this.#logger.error("the server refused a change that was answered already", { seq, errno, message, ino });
    const error = CfsError.fromErrno(errno, `${message} (inode ${ino})`, { details: { seq, ino } });
    if (ino === 0) {
      this.#open.errors.latchAnywhere(error);
      this.#state.voidAll(this.#durability.lastSeq);
      return;
    }
    this.#open.errors.latch(ino, error);
    this.#state.voidInode(ino, this.#durability.lastSeq);
    this.onInvalidate?.({ kind: "inode", ino });
  }

  /** Whatever was not durable never happened: errors for those who have files open, and nothing cached is true any more. */
  #onSessionLost(message: string): void {
    const error = new CfsError("IO", `the session with the server is lost: ${message}`);
    this.#logger.error("session lost", { message, undurableBytes: this.#durability.memoryBytes });
    if (!this.#durability.isAllDurable) {
      for (const ino of this.#state.changedAfter(this.#durability.durableSeq)) this.#open.errors.latch(ino, error);
      this.#open.errors.latchAnywhere(error);
    }
    const names = [...this.#state.directories()].flatMap((directory) =>
      [...directory.names()].map(({ name }) => ({ parent: directory.ino, name })),
    );
    this.#durability.reset(error);
    this.#numbers.reset();
    this.#state.orphans.clear();
    this.#state.voidAll(0);
    if (this.onInvalidate === null) return;
    for (const { parent, name } of names) this.onInvalidate({ kind: "entry", parent, name });
    for (const ino of this.#references.lookedUp()) this.onInvalidate({ kind: "inode", ino });
  }
}

function namePrefetchOptions({ cache }: CachedVfsOptions): ConstructorParameters<typeof DirectoryPrefetch>[1] {
  const entriesMax = Math.min(cache.namesPerDirectory, Math.floor(cache.inodes / 2), Math.floor(cache.names / 2));
  return { withInline: false, pageEntries: 1000, entriesMax, entriesPerMiss: 500 };
}

function inlinePrefetchOptions({ cache }: CachedVfsOptions): ConstructorParameters<typeof DirectoryPrefetch>[1] {
  // At 2 KiB a file, what is fetched fills half of the budget.
  const entriesMax = Math.min(cache.namesPerDirectory, Math.floor(cache.inlineBytes / 4096));
  return { withInline: true, pageEntries: 250, entriesMax, entriesPerMiss: 500 };
}
