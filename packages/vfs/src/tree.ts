/**
 * Names and attributes: lookup, attributes, making, linking, renaming, removing, extended attributes.
 *
 * What may be done is decided by the namespace (applyCommand); here are only the reads, and the references that entries carry.
 */
import type { InodeNumber, Name } from "@cfs/core";
import { hasXattrNamespace, mayAccess, mayExecute, mayWrite, nameBytesMax, NotCached } from "@cfs/metadata";
import type { Inode, MakeNode } from "@cfs/metadata";
import type { Attempts } from "./attempts.ts";
import { setAttributesOf } from "./attributes.ts";
import type { CommandRunner } from "./command-runner.ts";
import type { Durability } from "./durability.ts";
import type { Entries } from "./entries.ts";
import type { FileContent } from "./file-content.ts";
import type { PartialState } from "./partial-state.ts";
import { quickError } from "./quick-error.ts";
import type { References } from "./references.ts";
import type { AttributeChange, Awaitable, Caller, Entry, NewNode } from "./vfs.ts";

export interface TreeParts {
  readonly state: PartialState;
  readonly durability: Durability;
  readonly commands: CommandRunner;
  readonly attempts: Attempts;
  readonly references: References;
  readonly content: FileContent;
  readonly entries: Entries;
}

const renameWhiteout = 4;

export class Tree {
  readonly #state: PartialState;
  readonly #durability: Durability;
  readonly #commands: CommandRunner;
  readonly #attempts: Attempts;
  readonly #references: References;
  readonly #content: FileContent;
  readonly #entries: Entries;

  constructor(parts: TreeParts) {
    this.#state = parts.state;
    this.#durability = parts.durability;
    this.#commands = parts.commands;
    this.#attempts = parts.attempts;
    this.#references = parts.references;
    this.#content = parts.content;
    this.#entries = parts.entries;
  }

  /** Any inode, inside a step. */
  inodeOf(ino: InodeNumber): Inode {
    const inode = this.#state.inode(ino);
    if (inode === null) throw quickError("STALE_HANDLE", `inode ${ino} is gone`);
    return inode;
  }

  mustHaveAccess(inode: Inode, caller: Caller, mask: number): void {
    if (!mayAccess(this.#state, inode, caller, mask)) throw quickError("ACCESS_DENIED", `inode ${inode.ino}`);
  }

  lookup(parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry> {
    return this.#attempts.run(() => this.#counted(this.find(parent, name, caller)));
  }

  /** The inode behind a name, inside a step. */
  find(parent: InodeNumber, name: Name, caller: Caller): Inode {
    const directory = this.inodeOf(parent);
    // An NFS export and open_by_handle_at(2) ask like that for an inode of any kind.
    if (name === ".") return directory;
    if (directory.kind !== "directory") throw quickError("NOT_DIRECTORY", `inode ${parent} is a ${directory.kind}`);
    if (name.length > nameBytesMax) throw quickError("NAME_TOO_LONG", `a name of ${name.length} bytes`);
    this.mustHaveAccess(directory, caller, mayExecute);
    if (name === "..") return this.inodeOf(directory.parent === 0 ? parent : directory.parent);
    const dirent = this.#state.dirent(parent, name);
    if (dirent === null) throw quickError("NOT_FOUND", `${name} in directory ${parent}`);
    const inode = this.#state.inode(dirent.ino);
    if (inode !== null) return inode;
    // The server refused a command that we had taken for done: what we know of this directory is wrong.
    this.#state.voidInode(parent, this.#durability.lastSeq);
    throw new NotCached({ kind: "inode", ino: parent, withInline: false });
  }

  getAttributes(ino: InodeNumber): Awaitable<Entry> {
    let hasAsked = false;
    return this.#attempts.run(() => {
      const inode = this.inodeOf(ino);
      if (inode.isAllocatedStale && !hasAsked) {
        hasAsked = true;
        throw new NotCached({ kind: "inode", ino, withInline: false });
      }
      return this.#entries.of(inode);
    });
  }

  setAttributes(ino: InodeNumber, change: AttributeChange, caller: Caller): Awaitable<Entry> {
    return this.#commands.change(() => {
      this.#commands.apply(setAttributesOf(ino, change, caller, this.#commands.now()));
      return this.#entries.of(this.inodeOf(ino));
    });
  }

  readSymlink(ino: InodeNumber): Awaitable<Uint8Array> {
    return this.#attempts.run(() => {
      const inode = this.inodeOf(ino);
      if (inode.kind !== "symlink" || inode.target === null) throw quickError("INVALID", `inode ${ino} is a ${inode.kind}`);
      this.#content.touchAtime(inode);
      return inode.target;
    });
  }

  makeNode(parent: InodeNumber, name: Name, node: NewNode, caller: Caller): Awaitable<Entry> {
    return this.#commands.change(() => this.#counted(this.make(parent, name, node, caller)));
  }

  /** The new inode, inside a change. `name` null: without a name. */
  make(parent: InodeNumber, name: Name | null, node: NewNode, caller: Caller): Inode {
    const { kind, mode, umask, rdev, target } = node;
    const make = (ino: InodeNumber): MakeNode => ({
      type: "makeNode",
      parent,
      name,
      ino,
      kind,
      mode,
      umask,
      rdev,
      target,
      caller,
      time: this.#commands.now(),
    });
    return this.inodeOf(this.#commands.applyNew(kind, parent, make));
  }

  link(ino: InodeNumber, parent: InodeNumber, name: Name, caller: Caller): Awaitable<Entry> {
    return this.#commands.change(() => {
      this.#commands.apply({ type: "link", ino, parent, name, caller, time: this.#commands.now() });
      return this.#counted(this.inodeOf(ino));
    });
  }

  unlink(parent: InodeNumber, name: Name, directory: boolean, caller: Caller): Awaitable<void> {
    return this.#commands.change(() => {
      this.#commands.apply({ type: "unlink", parent, name, directory, caller, time: this.#commands.now() });
    });
  }

  rename(parent: InodeNumber, name: Name, newParent: InodeNumber, newName: Name, flags: number, caller: Caller): Awaitable<void> {
    const common = { type: "rename", parent, name, newParent, newName, flags, caller } as const;
    return this.#commands.change(() => {
      if ((flags & renameWhiteout) === 0) this.#commands.apply({ ...common, whiteout: 0, time: this.#commands.now() });
      else this.#commands.applyNew("character", parent, (whiteout) => ({ ...common, whiteout, time: this.#commands.now() }));
    });
  }

  getXattr(ino: InodeNumber, name: string): Awaitable<Uint8Array> {
    if (!hasXattrNamespace(name)) throw quickError("NOT_SUPPORTED", `${name} is in no namespace of attributes`);
    return this.#attempts.run(() => {
      const value = this.inodeOf(ino).xattrNames.includes(name) ? this.#state.xattr(ino, name) : null;
      if (value === null) throw quickError("NO_DATA", `${name} of inode ${ino}`);
      return value;
    });
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array | null, flags: number, killSetGid: boolean, caller: Caller): Awaitable<void> {
    const own = value === null ? null : new Uint8Array(value);
    return this.#commands.change(() => {
      this.#commands.apply({ type: "setXattr", ino, name, value: own, flags, killSetGid, caller, time: this.#commands.now() });
    });
  }

  listXattr(ino: InodeNumber, caller: Caller): Awaitable<readonly string[]> {
    return this.#attempts.run(() => {
      const names = this.inodeOf(ino).xattrNames;
      return caller.uid === 0 ? names : names.filter((name) => !name.startsWith("trusted."));
    });
  }

  access(ino: InodeNumber, mask: number, caller: Caller): Awaitable<void> {
    return this.#attempts.run(() => {
      const inode = this.inodeOf(ino);
      if ((mask & mayWrite) !== 0 && this.#commands.isReadOnly && isWrittenHere(inode))
        throw quickError("READ_ONLY", "this mount is read-only");
      this.mustHaveAccess(inode, caller, mask);
    });
  }

  #counted(inode: Inode): Entry {
    this.#references.addLookup(inode.ino);
    return this.#entries.of(inode);
  }
}

/** Devices, pipes and sockets are written elsewhere, also on a read-only mount. */
function isWrittenHere(inode: Inode): boolean {
  return inode.kind === "file" || inode.kind === "directory" || inode.kind === "symlink";
}
