/**
 * The naive second version of a file system, for comparison: nodes in Maps, content in one array per file.
 *
 * It knows what a program can see (names, kinds, sizes, links, modes, content, xattrs) and nothing of caches, inline data, extents,
 * sessions. Errors are errno values of Linux; root is the only caller. Small files only: content is one Buffer.
 */
import { errnoByCode } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";

export type ModelKind = "file" | "directory" | "symlink" | "fifo";

export interface ModelNode {
  readonly id: number;
  readonly kind: ModelKind;
  mode: number;
  nlink: number;
  data: Buffer;
  readonly target: string;
  readonly children: Map<string, ModelNode>;
  parent: ModelNode | null;
  readonly xattrs: Map<string, string>;
}

export class ModelError extends Error {
  override readonly name: string = "ModelError";
  readonly errno: number;

  constructor(code: ErrorCode) {
    super(code);
    this.errno = errnoByCode[code];
  }
}

function fail(code: ErrorCode): never {
  throw new ModelError(code);
}

export class ModelFs {
  #nextId = 1;
  readonly root: ModelNode = this.#node("directory", 0o755, "");

  constructor() {
    this.root.nlink = 2;
    this.root.parent = this.root;
  }

  #node(kind: ModelKind, mode: number, target: string): ModelNode {
    return {
      id: this.#nextId++,
      kind,
      mode,
      nlink: 0,
      data: Buffer.alloc(0),
      target,
      children: new Map(),
      parent: null,
      xattrs: new Map(),
    };
  }

  lookup(parent: ModelNode, name: string): ModelNode {
    if (parent.kind !== "directory") fail("NOT_DIRECTORY");
    return parent.children.get(name) ?? fail("NOT_FOUND");
  }

  make(parent: ModelNode, name: string | null, kind: ModelKind, mode: number, target = ""): ModelNode {
    if (parent.kind !== "directory") fail("NOT_DIRECTORY");
    if (name !== null && parent.children.has(name)) fail("EXISTS");
    if (parent.nlink === 0) fail("NOT_FOUND");
    const node = this.#node(kind, kind === "symlink" ? 0o777 : mode, target);
    if (name === null) return node;
    node.nlink = kind === "directory" ? 2 : 1;
    if (kind === "directory") {
      node.parent = parent;
      parent.nlink++;
    }
    parent.children.set(name, node);
    return node;
  }

  link(node: ModelNode, parent: ModelNode, name: string): void {
    if (parent.kind !== "directory") fail("NOT_DIRECTORY");
    if (parent.children.has(name)) fail("EXISTS");
    if (parent.nlink === 0) fail("NOT_FOUND");
    if (node.kind === "directory") fail("NOT_PERMITTED");
    parent.children.set(name, node);
    node.nlink++;
  }

  remove(parent: ModelNode, name: string, directory: boolean): void {
    const node = this.lookup(parent, name);
    if (directory && node.kind !== "directory") fail("NOT_DIRECTORY");
    if (!directory && node.kind === "directory") fail("IS_DIRECTORY");
    if (directory && node.children.size > 0) fail("NOT_EMPTY");
    parent.children.delete(name);
    this.#unlinked(node, parent);
  }

  #unlinked(node: ModelNode, parent: ModelNode): void {
    if (node.kind !== "directory") {
      node.nlink--;
      return;
    }
    node.nlink = 0;
    parent.nlink--;
  }

  rename(parent: ModelNode, name: string, newParent: ModelNode, newName: string, flags: number): void {
    const moved = this.lookup(parent, name);
    if (newParent.kind !== "directory") fail("NOT_DIRECTORY");
    const target = newParent.children.get(newName);
    if (target !== undefined && flags === 1) fail("EXISTS");
    if (target === undefined && flags === 2) fail("NOT_FOUND");
    if (newParent.nlink === 0) fail("NOT_FOUND");
    if (moved.kind === "directory" && parent !== newParent && this.#isWithin(newParent, moved)) fail("INVALID");
    if (target?.kind === "directory" && parent !== newParent && this.#isWithin(parent, target)) fail(flags === 2 ? "INVALID" : "NOT_EMPTY");
    if (moved === target) return;
    if (flags === 2 && target !== undefined) this.#exchange(parent, name, newParent, newName);
    else this.#move(moved, target, parent, name, newParent, newName);
  }

  #isWithin(directory: ModelNode, ancestor: ModelNode): boolean {
    for (let at: ModelNode | null = directory; at !== null; at = at.parent) {
      if (at === ancestor) return true;
      if (at.parent === at) return false;
    }
    return false;
  }

  #exchange(parent: ModelNode, name: string, newParent: ModelNode, newName: string): void {
    const a = this.lookup(parent, name);
    const b = this.lookup(newParent, newName);
    parent.children.set(name, b);
    newParent.children.set(newName, a);
    for (const [node, from, to] of [
      [a, parent, newParent],
      [b, newParent, parent],
    ] as const) {
      if (node.kind !== "directory") continue;
      node.parent = to;
      from.nlink--;
      to.nlink++;
    }
  }

  #move(moved: ModelNode, target: ModelNode | undefined, parent: ModelNode, name: string, newParent: ModelNode, newName: string): void {
    if (target !== undefined) {
      if (moved.kind === "directory" && target.kind !== "directory") fail("NOT_DIRECTORY");
      if (moved.kind !== "directory" && target.kind === "directory") fail("IS_DIRECTORY");
      if (target.children.size > 0) fail("NOT_EMPTY");
      this.#unlinked(target, newParent);
    }
    parent.children.delete(name);
    newParent.children.set(newName, moved);
    if (moved.kind !== "directory") return;
    parent.nlink--;
    newParent.nlink++;
    moved.parent = newParent;
  }

  write(node: ModelNode, offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (offset + bytes.length > node.data.length) this.truncate(node, offset + bytes.length);
    node.data.set(bytes, offset);
  }

  truncate(node: ModelNode, size: number): void {
    if (node.kind === "directory") fail("IS_DIRECTORY");
    if (node.kind !== "file") fail("INVALID");
    const data = Buffer.alloc(size);
    node.data.copy(data, 0, 0, Math.min(size, node.data.length));
    node.data = data;
  }

  /** `mode` as in fallocate(2). */
  allocate(node: ModelNode, mode: number, offset: number, length: number): void {
    const end = offset + length;
    if ((mode & 1) === 0 && end > node.data.length) this.truncate(node, end);
    if ((mode & 18) !== 0) node.data.fill(0, Math.min(offset, node.data.length), Math.min(end, node.data.length));
  }

  copy(source: ModelNode, from: number, target: ModelNode, to: number, length: number): number {
    const count = Math.min(length, source.data.length - from);
    if (count <= 0) return 0;
    if (source === target && Math.abs(from - to) < count) fail("INVALID");
    this.write(target, to, Buffer.from(source.data.subarray(from, from + count)));
    return count;
  }
}
