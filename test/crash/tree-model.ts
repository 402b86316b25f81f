/**
 * What a directory tree may be after a crash. Invariant of cfs: changes of names become durable in the order in which they were made, so the tree that is
 * found is the one after some prefix of them, and no prefix shorter than what the last fsync (of any file or directory) acknowledged.
 *
 * So a half-done rename, a name that came back, or a later change without an earlier one are no prefix, and are told.
 */
import { posix } from "node:path";
import { contentOf } from "./content.ts";
import { FileModel } from "./file-model.ts";
import type { Operation } from "./operations.ts";

export interface DirectoryModel {
  readonly kind: "directory";
}

export interface SymlinkModel {
  readonly kind: "symlink";
  readonly target: string;
}

export type NodeModel = FileModel | DirectoryModel | SymlinkModel;

/** By path, parents included; "" (the root) is not in it. */
export type Names = Map<string, NodeModel>;

type NameChange = (names: Names) => void;

export class TreeModel {
  /** As of the last fsync. */
  #durable: Names;
  #current: Names;
  /** From `#durable` to `#current`. */
  #changes: { readonly operation: NameOperation; readonly change: NameChange }[] = [];

  constructor(names: Names = new Map()) {
    this.#durable = new Map(names);
    this.#current = new Map(names);
  }

  get current(): ReadonlyMap<string, NodeModel> {
    return this.#current;
  }

  /** The changes of names that are not certain, oldest first, for the report of a failure. */
  get pendingOperations(): readonly string[] {
    return this.#changes.map(({ operation }) => JSON.stringify(operation));
  }

  /** How many changes of names are not certain. */
  get pendingCount(): number {
    return this.#changes.length;
  }

  file(path: string): FileModel {
    const node = this.#current.get(path);
    if (node?.kind !== "file") throw new Error(`${path} is no file of the model`);
    return node;
  }

  /** The names after the first `count` of the changes that are not certain. */
  namesAfter(count: number): ReadonlyMap<string, NodeModel> {
    const names = new Map(this.#durable);
    for (const { change } of this.#changes.slice(0, count)) change(names);
    return names;
  }

  /** `isAcknowledged` is false for an operation that did not return. */
  apply(operation: Operation, isAcknowledged: boolean): void {
    switch (operation.type) {
      case "write": {
        const { path, offset, length, seed, how } = operation;
        this.file(path).write(offset, contentOf(seed, length));
        if (how === "dsync" && isAcknowledged) this.#sync(path);
        return;
      }
      case "truncate":
        this.file(operation.path).truncate(operation.size);
        return;
      case "fsync":
        if (isAcknowledged) this.#sync(operation.path);
        break;
      case "read":
        return;
      case "fsyncdir":
        if (isAcknowledged) this.#syncNames();
        break;
      default: {
        const change = nameChange(operation);
        change(this.#current);
        this.#changes.push({ operation, change });
      }
    }
  }

  #sync(path: string): void {
    this.file(path).sync();
    this.#syncNames();
  }

  #syncNames(): void {
    this.#durable = new Map(this.#current);
    this.#changes = [];
  }
}

type NameOperation = Exclude<Operation, { type: "write" | "truncate" | "fsync" | "fsyncdir" | "read" }>;

/** The change as a function of any tree; a created node is the same object in all of them. */
function nameChange(operation: NameOperation): NameChange {
  switch (operation.type) {
    case "create":
      return putting(operation.path, new FileModel());
    case "mkdir":
      return putting(operation.path, { kind: "directory" });
    case "symlink":
      return putting(operation.path, { kind: "symlink", target: operation.target });
    case "link":
      return (names) => names.set(operation.to, nodeAt(names, operation.from));
    case "unlink":
    case "rmdir":
      return (names) => names.delete(operation.path);
    case "rename":
      return (names) => move(names, operation.from, operation.to);
  }
}

function putting(path: string, node: NodeModel): NameChange {
  return (names) => names.set(path, node);
}

function nodeAt(names: Names, path: string): NodeModel {
  const node = names.get(path);
  if (node === undefined) throw new Error(`${path} is not in the model`);
  return node;
}

function move(names: Names, from: string, to: string): void {
  names.set(to, nodeAt(names, from));
  names.delete(from);
  const prefix = `${from}/`;
  for (const [path, node] of [...names]) {
    if (!path.startsWith(prefix)) continue;
    names.delete(path);
    names.set(`${to}/${path.slice(prefix.length)}`, node);
  }
}

/** The directory that a path lies in; "" for the root. */
export function parentOf(path: string): string {
  const parent = posix.dirname(path);
  return parent === "." ? "" : parent;
}
