/** Chooses what a writer does next: a pure function of a seed and of the tree that the writer has made so far. */
import type { Random } from "@cfs/core";
import { FileModel } from "./file-model.ts";
import type { Operation } from "./operations.ts";
import { parentOf } from "./tree-model.ts";
import type { TreeModel } from "./tree-model.ts";

const filesMax = 40;
const directoriesMax = 7;
const fileBytesMax = 3 << 20;
const treeBytesMax = 20 << 20;
const pendingBytesMax = 6 << 20;
/** Upper ends of the classes of sizes with their weights: empty, inline, small, one region, several regions. */
const sizeClasses: readonly (readonly [weight: number, sizeMax: number])[] = [
  [1, 0],
  [7, 4096],
  [6, 64 << 10],
  [4, 512 << 10],
  [2, fileBytesMax],
];
/** Names of all kinds: long, with spaces, with bytes beyond ASCII. */
const nameStyles: readonly ((count: number) => string)[] = [
  (count) => `f${count}`,
  (count) => `file with spaces ${count}.txt`,
  (count) => `größe-${count}-✓`,
  (count) => `${"n".repeat(240)}-${count}`,
];

export class Generator {
  readonly #random: Random;
  readonly #model: TreeModel;
  /** Steps of a pattern that was begun, such as "write a new file and rename it over the old one". */
  #planned: Operation[] = [];
  #nameCount = 0;

  constructor(random: Random, model: TreeModel) {
    this.#random = random;
    this.#model = model;
  }

  next(): Operation {
    const planned = this.#planned.shift();
    if (planned !== undefined) return planned;
    const [first, ...rest] = this.#choose();
    if (first === undefined) throw new Error("a pattern has at least one step");
    this.#planned = rest;
    return first;
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[this.#below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  #size(): number {
    const total = sizeClasses.reduce((sum, [weight]) => sum + weight, 0);
    let at = this.#below(total);
    let sizeMin = 0;
    for (const [weight, sizeMax] of sizeClasses) {
      if (at < weight) return sizeMin + this.#below(sizeMax - sizeMin + 1);
      at -= weight;
      sizeMin = sizeMax;
    }
    return 0;
  }

  #seed(): number {
    return this.#below(2 ** 47);
  }

  #files(): string[] {
    return [...this.#model.current].filter(([, node]) => node.kind === "file").map(([path]) => path);
  }

  #directories(): string[] {
    return ["", ...[...this.#model.current].filter(([, node]) => node.kind === "directory").map(([path]) => path)];
  }

  #newPath(): string {
    const directory = this.#pick(this.#directories());
    for (;;) {
      const name = this.#pick(nameStyles)(this.#nameCount++);
      const path = directory === "" ? name : `${directory}/${name}`;
      if (!this.#model.current.has(path)) return path;
    }
  }

  #write(path: string, current: { readonly sizeBytes: number; readonly isSynced: boolean }): Operation {
    const length = Math.max(1, this.#size());
    const style = this.#below(4);
    const { sizeBytes } = current;
    if (style === 0)
      return {
        type: "write",
        path,
        offset: sizeBytes,
        length: Math.min(length, fileBytesMax - Math.min(sizeBytes, fileBytesMax - 1)),
        seed: this.#seed(),
        how: "append",
      };
    // Also behind the end, which leaves a hole.
    const offset = Math.min(this.#below(sizeBytes + (style === 1 ? 100_000 : 1)), fileBytesMax - 1);
    const how = current.isSynced && this.#below(8) === 0 ? "dsync" : "plain";
    return { type: "write", path, offset, length: Math.min(length, fileBytesMax - offset), seed: this.#seed(), how };
  }

  /** A pending truncate or write must be synced by fsync: O_DSYNC is for its own range only. */
  #writeTo(path: string): Operation {
    const file = this.#model.file(path);
    return this.#write(path, { sizeBytes: file.current.length, isSynced: file.isSynced });
  }

  #createPattern(): Operation[] {
    const path = this.#newPath();
    const steps: Operation[] = [{ type: "create", path }];
    if (this.#below(10) > 0) steps.push(this.#write(path, { sizeBytes: 0, isSynced: false }));
    if (this.#below(2) === 0) steps.push({ type: "fsync", path });
    return steps;
  }

  /** How careful programs replace a file. */
  #replacePattern(target: string): Operation[] {
    const path = this.#newPath();
    return [
      { type: "create", path },
      this.#write(path, { sizeBytes: 0, isSynced: false }),
      { type: "fsync", path },
      { type: "rename", from: path, to: target },
      ...(this.#below(2) === 0 ? [{ type: "fsyncdir", path: parentOf(target) } as const] : []),
    ];
  }

  #choose(): Operation[] {
    const files = this.#files();
    const nodes = [...new Set(this.#model.current.values())].filter((node) => node instanceof FileModel);
    const treeBytes = nodes.reduce((sum, { current }) => sum + current.length, 0);
    const pendingBytes = nodes.reduce((sum, node) => sum + node.pendingBytes, 0);
    if (files.length === 0) return this.#createPattern();
    if (files.length > filesMax || treeBytes > treeBytesMax) return [{ type: "unlink", path: this.#pick(files) }];
    if (pendingBytes > pendingBytesMax) {
      const path = files.find((candidate) => this.#model.file(candidate).pendingBytes > 0);
      if (path !== undefined) return [{ type: "fsync", path }];
    }
    return this.#chooseFreely(files);
  }

  #chooseFreely(files: readonly string[]): Operation[] {
    const path = this.#pick(files);
    const at = this.#below(100);
    if (at < 20) return this.#createPattern();
    if (at < 45) return [this.#writeTo(path)];
    if (at < 60) return [{ type: "fsync", path }];
    if (at < 65) return [{ type: "fsyncdir", path: this.#pick(this.#directories()) }];
    if (at < 70) return this.#replacePattern(path);
    if (at < 76) return [{ type: "rename", from: path, to: this.#newPath() }];
    if (at < 80)
      return [{ type: "truncate", path, size: this.#below(Math.min(fileBytesMax, this.#model.file(path).current.length * 2 + 10_000)) }];
    if (at < 85) return [{ type: "unlink", path }];
    if (at < 93) return [{ type: "read", path }];
    return [this.#namesOnly(path, at)];
  }

  #namesOnly(path: string, at: number): Operation {
    const directories = this.#directories();
    if (at < 95) return { type: "link", from: path, to: this.#newPath() };
    if (at < 96) return { type: "symlink", path: this.#newPath(), target: `../${path}` };
    const empty = directories.find(
      (directory) => directory !== "" && ![...this.#model.current.keys()].some((name) => name.startsWith(`${directory}/`)),
    );
    if (at < 97 && empty !== undefined) return { type: "rmdir", path: empty };
    if (at < 98 && directories.length > 1) return this.#moveDirectory(this.#pick(directories.slice(1)));
    if (directories.length <= directoriesMax) return { type: "mkdir", path: this.#newPath() };
    const link = [...this.#model.current].find(([, node]) => node.kind === "symlink");
    return link === undefined ? { type: "fsync", path } : { type: "unlink", path: link[0] };
  }

  /** Within its parent, so that it never goes below itself. */
  #moveDirectory(from: string): Operation {
    const parent = parentOf(from);
    for (;;) {
      const name = `moved${this.#nameCount++}`;
      const to = parent === "" ? name : `${parent}/${name}`;
      if (!this.#model.current.has(to)) return { type: "rename", from, to };
    }
  }
}
