/**
 * Opening, creating, closing and syncing: the life of handles, and where errors of early answers are reported.
 *
 * A write is answered when it is queued. What goes wrong with it later is latched on its inode (latched-errors.ts) and told to the
 * first flush or sync of each handle. A sync waits for every command submitted so far, of any file: they are ordered, and so what an
 * application did before it, such as removing a name elsewhere, is durable with it.
 */
import { CfsError } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { mayRead, mayWrite } from "@cfs/metadata";
import type { Inode } from "@cfs/metadata";
import type { Attempts } from "./attempts.ts";
import { setAttributesOf } from "./attributes.ts";
import type { CommandRunner } from "./command-runner.ts";
import type { DirectoryHandle } from "./directory-listing.ts";
import type { Durability } from "./durability.ts";
import type { Entries } from "./entries.ts";
import type { FileContent } from "./file-content.ts";
import { canWrite, HandleTable, openAccessMask, openExclusive, openNoAtime, openTruncate, openWriteOnly } from "./handles.ts";
import type { FileHandle } from "./handles.ts";
import { LatchedErrors } from "./latched-errors.ts";
import type { PartialState } from "./partial-state.ts";
import { quickError } from "./quick-error.ts";
import type { References } from "./references.ts";
import type { Tree } from "./tree.ts";
import type { Awaitable, Caller, Entry, NewNode, OpenFile } from "./vfs.ts";

export interface OpenFilesParts {
  readonly state: PartialState;
  readonly durability: Durability;
  readonly commands: CommandRunner;
  readonly attempts: Attempts;
  readonly references: References;
  readonly content: FileContent;
  readonly tree: Tree;
  readonly entries: Entries;
}

export interface OpenFilesOptions {
  readonly bypassPageCache: boolean;
}

export type Created = { readonly entry: Entry; readonly file: OpenFile };

export class OpenFiles {
  readonly #state: PartialState;
  readonly #durability: Durability;
  readonly #commands: CommandRunner;
  readonly #attempts: Attempts;
  readonly #references: References;
  readonly #content: FileContent;
  readonly #tree: Tree;
  readonly #entries: Entries;
  readonly #options: OpenFilesOptions;
  readonly errors: LatchedErrors = new LatchedErrors();
  #lastHandle = 0;
  readonly files: HandleTable<FileHandle> = new HandleTable(() => ++this.#lastHandle);
  readonly directories: HandleTable<DirectoryHandle> = new HandleTable(() => ++this.#lastHandle);

  constructor(parts: OpenFilesParts, options: OpenFilesOptions) {
    this.#state = parts.state;
    this.#durability = parts.durability;
    this.#commands = parts.commands;
    this.#attempts = parts.attempts;
    this.#references = parts.references;
    this.#content = parts.content;
    this.#tree = parts.tree;
    this.#entries = parts.entries;
    this.#options = options;
  }

  open(ino: InodeNumber, flags: number, caller: Caller): Awaitable<OpenFile> {
    const step = (): OpenFile => this.#openInode(this.#tree.inodeOf(ino), flags, caller);
    return isWriting(flags) ? this.#commands.change(step) : this.#attempts.run(step);
  }

  create(parent: InodeNumber, name: Name, node: NewNode, flags: number, caller: Caller): Awaitable<Created> {
    return this.#commands.change(() => {
      let inode: Inode;
      try {
        inode = this.#tree.make(parent, name, node, caller);
      } catch (reason) {
        // Somebody else was first: without O_EXCL that is an open.
        if (!(reason instanceof CfsError) || reason.code !== "EXISTS" || (flags & openExclusive) !== 0) throw reason;
        const file = this.#openInode(this.#tree.find(parent, name, caller), flags, caller);
        return this.#created(this.#tree.find(parent, name, caller), file);
      }
      return this.#created(inode, this.#handleOf(inode, flags & ~openTruncate, caller));
    });
  }

  createUnnamed(parent: InodeNumber, node: NewNode, flags: number, caller: Caller): Awaitable<Created> {
    return this.#commands.change(() => {
      const inode = this.#tree.make(parent, null, node, caller);
      return this.#created(inode, this.#handleOf(inode, flags & ~openTruncate, caller));
    });
  }

  openDirectory(ino: InodeNumber, caller: Caller): Awaitable<OpenFile> {
    return this.#attempts.run(() => {
      const inode = this.#tree.inodeOf(ino);
      if (inode.kind !== "directory") throw quickError("NOT_DIRECTORY", `inode ${ino} is a ${inode.kind}`);
      this.#tree.mustHaveAccess(inode, caller, mayRead);
      const opened = this.directories.open((handle) => ({
        handle,
        ino,
        caller,
        errorsSeen: this.errors.sample(ino),
        held: null,
        ahead: null,
      }));
      this.#references.addOpen(ino);
      return { handle: opened.handle, keepCache: !this.#content.isAtimeDue(inode), direct: false };
    });
  }

  release(handle: number): void {
    const file = this.files.close(handle);
    if (file === null) return;
    if (canWrite(file)) this.#entries.removeWriter(file.ino);
    this.#references.removeOpen(file.ino);
  }

  releaseDirectory(handle: number): void {
    const directory = this.directories.close(handle);
    if (directory !== null) this.#references.removeOpen(directory.ino);
  }

  /** Throws the error that this handle has not reported yet. */
  report(handle: FileHandle | DirectoryHandle): void {
    const latched = this.errors.take(handle.ino, handle.errorsSeen);
    if (latched === null) return;
    handle.errorsSeen = latched.seen;
    throw latched.error;
  }

  sync(handle: FileHandle | DirectoryHandle): Awaitable<void> {
    if (this.#durability.isAllDurable) return this.#synced(handle);
    return this.#durability.whenDurable().then(
      () => this.#synced(handle),
      (reason: unknown) => {
        this.report(handle);
        throw reason;
      },
    );
  }

  #synced(handle: FileHandle | DirectoryHandle): Awaitable<void> {
    this.report(handle);
    const inode = this.#entries.isOpenForWriting(handle.ino) ? this.#state.peekInode(handle.ino)?.inode : null;
    if (inode) return this.#entries.synced(inode);
  }

  #openInode(inode: Inode, flags: number, caller: Caller): OpenFile {
    const access = flags & openAccessMask;
    if (inode.kind === "directory") throw quickError("IS_DIRECTORY", `inode ${inode.ino} is a directory`);
    if (inode.kind === "symlink") throw quickError("SYMLINK_LOOP", `inode ${inode.ino} is a symlink`);
    const mask = (access === openWriteOnly ? 0 : mayRead) | (isWriting(flags) ? mayWrite : 0);
    this.#tree.mustHaveAccess(inode, caller, mask);
    if ((flags & openTruncate) !== 0 && inode.kind === "file") this.#truncate(inode, caller);
    const file = this.#handleOf(inode, flags, caller);
    if ((flags & openAccessMask) !== 0) this.#entries.opened(inode);
    return file;
  }

  /** Access was checked; the times change even when the file was empty. */
  #truncate(inode: Inode, caller: Caller): void {
    const change = { sizeBytes: 0, mtime: "now", killSetId: caller.uid !== 0 } as const;
    this.#commands.apply(setAttributesOf(inode.ino, change, { ...caller, groups: null }, this.#commands.now()));
  }

  #handleOf(inode: Inode, flags: number, caller: Caller): OpenFile {
    const { ino } = inode;
    const opened = this.files.open((handle) => ({ handle, ino, flags, caller, errorsSeen: this.errors.sample(ino) }));
    this.#references.addOpen(ino);
    if (canWrite(opened)) this.#entries.addWriter(inode);
    // A read that is due to change the access time must reach us, and not end in the kernel's pages.
    const mustSeeReads =
      (flags & openAccessMask) !== openWriteOnly && (flags & openNoAtime) === 0 && inode.sizeBytes > 0 && this.#content.isAtimeDue(inode);
    return { handle: opened.handle, keepCache: !mustSeeReads, direct: this.#options.bypassPageCache };
  }

  #created(inode: Inode, file: OpenFile): Created {
    this.#references.addLookup(inode.ino);
    return { entry: this.#entries.of(inode), file };
  }
}

function isWriting(flags: number): boolean {
  return (flags & openAccessMask) !== 0 || (flags & openTruncate) !== 0;
}
