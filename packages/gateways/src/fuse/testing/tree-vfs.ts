/**
 * A small file system in memory for tests and benchmarks of the session: a tree of nodes, files as one growing buffer each.
 *
 * It keeps what the session must get right visible: lookups per inode, open handles, and calls. `delay` makes every answer a
 * promise. It is not a reference for POSIX: permissions, quotas and limits are left to the kernel and to the real Vfs.
 */
import { CfsError, rootInode, type InodeNumber, type Name } from "@cfs/core";
import type {
  AttributeChange,
  Attributes,
  Awaitable,
  Caller,
  DirectoryEntry,
  Entry,
  FileSystemStatistics,
  Invalidation,
  NewNode,
  OpenFile,
  ReadResult,
  Time,
  Vfs,
  VfsWait,
} from "@cfs/vfs";

/** What the tree holds for one inode; tests may look and change. */
export interface Node {
  attributes: Attributes;
  data: Buffer;
  readonly children: Map<Name, Node>;
  /** Cookie of each child: its turn of creation, never used again. */
  readonly cookies: Map<Name, number>;
  parent: Node | null;
  target: Uint8Array;
  readonly xattrs: Map<string, Uint8Array>;
  lookups: number;
}

const validity = { attributesMs: 1000, entryMs: 1000 };

export interface TreeVfsOptions {
  /** How long the kernel may keep attributes and entries. Default 1000 ms. */
  readonly validMs?: number;
  readonly keepCache?: boolean;
  readonly direct?: boolean;
  /** Answer by promises that settle after this many turns of the event loop; null: at once. Default null. */
  readonly delay?: (() => Promise<void>) | null;
}

export class TreeVfs implements Vfs {
  onInvalidate: ((what: Invalidation) => void) | null = null;
  readonly nodes: Map<InodeNumber, Node> = new Map();
  readonly handles: Map<number, Node> = new Map();
  /** Replaced by tests that want promised answers. */
  delay: (() => Promise<void>) | null;
  readonly #validity: { attributesMs: number; entryMs: number };
  readonly #keepCache: boolean;
  readonly #direct: boolean;
  #nextCount = 2;
  #nextHandle = 1;
  #nextCookie = 3;
  #clock = 1_700_000_000;

  constructor(options: TreeVfsOptions = {}) {
    this.delay = options.delay ?? null;
    this.#validity = options.validMs === undefined ? validity : { attributesMs: options.validMs, entryMs: options.validMs };
    this.#keepCache = options.keepCache ?? false;
    this.#direct = options.direct ?? false;
    this.#make(rootInode, { kind: "directory", mode: 0o755, umask: 0, rdev: 0, target: null }, { uid: 0, gid: 0, pid: 0, groups: null });
  }

  #later<T>(action: () => T): Awaitable<T> {
    return this.delay === null ? action() : this.delay().then(action);
  }

  #now(): Time {
    return { sec: this.#clock++, nsec: 123_456_789 };
  }

  #make(ino: InodeNumber, node: NewNode, caller: Caller): Node {
    const now = this.#now();
    const attributes: Attributes = {
      ino,
      generation: 1,
      kind: node.kind,
      mode: node.mode & ~node.umask,
      nlink: node.kind === "directory" ? 2 : 1,
      uid: caller.uid,
      gid: caller.gid,
      rdev: node.rdev,
      sizeBytes: node.target?.length ?? 0,
      allocatedBytes: 0,
      atime: now,
      mtime: now,
      ctime: now,
    };
    const made: Node = {
      attributes,
      data: Buffer.alloc(0),
      children: new Map(),
      cookies: new Map(),
      parent: null,
      target: node.target ?? new Uint8Array(),
      xattrs: new Map(),
      lookups: 0,
    };
    this.nodes.set(ino, made);
    return made;
  }

  #node(ino: InodeNumber): Node {
    const node = this.nodes.get(ino);
    if (node === undefined) throw new CfsError("STALE_HANDLE", `no inode ${ino}`);
    return node;
  }

  #opened(handle: number): Node {
    const node = this.handles.get(handle);
    if (node === undefined) throw new CfsError("BAD_HANDLE", `no handle ${handle}`);
    return node;
  }

  #child(parent: InodeNumber, name: Name): Node {
    const child = this.#node(parent).children.get(name);
    if (child === undefined) throw new CfsError("NOT_FOUND", `no ${name} in ${parent}`);
    return child;
  }

  #entry(node: Node, counts: boolean): Entry {
    if (counts) node.lookups++;
    return { attributes: node.attributes, validity: this.#validity };
  }

  #change(node: Node, change: Partial<Attributes>): void {
    node.attributes = { ...node.attributes, ...change };
  }

  #add(parent: Node, name: Name, child: Node): void {
    parent.children.set(name, child);
    parent.cookies.set(name, this.#nextCookie++);
    child.parent = parent;
    this.#change(parent, { mtime: this.#now() });
  }

  #remove(parent: Node, name: Name): void {
    parent.children.delete(name);
    parent.cookies.delete(name);
    this.#change(parent, { mtime: this.#now() });
  }

  lookup(parent: InodeNumber, name: Name): Awaitable<Entry> {
    return this.#later(() => {
      if (name === ".") return this.#entry(this.#node(parent), true);
      if (name === "..") return this.#entry(this.#node(parent).parent ?? this.#node(parent), true);
      return this.#entry(this.#child(parent, name), true);
    });
  }

  forget(ino: InodeNumber, count: number): void {
    const node = this.nodes.get(ino);
    if (node === undefined) return;
    node.lookups -= count;
    if (node.lookups <= 0 && node.attributes.nlink === 0) this.nodes.delete(ino);
  }

  getAttributes(ino: InodeNumber): Awaitable<Entry> {
    return this.#later(() => this.#entry(this.#node(ino), false));
  }

  setAttributes(ino: InodeNumber, change: AttributeChange): Awaitable<Entry> {
    return this.#later(() => {
      const node = this.#node(ino);
      if (change.sizeBytes !== undefined) this.#resize(node, change.sizeBytes);
      const { mode, uid, gid, atime, mtime, killSetId } = change;
      this.#change(node, {
        ...(mode === undefined ? {} : { mode }),
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
        ...(atime === undefined ? {} : { atime: atime === "now" ? this.#now() : atime }),
        ...(mtime === undefined ? {} : { mtime: mtime === "now" ? this.#now() : mtime }),
        ...(killSetId === true ? { mode: node.attributes.mode & 0o1777 } : {}),
      });
      return this.#entry(node, false);
    });
  }

  readSymlink(ino: InodeNumber): Awaitable<Uint8Array> {
    return this.#later(() => this.#node(ino).target);
  }

  makeNode(parent: InodeNumber, name: Name, node: NewNode, caller: Caller): Awaitable<Entry> {
    return this.#later(() => this.#entry(this.#makeChild(parent, name, node, caller), true));
  }

  #makeChild(parent: InodeNumber, name: Name, node: NewNode, caller: Caller): Node {
    const directory = this.#node(parent);
    if (directory.children.has(name)) throw new CfsError("EXISTS", `${name} exists in ${parent}`);
    const made = this.#make((this.#nextCount++ * 65_536) as InodeNumber, node, caller);
    this.#add(directory, name, made);
    return made;
  }

  link(ino: InodeNumber, parent: InodeNumber, name: Name): Awaitable<Entry> {
    return this.#later(() => {
      const node = this.#node(ino);
      if (this.#node(parent).children.has(name)) throw new CfsError("EXISTS", `${name} exists in ${parent}`);
      this.#add(this.#node(parent), name, node);
      this.#change(node, { nlink: node.attributes.nlink + 1 });
      return this.#entry(node, true);
    });
  }

  unlink(parent: InodeNumber, name: Name): Awaitable<void> {
    return this.#later(() => {
      const child = this.#child(parent, name);
      if (child.attributes.kind === "directory") throw new CfsError("IS_DIRECTORY", `${name} is a directory`);
      this.#remove(this.#node(parent), name);
      this.#change(child, { nlink: child.attributes.nlink - 1 });
    });
  }

  removeDirectory(parent: InodeNumber, name: Name): Awaitable<void> {
    return this.#later(() => {
      const child = this.#child(parent, name);
      if (child.children.size > 0) throw new CfsError("NOT_EMPTY", `${name} is not empty`);
      this.#remove(this.#node(parent), name);
      this.#change(child, { nlink: 0 });
    });
  }

  rename(parent: InodeNumber, name: Name, newParent: InodeNumber, newName: Name, flags: number): Awaitable<void> {
    return this.#later(() => {
      const child = this.#child(parent, name);
      const there = this.#node(newParent).children.get(newName);
      if (there !== undefined && (flags & 1) !== 0) throw new CfsError("EXISTS", `${newName} exists`);
      this.#remove(this.#node(parent), name);
      if (there !== undefined) this.#change(there, { nlink: there.attributes.nlink - 1 });
      this.#add(this.#node(newParent), newName, child);
    });
  }

  #open(node: Node): OpenFile {
    const handle = this.#nextHandle++;
    this.handles.set(handle, node);
    return { handle, keepCache: this.#keepCache, direct: this.#direct };
  }

  open(ino: InodeNumber, flags: number): Awaitable<OpenFile> {
    return this.#later(() => {
      const node = this.#node(ino);
      if ((flags & 0o1000) !== 0) this.#resize(node, 0);
      return this.#open(node);
    });
  }

  create(parent: InodeNumber, name: Name, node: NewNode, _flags: number, caller: Caller): Awaitable<{ entry: Entry; file: OpenFile }> {
    return this.#later(() => {
      const made = this.#makeChild(parent, name, node, caller);
      return { entry: this.#entry(made, true), file: this.#open(made) };
    });
  }

  createUnnamed(_parent: InodeNumber, node: NewNode, _flags: number, caller: Caller): Awaitable<{ entry: Entry; file: OpenFile }> {
    return this.#later(() => {
      const made = this.#make((this.#nextCount++ * 65_536) as InodeNumber, node, caller);
      this.#change(made, { nlink: 0 });
      return { entry: this.#entry(made, true), file: this.#open(made) };
    });
  }

  #resize(node: Node, sizeBytes: number): void {
    if (sizeBytes > node.data.length) {
      const grown = Buffer.alloc(Math.max(sizeBytes, Math.min(node.data.length * 2, node.data.length + (64 << 20))));
      node.data.copy(grown);
      node.data = grown;
    } else if (sizeBytes < node.attributes.sizeBytes) {
      node.data.fill(0, sizeBytes);
    }
    this.#change(node, { sizeBytes, allocatedBytes: sizeBytes, mtime: this.#now() });
  }

  read(handle: number, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Awaitable<ReadResult> {
    const isDelayed = this.delay !== null;
    return this.#later(() => {
      if (isDelayed && wait?.isInterrupted === true) throw new CfsError("INTERRUPTED", "the caller was interrupted");
      const node = this.#opened(handle);
      const end = Math.max(offsetBytes, Math.min(node.attributes.sizeBytes, offsetBytes + lengthBytes));
      const part = node.data.subarray(offsetBytes, end);
      return { lengthBytes: part.length, parts: part.length === 0 ? [] : [part], release: released };
    });
  }

  write(handle: number, offsetBytes: number, data: Uint8Array): Awaitable<number> {
    const node = this.#opened(handle);
    const end = offsetBytes + data.length;
    if (end > node.attributes.sizeBytes) this.#resize(node, end);
    node.data.set(data, offsetBytes);
    return this.#later(() => data.length);
  }

  flush(): Awaitable<void> {
    return this.#later(done);
  }

  sync(): Awaitable<void> {
    return this.#later(done);
  }

  release(handle: number): Awaitable<void> {
    this.handles.delete(handle);
    return this.#later(done);
  }

  allocate(handle: number, _mode: number, offsetBytes: number, lengthBytes: number): Awaitable<void> {
    const node = this.#opened(handle);
    return this.#later(() => this.#resize(node, Math.max(node.attributes.sizeBytes, offsetBytes + lengthBytes)));
  }

  isOpenForWriting(): boolean {
    return true;
  }

  seek(handle: number, offsetBytes: number, whence: number): Awaitable<number> {
    const { sizeBytes } = this.#opened(handle).attributes;
    if (offsetBytes >= sizeBytes) throw new CfsError("NO_DEVICE", `${offsetBytes} is past the end`);
    return this.#later(() => (whence === 4 ? sizeBytes : offsetBytes));
  }

  copyRange(source: number, sourceOffset: number, target: number, targetOffset: number, lengthBytes: number): Awaitable<number> {
    const from = this.#opened(source);
    const end = Math.min(from.attributes.sizeBytes, sourceOffset + lengthBytes);
    return this.write(target, targetOffset, from.data.subarray(Math.min(sourceOffset, end), end));
  }

  openDirectory(ino: InodeNumber): Awaitable<OpenFile> {
    return this.#later(() => this.#open(this.#node(ino)));
  }

  readDirectory(handle: number, cookie: number, withAttributes: boolean, take: (entry: DirectoryEntry) => boolean): Awaitable<void> {
    const node = this.#opened(handle);
    return this.#later(() => {
      const { ino } = node.attributes;
      const parent = (node.parent ?? node).attributes.ino;
      if (cookie < 1 && !take({ name: "." as Name, ino, kind: "directory", cookie: 1, entry: null })) return;
      if (cookie < 2 && !take({ name: ".." as Name, ino: parent, kind: "directory", cookie: 2, entry: null })) return;
      for (const [name, child] of node.children) {
        const at = node.cookies.get(name) ?? 0;
        if (at <= cookie) continue;
        const { ino: childIno, kind } = child.attributes;
        const entry = withAttributes ? this.#entry(child, false) : null;
        if (!take({ name, ino: childIno, kind, cookie: at, entry })) return;
        if (withAttributes) child.lookups++;
      }
    });
  }

  releaseDirectory(handle: number): void {
    this.handles.delete(handle);
  }

  syncDirectory(): Awaitable<void> {
    return this.#later(done);
  }

  getXattr(ino: InodeNumber, name: string): Awaitable<Uint8Array> {
    return this.#later(() => {
      const value = this.#node(ino).xattrs.get(name);
      if (value === undefined) throw new CfsError("NO_DATA", `no ${name} on ${ino}`);
      return value;
    });
  }

  setXattr(ino: InodeNumber, name: string, value: Uint8Array): Awaitable<void> {
    return this.#later(() => void this.#node(ino).xattrs.set(name, value));
  }

  listXattr(ino: InodeNumber): Awaitable<readonly string[]> {
    return this.#later(() => [...this.#node(ino).xattrs.keys()]);
  }

  removeXattr(ino: InodeNumber, name: string): Awaitable<void> {
    return this.#later(() => {
      if (!this.#node(ino).xattrs.delete(name)) throw new CfsError("NO_DATA", `no ${name} on ${ino}`);
    });
  }

  access(): Awaitable<void> {
    return this.#later(done);
  }

  statistics(): Awaitable<FileSystemStatistics> {
    return this.#later(() => ({
      blockSizeBytes: 4096,
      blocks: 1_000_000,
      blocksFree: 900_000,
      blocksAvailable: 800_000,
      files: 1_000_000,
      filesFree: 1_000_000 - this.nodes.size,
      nameBytesMax: 255,
    }));
  }

  syncAll(): Awaitable<void> {
    return this.#later(done);
  }
}

function done(): void {}

function released(): void {}
