/**
 * A process that works in a directory until it is told to stop, killed, or sees an error, and keeps a manifest of it in a file elsewhere.
 *
 * Arguments: directory, manifest, seed. Each operation is announced in the manifest before it is tried, and its end written after it returned;
 * whatever the manifest says is done was seen done by an application. A message from the parent ends the process after the running operation.
 * File contents that it reads are compared at once with what it wrote. Exit codes: 0 stopped, 1 an operation failed.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { seededRandom } from "@cfs/storage";
import { contentOf } from "./content.ts";
import type { FileModel } from "./file-model.ts";
import { Generator } from "./generate.ts";
import { modelOf, observe } from "./observe.ts";
import type { ManifestLine, Operation } from "./operations.ts";
import type { TreeModel } from "./tree-model.ts";

const { O_RDONLY, O_RDWR, O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_DSYNC } = fs.constants;
/** Files that stay open between operations, as in a database: they must outlive restarts of the server. */
const openFilesMax = 6;

class Worker {
  readonly #root: string;
  readonly #model: TreeModel;
  readonly #open = new Map<FileModel, number>();

  constructor(root: string, model: TreeModel) {
    this.#root = root;
    this.#model = model;
  }

  #full(path: string): string {
    return join(this.#root, path);
  }

  #kept(path: string): number {
    const file = this.#model.file(path);
    const known = this.#open.get(file);
    if (known !== undefined) return known;
    const fd = fs.openSync(this.#full(path), O_RDWR);
    this.#open.set(file, fd);
    const [oldest] = this.#open;
    if (this.#open.size > openFilesMax && oldest !== undefined) {
      this.#open.delete(oldest[0]);
      fs.closeSync(oldest[1]);
    }
    return fd;
  }

  #once(path: string, flags: number, use: (fd: number) => void): void {
    const fd = fs.openSync(this.#full(path), flags, 0o644);
    try {
      use(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  #write(operation: Extract<Operation, { type: "write" }>): void {
    const { path, offset, length, seed, how } = operation;
    const bytes = contentOf(seed, length);
    const put = (fd: number, position: number | null): void => {
      for (let at = 0; at < length;) at += fs.writeSync(fd, bytes, at, length - at, position === null ? null : position + at);
    };
    if (how === "plain") put(this.#kept(path), offset);
    else if (how === "append") this.#once(path, O_WRONLY | O_APPEND, (fd) => put(fd, null));
    else this.#once(path, O_WRONLY | O_DSYNC, (fd) => put(fd, offset));
  }

  #read(path: string): void {
    const why = this.#model.file(path).explainNow(fs.readFileSync(this.#full(path)));
    if (why !== null) throw new Error(`WRONG BYTES: ${path} ${why}`);
  }

  /** Does it for real; throws what the kernel says. */
  execute(operation: Operation): void {
    switch (operation.type) {
      case "create":
        return this.#once(operation.path, O_RDWR | O_CREAT | O_EXCL, () => undefined);
      case "write":
        return this.#write(operation);
      case "truncate":
        return fs.truncateSync(this.#full(operation.path), operation.size);
      case "fsync":
        return fs.fsyncSync(this.#kept(operation.path));
      case "fsyncdir":
        return this.#once(operation.path, O_RDONLY, (fd) => fs.fsyncSync(fd));
      case "read":
        return this.#read(operation.path);
      case "rename":
        return fs.renameSync(this.#full(operation.from), this.#full(operation.to));
      case "link":
        return fs.linkSync(this.#full(operation.from), this.#full(operation.to));
      case "unlink":
        return fs.unlinkSync(this.#full(operation.path));
      case "symlink":
        return fs.symlinkSync(operation.target, this.#full(operation.path));
      case "mkdir":
        fs.mkdirSync(this.#full(operation.path));
        return;
      case "rmdir":
        fs.rmdirSync(this.#full(operation.path));
    }
  }
}

async function work(root: string, manifestPath: string, seed: number): Promise<number> {
  let isStopping = false;
  process.once("message", () => {
    isStopping = true;
  });
  const model = modelOf(await observe(root));
  const worker = new Worker(root, model);
  const generator = new Generator(seededRandom(seed), model);
  const manifest = fs.openSync(manifestPath, "a");
  const note = (line: ManifestLine): void => void fs.writeSync(manifest, `${JSON.stringify(line)}\n`);
  for (let count = 0; !isStopping; count++) {
    const operation = generator.next();
    note({ begin: count, operation });
    try {
      worker.execute(operation);
    } catch (reason) {
      const { code, message } = reason as NodeJS.ErrnoException;
      note({ end: count, error: code ?? message });
      return 1;
    }
    note({ end: count, error: null });
    model.apply(operation, true);
    await setImmediate();
  }
  return 0;
}

const [root = "", manifest = "", seed = ""] = process.argv.slice(2);
const code = await work(root, manifest, Number(seed));
process.exit(code);
