/**
 * The names of a MemoryIo: directories and files by path, and which of them a crash may take back.
 *
 * Changes of names reach the medium in order, as in the journal of ext4 and XFS: syncing a directory makes all changes up to the
 * last one in that directory durable, and a crash keeps, of the others, those before some point. "/" and "." are always there.
 */
import { dirname } from "node:path";

import { CfsError } from "@cfs/core";
import type { Random } from "@cfs/core";

import { VolatileFile } from "./volatile-file.ts";

type Node = VolatileFile | "directory";

/** null removes the name. */
interface NameChange {
  readonly entries: readonly { readonly path: string; readonly node: Node | null }[];
}

const roots = ["/", "."];

export class MemoryTree {
  #live: Map<string, Node> = new Map(roots.map((path) => [path, "directory"]));
  readonly #durable: Map<string, Node> = new Map(this.#live);
  #pending: NameChange[] = [];

  files(): VolatileFile[] {
    return [...this.#live.values()].filter((node) => node instanceof VolatileFile);
  }

  find(path: string): Node | undefined {
    return this.#live.get(path);
  }

  file(path: string, what: string): VolatileFile {
    const node = this.#live.get(path);
    if (node === undefined) throw new CfsError("NOT_FOUND", `${what} ${path}: it is not there`);
    if (node === "directory") throw new CfsError("IS_DIRECTORY", `${what} ${path}: it is a directory`);
    return node;
  }

  directory(path: string, what: string): void {
    const node = this.#live.get(path);
    if (node === undefined) throw new CfsError("NOT_FOUND", `${what} ${path}: it is not there`);
    if (node !== "directory") throw new CfsError("NOT_DIRECTORY", `${what} ${path}: it is not a directory`);
  }

  createFile(path: string): VolatileFile {
    this.directory(dirname(path), "create in");
    const file = new VolatileFile();
    this.#change([{ path, node: file }]);
    return file;
  }

  makeDirectory(path: string): void {
    if (this.#live.has(path)) return this.directory(path, "make directory");
    this.directory(dirname(path), "make directory in");
    this.#change([{ path, node: "directory" }]);
  }

  unlink(path: string): void {
    this.file(path, "unlink");
    this.#change([{ path, node: null }]);
  }

  rename(from: string, to: string): void {
    const file = this.file(from, "rename");
    this.directory(dirname(to), "rename into");
    if (this.#live.get(to) === "directory") throw new CfsError("IS_DIRECTORY", `rename ${from} to ${to}: that is a directory`);
    if (from === to) return;
    this.#change([
      { path: from, node: null },
      { path: to, node: file },
    ]);
  }

  list(path: string): string[] {
    this.directory(path, "list");
    const names: string[] = [];
    for (const child of this.#live.keys()) {
      if (!roots.includes(child) && dirname(child) === path) names.push(child.slice(child.lastIndexOf("/") + 1));
    }
    return names.sort();
  }

  syncDirectory(path: string): void {
    this.directory(path, "sync directory");
    const last = this.#pending.findLastIndex((change) => change.entries.some((entry) => dirname(entry.path) === path));
    this.#persist(last + 1);
    this.#pending = this.#pending.slice(last + 1);
  }

  /** Names and bytes fall back to what the medium holds. */
  crash(random: Random): void {
    this.#persist(Math.floor(random.next() * (this.#pending.length + 1)));
    this.#pending = [];
    this.#live = new Map(this.#durable);
    for (const file of this.files()) file.crash(random);
  }

  #change(entries: NameChange["entries"]): void {
    applyNames(this.#live, { entries });
    this.#pending.push({ entries });
  }

  #persist(count: number): void {
    for (const change of this.#pending.slice(0, count)) applyNames(this.#durable, change);
  }
}

function applyNames(names: Map<string, Node>, change: NameChange): void {
  for (const { path, node } of change.entries) {
    if (node === null) names.delete(path);
    else names.set(path, node);
  }
}
