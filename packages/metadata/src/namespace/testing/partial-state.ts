/**
 * A partial state for tests, as a client has one: it knows what it fetched or made, and throws NotCached for the rest.
 *
 * Kept simple and strict: nothing is ever evicted unless a test calls `forget`, and every read of the unknown throws.
 */
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import type { KvState } from "../kv-state.ts";
import type { Dirent, Inode } from "../records.ts";
import { NotCached } from "../state.ts";
import type { Missing, State } from "../state.ts";

export class PartialState implements State {
  readonly content = null;
  readonly inodes: Map<InodeNumber, Inode | null> = new Map();
  readonly dirents: Map<string, Dirent | null> = new Map();
  readonly xattrs: Map<string, Uint8Array | null> = new Map();
  /** Directories made here: every entry is known. */
  readonly #complete = new Set<InodeNumber>();

  /** What a server would answer: copies, without the inline bytes unless asked for. */
  fetch(missing: Missing, server: KvState): void {
    if (missing.kind === "inode") {
      const inode = server.inode(missing.ino);
      this.inodes.set(missing.ino, inode === null ? null : { ...inode, inline: missing.withInline ? inode.inline : null });
    } else if (missing.kind === "dirent") {
      this.dirents.set(`${missing.parent}/${missing.name}`, server.dirent(missing.parent, missing.name));
    } else {
      this.xattrs.set(`${missing.ino}/${missing.name}`, server.xattr(missing.ino, missing.name));
    }
  }

  forget(): void {
    this.inodes.clear();
    this.dirents.clear();
    this.xattrs.clear();
    this.#complete.clear();
  }

  /** Everything known, comparable: to prove that nothing changed. */
  snapshot(): string {
    const bytes = (_key: string, value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value);
    return JSON.stringify([[...this.inodes], [...this.dirents], [...this.xattrs]], bytes);
  }

  inode(ino: InodeNumber): Inode | null {
    const inode = this.inodes.get(ino);
    if (inode === undefined) throw new NotCached({ kind: "inode", ino, withInline: false });
    return inode;
  }

  inline(inode: Inode): Uint8Array | null {
    if (inode.inlineBytes > 0 && inode.inline === null) throw new NotCached({ kind: "inode", ino: inode.ino, withInline: true });
    return inode.inline;
  }

  addInode(inode: Inode): void {
    this.inodes.set(inode.ino, inode);
    if (inode.kind === "directory") this.#complete.add(inode.ino);
  }

  changeInode(inode: Inode): void {
    this.inodes.set(inode.ino, inode);
  }

  removeInode(inode: Inode): void {
    this.inodes.set(inode.ino, null);
  }

  dirent(parent: InodeNumber, name: Name): Dirent | null {
    const dirent = this.dirents.get(`${parent}/${name}`);
    if (dirent !== undefined) return dirent;
    if (this.#complete.has(parent)) return null;
    throw new NotCached({ kind: "dirent", parent, name });
  }

  setDirent(parent: InodeNumber, name: Name, dirent: Dirent | null): void {
    this.dirents.set(`${parent}/${name}`, dirent);
  }

  xattr(ino: InodeNumber, name: string): Uint8Array | null {
    const value = this.xattrs.get(`${ino}/${name}`);
    if (value === undefined) throw new NotCached({ kind: "xattr", ino, name });
    return value;
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array | null): void {
    this.xattrs.set(`${ino}/${name}`, value);
  }

  setOrphan(_ino: InodeNumber, _owner: ClientId | null): void {}
}
