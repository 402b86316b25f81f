/**
 * Io in memory, for tests and simulation: it knows what was synced, and `crash()` takes the rest away by chance, from a seed.
 *
 * After a crash the machine is up again at once: names and bytes are what a medium would hold, files that were open answer
 * BAD_HANDLE, and requests that were under way have failed with IO. Requests settle through `schedule`, so a
 * simulator decides when; without one, in a microtask. The direct-I/O rules (blocks, pool memory) are asserted as RingIo does.
 */
import { dirname } from "node:path";

import { assert, CfsError } from "@cfs/core";
import type { Random } from "@cfs/core";

import { BufferPool } from "./buffer-pool.ts";
import { blockBytes, lengthOf } from "./io.ts";
import type { Io, IoFile, OpenOptions } from "./io.ts";
import { MemoryTree } from "./memory-tree.ts";
import type { Change, VolatileFile } from "./volatile-file.ts";

export interface MemoryIoParts {
  /** Decides what a crash takes. */
  readonly random: Random;
  /** Runs `settle` later, once; a simulator's event queue. Default: a microtask. */
  readonly schedule?: (settle: () => void) => void;
}

export interface MemoryIoOptions {
  /** Default 16 MiB. */
  readonly poolBytes?: number;
  /** NO_SPACE beyond it, counted in pages that were written; default: without bound. */
  readonly capacityBytes?: number;
}

class MemoryFile implements IoFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly options: OpenOptions;
  readonly content: VolatileFile;
  state: "open" | "closing" | "closed" | "lost" = "open";
  requestCount = 0;
  onIdle: (() => void) | null = null;

  constructor(path: string, content: VolatileFile, options: OpenOptions) {
    this.path = path;
    this.content = content;
    this.options = options;
    this.sizeBytes = content.sizeBytes;
  }
}

export class MemoryIo implements Io {
  readonly kind = "memory";
  readonly pool: BufferPool;
  readonly #parts: MemoryIoParts;
  readonly #capacityBytes: number;
  readonly #tree: MemoryTree = new MemoryTree();
  readonly #files: Set<MemoryFile> = new Set();
  #bootCount = 1;
  #requestCount = 0;
  #onIdle: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  constructor(parts: MemoryIoParts, options: MemoryIoOptions = {}) {
    this.#parts = parts;
    this.#capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
    this.pool = BufferPool.onHeap(options.poolBytes ?? 16 << 20);
  }

  get description(): string {
    return `memory, started ${this.#bootCount} times`;
  }

  /** Bytes of all files that a crash may take now. */
  get unsyncedBytes(): number {
    return this.#tree.files().reduce((sum, file) => sum + file.unsyncedBytes, 0);
  }

  /** Power fails and comes back. Pool buffers stay with their owners, as they would in tests that go on in the same process. */
  crash(): void {
    this.#bootCount++;
    for (const file of this.#files) file.state = "lost";
    this.#files.clear();
    this.#tree.crash(this.#parts.random);
  }

  async open(path: string, options: OpenOptions): Promise<IoFile> {
    return this.#later(`open ${path}`, () => {
      const isThere = this.#tree.find(path) !== undefined;
      if (isThere && options.create && options.exclusive) throw new CfsError("EXISTS", `open ${path}: it is there already`);
      const content = !isThere && options.create ? this.#tree.createFile(path) : this.#tree.file(path, "open");
      const file = new MemoryFile(path, content, options);
      this.#files.add(file);
      return file;
    });
  }

  async read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number> {
    const own = this.#own(file, "read", offsetBytes, target.byteLength);
    this.#checkDirect(own, [target], offsetBytes);
    return this.#onFile(own, "read", () => own.content.read(target, offsetBytes));
  }

  async write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const lengthBytes = lengthOf(views);
    const own = this.#ownWritable(file, "write", offsetBytes, lengthBytes);
    this.#checkDirect(own, views, offsetBytes);
    if (lengthBytes === 0) return;
    this.#checkSpace(own, offsetBytes, lengthBytes);
    const bytes = new Uint8Array(lengthBytes);
    let at = 0;
    for (const view of views) {
      bytes.set(view, at);
      at += view.byteLength;
    }
    const change = own.content.begin({ kind: "write", offsetBytes, bytes });
    await this.#settleLater(own, "write", change);
  }

  async syncData(file: IoFile): Promise<void> {
    const own = this.#own(file, "syncData", 0, 0);
    const covered = own.content.beginSync();
    await this.#onFile(own, "syncData", () => own.content.endSync(covered));
  }

  async allocate(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    const own = this.#ownWritable(file, "allocate", offsetBytes, lengthBytes);
    if (lengthBytes === 0) throw new CfsError("INVALID", `allocate ${own.path} at ${offsetBytes}: an empty range`);
    this.#checkSpace(own, offsetBytes, lengthBytes);
    await this.#settleLater(own, "allocate", own.content.begin({ kind: "extend", sizeBytes: offsetBytes + lengthBytes }));
  }

  async punch(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    const own = this.#ownWritable(file, "punch", offsetBytes, lengthBytes);
    if (lengthBytes === 0) throw new CfsError("INVALID", `punch ${own.path} at ${offsetBytes}: an empty range`);
    await this.#settleLater(own, "punch", own.content.begin({ kind: "punch", offsetBytes, lengthBytes }));
  }

  async truncate(file: IoFile, sizeBytes: number): Promise<void> {
    const own = this.#own(file, "truncate", sizeBytes, 0);
    if (own.options.readOnly)
      throw new CfsError("INVALID", `truncate ${own.path} to ${sizeBytes} bytes: the file is open for reading only`);
    await this.#settleLater(own, "truncate", own.content.begin({ kind: "truncate", sizeBytes }));
  }

  async close(file: IoFile): Promise<void> {
    const own = this.#own(file, "close", 0, 0);
    own.state = "closing";
    if (own.requestCount > 0) await new Promise<void>((resolve) => (own.onIdle = resolve));
    own.state = "closed";
    this.#files.delete(own);
  }

  async unlink(path: string): Promise<void> {
    await this.#later(`unlink ${path}`, () => this.#tree.unlink(path));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#later(`rename ${from} to ${to}`, () => this.#tree.rename(from, to));
    await this.#later(`rename ${from} to ${to}`, () => this.#tree.syncDirectory(dirname(to)));
  }

  async list(path: string): Promise<string[]> {
    return this.#later(`list ${path}`, () => this.#tree.list(path));
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#later(`make directory ${path}`, () => this.#tree.makeDirectory(path));
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#later(`sync directory ${path}`, () => this.#tree.syncDirectory(path));
  }

  async freeBytes(path: string): Promise<number> {
    return this.#later(`statfs ${path}`, () => {
      if (this.#tree.find(path) === undefined) throw new CfsError("NOT_FOUND", `statfs ${path}: it is not there`);
      return Math.max(0, this.#capacityBytes - this.#usedBytes());
    });
  }

  shutDown(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutDown();
  }

  async #shutDown(): Promise<void> {
    if (this.#requestCount > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    for (const file of this.#files) file.state = "closed";
    this.#files.clear();
  }

  #usedBytes(): number {
    return this.#tree.files().reduce((sum, file) => sum + file.storedBytes, 0);
  }

  /** Pessimistic by what the range already holds: a full drive refuses early. */
  #checkSpace(file: MemoryFile, offsetBytes: number, lengthBytes: number): void {
    if (this.#capacityBytes === Number.MAX_SAFE_INTEGER) return;
    const growth = Math.max(0, offsetBytes + lengthBytes - file.content.storedBytes);
    const freeBytes = this.#capacityBytes - this.#usedBytes();
    if (growth <= freeBytes) return;
    throw new CfsError("NO_SPACE", `write ${file.path} at ${offsetBytes}, ${lengthBytes} bytes: ${freeBytes} bytes are free`);
  }

  #own(file: IoFile, operation: string, offsetBytes: number, lengthBytes: number): MemoryFile {
    assert(file instanceof MemoryFile, "a file is used with the Io that opened it");
    assert(Number.isSafeInteger(offsetBytes + lengthBytes) && offsetBytes >= 0 && lengthBytes >= 0, "a range is made of safe integers");
    const what = `${operation} ${file.path} at ${offsetBytes}, ${lengthBytes} bytes`;
    if (this.#closing !== null) throw new CfsError("BAD_HANDLE", `${what}: this Io is closed`);
    if (file.state !== "open") throw new CfsError("BAD_HANDLE", `${what}: the file is ${file.state}`);
    return file;
  }

  #ownWritable(file: IoFile, operation: string, offsetBytes: number, lengthBytes: number): MemoryFile {
    const own = this.#own(file, operation, offsetBytes, lengthBytes);
    if (!own.options.readOnly) return own;
    throw new CfsError("BAD_HANDLE", `${operation} ${own.path} at ${offsetBytes}, ${lengthBytes} bytes: the file is open for reading only`);
  }

  #checkDirect(file: MemoryFile, views: readonly Uint8Array[], offsetBytes: number): void {
    if (!file.options.direct) return;
    assert(offsetBytes % blockBytes === 0, "a direct request begins at a block");
    for (const view of views) {
      assert(view.buffer === this.pool.memory, "a view of a direct request lies in the pool");
      assert(
        view.byteOffset % blockBytes === 0 && view.byteLength % blockBytes === 0,
        "a view of a direct request is made of whole blocks",
      );
    }
  }

  async #settleLater(file: MemoryFile, operation: string, change: Change): Promise<void> {
    await this.#onFile(file, operation, () => file.content.settle(change, file.options.dataSync));
  }

  async #onFile<T>(file: MemoryFile, operation: string, work: () => T): Promise<T> {
    file.requestCount++;
    try {
      return await this.#later(`${operation} ${file.path}`, work);
    } finally {
      file.requestCount--;
      if (file.requestCount === 0) file.onIdle?.();
    }
  }

  /** Does the work when the schedule says so, unless the machine crashed in between. */
  #later<T>(what: string, work: () => T): Promise<T> {
    if (this.#closing !== null) return Promise.reject(new CfsError("BAD_HANDLE", `${what}: this Io is closed`));
    const bootCount = this.#bootCount;
    this.#requestCount++;
    return new Promise<T>((resolve, reject) => {
      const settle = (): void => {
        try {
          if (bootCount !== this.#bootCount) throw new CfsError("IO", `${what}: the machine crashed`);
          resolve(work());
        } catch (reason) {
          reject(reason);
        }
        this.#requestCount--;
        if (this.#requestCount === 0) this.#onIdle?.();
      };
      (this.#parts.schedule ?? queueMicrotask)(settle);
    });
  }
}
