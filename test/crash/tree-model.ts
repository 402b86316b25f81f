/**
 * What a directory tree may be after a crash. Invariant of cfs: changes of names become durable in the order in which they were made, so the tree that is
 * found is the one after some prefix of them, and no prefix shorter than what was acknowledged: an fsync of a file or directory covers the last change that
 * concerns it (its contents, its own names, the names in it) and with that all earlier ones; of what is unchanged it covers nothing.
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
  /** What is certain. */
  readonly #durable: Names;
  readonly #current: Names;
  readonly #root: DirectoryModel = { kind: "directory" };
  /** How many changes were ever certain. */
  #durableCount = 0;
  /** How many changes of names there were when a node last changed in any way: they are durable when that is. */
  readonly #concerns = new Map<NodeModel, number>();
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
        this.#concern([path]);
        if (how === "dsync" && isAcknowledged) this.#sync(path);
        break;
      }
      case "truncate":
        this.file(operation.path).truncate(operation.size);
        this.#concern([operation.path]);
        break;
      case "fsync":
      case "fsyncdir":
        if (isAcknowledged) this.#sync(operation.path);
        break;
      case "read":
        break;
      default:
        this.#change(operation);
    }
  }

  #change(operation: NameOperation): void {
    const change = nameChange(operation);
    const paths = "from" in operation ? [operation.from, operation.to] : [operation.path];
    const concerned = [...paths, ...paths.map(parentOf)];
    this.#changes.push({ operation, change });
    this.#concern(concerned);
    change(this.#current);
    this.#concern(concerned);
  }

  /** Those of `paths` that are there now have changed. */
  #concern(paths: readonly string[]): void {
    const count = this.#durableCount + this.#changes.length;
    for (const path of paths) {
      const node = this.#at(path);
      if (node !== undefined) this.#concerns.set(node, count);
    }
  }

  #at(path: string): NodeModel | undefined {
    return path === "" ? this.#root : this.#current.get(path);
  }

  #sync(path: string): void {
    const node = this.#at(path);
    if (node === undefined) throw new Error(`${path} is not in the model`);
    if (node instanceof FileModel) node.sync();
    const certain = this.#changes.splice(0, Math.max(0, (this.#concerns.get(node) ?? 0) - this.#durableCount));
    for (const { change } of certain) change(this.#durable);
    this.#durableCount += certain.length;
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
