/**
 * A vfs and the naive model side by side: every operation runs on both, and both must answer the same.
 *
 * Inodes and handles are chosen by small numbers, so that operations made for one state still mean something after shrinking.
 */
import assert from "node:assert/strict";
import { CfsError, rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { Caller, CachedVfs, DirectoryEntry, Entry, ReadResult } from "@cfs/vfs";
import { ModelError, ModelFs } from "./model-fs.ts";
import type { ModelKind, ModelNode } from "./model-fs.ts";

export const root: Caller = { uid: 0, gid: 0, pid: 1, groups: null };

interface OpenPair {
  readonly node: ModelNode;
  handle: number;
}

export function bytesOf(result: ReadResult): Buffer {
  const bytes = Buffer.concat(result.parts);
  assert.equal(bytes.length, result.lengthBytes);
  result.release();
  return bytes;
}

export class VfsTwin {
  readonly model: ModelFs = new ModelFs();
  readonly inoOf: Map<ModelNode, InodeNumber> = new Map([[this.model.root, rootInode]]);
  readonly open: OpenPair[] = [];
  vfs: CachedVfs;
  /** Lookups that the vfs has counted for us. */
  readonly #lookups: Map<InodeNumber, number> = new Map();

  constructor(vfs: CachedVfs) {
    this.vfs = vfs;
  }

  /** Live directories by number; the root when there are none. */
  directory(index: number): ModelNode {
    const all = [...this.inoOf.keys()].filter((node) => node.kind === "directory" && (node.nlink > 0 || node === this.model.root));
    return all[index % all.length] as ModelNode;
  }

  /** Nodes with a name. */
  node(index: number): ModelNode {
    const all = [...this.inoOf.keys()].filter((node) => node.nlink > 0);
    return all[index % all.length] as ModelNode;
  }

  ino(node: ModelNode): InodeNumber {
    const ino = this.inoOf.get(node);
    if (ino === undefined) throw new Error(`node ${node.id} has no inode`);
    return ino;
  }

  /** Runs both; the same errno or both succeed. Returns what the vfs gave, null after the same error. */
  async both<T>(what: string, onModel: () => unknown, onVfs: () => T | Promise<T>): Promise<T | null> {
    let expected = 0;
    try {
      onModel();
    } catch (reason) {
      if (!(reason instanceof ModelError)) throw reason;
      expected = reason.errno;
    }
    try {
      const result = await onVfs();
      assert.equal(0, expected, `${what}: errno`);
      return result;
    } catch (reason) {
      if (!(reason instanceof CfsError)) throw reason;
      assert.equal(reason.errno, expected, `${what}: ${reason.message}`);
      return null;
    }
  }

  counted(entry: Entry): void {
    const { ino } = entry.attributes;
    this.#lookups.set(ino, (this.#lookups.get(ino) ?? 0) + 1);
  }

  async make(parent: ModelNode, name: string, kind: ModelKind): Promise<void> {
    let node: ModelNode | null = null;
    const target = kind === "symlink" ? Buffer.from(`to-${name}`) : null;
    const newNode = { kind, mode: 0o644, umask: 0o022, rdev: 0, target };
    const entry = await this.both(
      `make ${kind} ${name}`,
      () => (node = this.model.make(parent, name, kind, 0o644, `to-${name}`)),
      () => this.vfs.makeNode(this.ino(parent), name as Name, newNode, root),
    );
    if (entry === null || node === null) return;
    this.counted(entry);
    this.inoOf.set(node, entry.attributes.ino);
    this.compareAttributes(node, entry);
  }

  async create(parent: ModelNode, name: string | null): Promise<void> {
    let node: ModelNode | null = null;
    const newNode = { kind: "file", mode: 0o600, umask: 0, rdev: 0, target: null } as const;
    const created = await this.both(
      `create ${name}`,
      () => (node = this.model.make(parent, name, "file", 0o600)),
      () =>
        name === null
          ? this.vfs.createUnnamed(this.ino(parent), newNode, 2, root)
          : this.vfs.create(this.ino(parent), name as Name, newNode, 0o202, root),
    );
    if (created === null || node === null) return;
    this.counted(created.entry);
    this.inoOf.set(node, created.entry.attributes.ino);
    this.open.push({ node, handle: created.file.handle });
  }

  async lookup(parent: ModelNode, name: string): Promise<void> {
    let node: ModelNode | null = null;
    const entry = await this.both(
      `lookup ${name}`,
      () => (node = this.model.lookup(parent, name)),
      () => this.vfs.lookup(this.ino(parent), name as Name, root),
    );
    if (entry === null || node === null) return;
    this.counted(entry);
    this.compareAttributes(node, entry);
  }

  async openFile(node: ModelNode, truncate: boolean): Promise<void> {
    if (node.kind !== "file") return;
    const file = await this.both(
      "open",
      () => truncate && this.model.truncate(node, 0),
      () => this.vfs.open(this.ino(node), truncate ? 0o1002 : 2, root),
    );
    if (file !== null) this.open.push({ node, handle: file.handle });
  }

  async closeFile(index: number): Promise<void> {
    const [pair] = this.open.splice(index % Math.max(1, this.open.length), 1);
    if (pair === undefined) return;
    this.vfs.flush(pair.handle);
    this.vfs.release(pair.handle);
  }

  /** The kernel drops what it knows: all but what is open or a directory that was removed while known stays usable by name only. */
  forgetAll(): void {
    for (const [ino, count] of this.#lookups) this.vfs.forget(ino, count);
    this.#lookups.clear();
    const open = new Set(this.open.map(({ node }) => node));
    for (const node of [...this.inoOf.keys()]) {
      if (node.nlink === 0 && !open.has(node)) this.inoOf.delete(node);
    }
  }

  compareAttributes(node: ModelNode, { attributes }: Entry): void {
    assert.equal(attributes.ino, this.ino(node));
    assert.equal(attributes.kind, node.kind);
    assert.equal(attributes.nlink, node.nlink, `links of node ${node.id}`);
    assert.equal(attributes.mode, node.mode & (node.kind === "symlink" ? 0o777 : 0o7777), `mode of node ${node.id}`);
    if (node.kind === "file") assert.equal(attributes.sizeBytes, node.data.length, `size of node ${node.id}`);
    if (node.kind === "symlink") assert.equal(attributes.sizeBytes, node.target.length);
  }

  async list(node: ModelNode, withAttributes: boolean, perCall: number): Promise<void> {
    const { handle } = await this.vfs.openDirectory(this.ino(node), 0, root);
    const found = new Map<string, DirectoryEntry>();
    let cookie = 0;
    for (let isMore = true; isMore;) {
      let taken = 0;
      const before = cookie;
      await this.vfs.readDirectory(handle, cookie, withAttributes, (entry) => {
        if (taken >= perCall) return false;
        taken++;
        cookie = entry.cookie;
        assert.equal(found.has(entry.name), false, `${entry.name} is listed once`);
        found.set(entry.name, entry);
        if (entry.entry !== null) this.counted(entry.entry);
        return true;
      });
      isMore = cookie !== before;
    }
    this.vfs.releaseDirectory(handle);
    const isGone = node.nlink === 0;
    assert.deepEqual([...found.keys()].toSorted(), isGone ? [] : [".", "..", ...node.children.keys()].toSorted());
    for (const [name, child] of node.children) {
      const entry = found.get(name) as DirectoryEntry;
      assert.equal(entry.ino, this.ino(child));
      assert.equal(entry.kind, child.kind);
      assert.equal(entry.entry === null, !withAttributes);
      if (entry.entry !== null) this.compareAttributes(child, entry.entry);
    }
  }

  /** Everything that a program can see, through this vfs. */
  async compareAll(): Promise<void> {
    await this.#compareTree(this.model.root, rootInode);
    for (const { node, handle } of this.open) {
      assert.equal(
        bytesOf(await this.vfs.read(handle, 0, node.data.length + 100)).equals(node.data),
        true,
        `content of open node ${node.id}`,
      );
    }
  }

  async #compareTree(node: ModelNode, ino: InodeNumber): Promise<void> {
    this.compareAttributes(node, await this.vfs.getAttributes(ino));
    const names = await this.vfs.listXattr(ino, root);
    assert.deepEqual([...names].toSorted(), [...node.xattrs.keys()].toSorted());
    for (const [name, value] of node.xattrs) assert.equal(Buffer.from(await this.vfs.getXattr(ino, name)).toString(), value);
    if (node.kind === "symlink") assert.equal(Buffer.from(await this.vfs.readSymlink(ino)).toString(), node.target);
    if (node.kind === "file") await this.compareContent(node, ino);
    if (node.kind !== "directory") return;
    await this.list(node, true, 1000);
    for (const child of node.children.values()) await this.#compareTree(child, this.ino(child));
  }

  async compareContent(node: ModelNode, ino: InodeNumber): Promise<void> {
    const { handle } = await this.vfs.open(ino, 0, root);
    const bytes = bytesOf(await this.vfs.read(handle, 0, node.data.length + 100));
    assert.equal(bytes.length, node.data.length);
    assert.equal(bytes.equals(node.data), true, `content of node ${node.id}`);
    this.vfs.release(handle);
  }
}
