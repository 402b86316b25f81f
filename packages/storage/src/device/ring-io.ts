/**
 * Io on a ring: io_uring with registered buffers, or threads where the kernel refuses it (kind and description say which).
 *
 * Requests of one turn of the event loop go out with one native call: the flush runs when the current microtasks are done, so a lone request
 * does not wait for anything else. Completions come back in batches. A full ring queues here, in order, up to `waitingMax`;
 * one request more is AGAIN, at once, so nothing is ever lost.
 *
 * Invariants: a request's views are referenced from here until its completion was reaped, so the memory under them stays. A descriptor
 * is closed only when no request on it is queued or in flight, so a late request can never hit another file.
 */
import { assert, CfsError } from "@cfs/core";
import { openRing, ringCompletionWords, ringFlagDirect, ringHeaderWords, ringOperation, ringViewsMax, ringViewWords } from "@cfs/native";
import type { Ring, RingEngine } from "@cfs/native";

import { BufferPool } from "./buffer-pool.ts";
import * as controlPlane from "./control-plane.ts";
import { blockBytes, lengthOf, transferBytesMax } from "./io.ts";
import type { Io, IoFile, OpenOptions } from "./io.ts";

export interface RingIoOptions {
  /** "automatic" (default) takes io_uring and falls back to threads; the others insist. */
  readonly engine?: RingEngine;
  /** Requests in flight at most; default 256, 1 to 4096. */
  readonly slots?: number;
  /** Pool memory; default 64 MiB, rounded up to whole 4 MiB. Backed and pinned only where it is used. */
  readonly poolBytes?: number;
  /** Requests that wait for a slot at most; default 65,536. */
  readonly waitingMax?: number;
  /** Threads, where the engine is threads; default 4. */
  readonly threadCount?: number;
}

type Operation = keyof typeof ringOperation;

const submissionWords = 16_384;

class RingFile implements IoFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly options: OpenOptions;
  readonly fd: number;
  state: "open" | "closing" | "closed" = "open";
  /** Requests queued or in flight. */
  requestCount = 0;
  onIdle: (() => void) | null = null;
  /** Set by the one who closes it. */
  closed: Promise<void> | null = null;

  constructor(path: string, opened: { fd: number; sizeBytes: number }, options: OpenOptions) {
    this.path = path;
    this.fd = opened.fd;
    this.sizeBytes = opened.sizeBytes;
    this.options = options;
  }
}

interface Request {
  readonly operation: Operation;
  readonly file: RingFile;
  readonly views: readonly Uint8Array[];
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  resolve(result: number): void;
  reject(reason: CfsError): void;
}

const noViews: readonly Uint8Array[] = [];

/** So many go to the drive at once, before the turn ends: it works on them while we go on. */
const submitCount = 4;

export class RingIo implements Io {
  readonly pool: BufferPool;
  readonly kind: "io_uring" | "threads";
  readonly #ring: Ring;
  readonly #waitingMax: number;
  readonly #active: (Request | null)[];
  readonly #freeSlots: number[];
  readonly #files: Set<RingFile> = new Set();
  readonly #flush: () => void;
  #waiting: Request[] = [];
  #waitingHead = 0;
  #wordCount = 0;
  /** Requests among those words. */
  #encoded = 0;
  #foreign: Uint8Array[] = [];
  #isFlushScheduled = false;
  #closing: Promise<void> | null = null;
  #broken: CfsError | null = null;

  private constructor(options: RingIoOptions) {
    const slots = options.slots ?? 256;
    this.#waitingMax = options.waitingMax ?? 65_536;
    this.#active = new Array<Request | null>(slots).fill(null);
    this.#freeSlots = Array.from({ length: slots }, (_, index) => slots - 1 - index);
    this.#flush = () => this.#submit();
    this.#ring = openRing(
      {
        engine: options.engine ?? "automatic",
        slots,
        poolBytes: options.poolBytes ?? 64 << 20,
        submissionWords,
        threadCount: options.threadCount ?? 4,
      },
      (count) => this.#complete(count),
    );
    this.kind = this.#ring.kind;
    this.pool = new BufferPool(this.#ring.memory, { sizeBytes: this.#ring.poolBytes });
  }

  static async open(options: RingIoOptions = {}): Promise<RingIo> {
    return new RingIo(options);
  }

  get description(): string {
    return this.#ring.description;
  }

  async open(path: string, options: OpenOptions): Promise<IoFile> {
    this.#checkOpen(`open ${path}`);
    const file = new RingFile(path, await controlPlane.openPath(path, options), options);
    if (this.#closing !== null) {
      await controlPlane.closePath(path, file.fd);
      this.#checkOpen(`open ${path}`);
    }
    this.#files.add(file);
    return file;
  }

  read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number> {
    return this.#request("read", file, [target], offsetBytes, target.byteLength);
  }

  write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    return this.#request("write", file, views, offsetBytes, lengthOf(views)) as Promise<unknown> as Promise<void>;
  }

  syncData(file: IoFile): Promise<void> {
    return this.#request("syncData", file, noViews, 0, 0) as Promise<unknown> as Promise<void>;
  }

  allocate(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#request("allocate", file, noViews, offsetBytes, lengthBytes) as Promise<unknown> as Promise<void>;
  }

  punch(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#request("punch", file, noViews, offsetBytes, lengthBytes) as Promise<unknown> as Promise<void>;
  }

  async truncate(file: IoFile, sizeBytes: number): Promise<void> {
    const own = this.#own(file, "truncate");
    own.requestCount++;
    try {
      await controlPlane.truncatePath(own.path, own.fd, sizeBytes);
    } finally {
      this.#leave(own);
    }
  }

  async close(file: IoFile): Promise<void> {
    const own = this.#own(file, "close");
    await this.#closeWhenIdle(own);
  }

  unlink(path: string): Promise<void> {
    return controlPlane.unlinkPath(path);
  }

  rename(from: string, to: string): Promise<void> {
    return controlPlane.renamePath(from, to);
  }

  list(path: string): Promise<string[]> {
    return controlPlane.listPath(path);
  }

  makeDirectory(path: string): Promise<void> {
    return controlPlane.makeDirectoryPath(path);
  }

  syncDirectory(path: string): Promise<void> {
    return controlPlane.syncDirectoryPath(path);
  }

  freeBytes(path: string): Promise<number> {
    return controlPlane.freeBytesOf(path);
  }

  shutDown(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutDown();
  }

  /** Every request belongs to a file, so when all files are closed nothing is in flight. */
  async #shutDown(): Promise<void> {
    const outcomes = await Promise.allSettled([...this.#files].map((file) => this.#closeWhenIdle(file)));
    this.#ring.close();
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, "files could not be closed");
  }

  #closeWhenIdle(file: RingFile): Promise<void> {
    file.state = "closing";
    file.closed ??= (async () => {
      if (file.requestCount > 0) await new Promise<void>((resolve) => (file.onIdle = resolve));
      file.state = "closed";
      try {
        await controlPlane.closePath(file.path, file.fd);
      } finally {
        this.#files.delete(file);
      }
    })();
    return file.closed;
  }

  #checkOpen(what: string): void {
    if (this.#broken !== null) throw new CfsError("IO", `${what}: the ring broke`, { cause: this.#broken });
    if (this.#closing !== null) throw new CfsError("BAD_HANDLE", `${what}: this Io is closed`);
  }

  #own(file: IoFile, operation: string): RingFile {
    assert(file instanceof RingFile, "a file is used with the Io that opened it");
    this.#checkOpen(`${operation} ${file.path}`);
    if (file.state !== "open") throw new CfsError("BAD_HANDLE", `${operation} ${file.path}: the file is ${file.state}`);
    return file;
  }

  #leave(file: RingFile): void {
    file.requestCount--;
    if (file.requestCount === 0 && file.onIdle !== null) file.onIdle();
  }

  #request(operation: Operation, file: IoFile, views: readonly Uint8Array[], offsetBytes: number, lengthBytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const own = this.#own(file, operation);
      assert(Number.isSafeInteger(offsetBytes + lengthBytes) && offsetBytes >= 0 && lengthBytes >= 0, "a range is made of safe integers");
      if (views !== noViews) {
        checkViews(own, views, offsetBytes, lengthBytes, this.#ring.memory);
        if (lengthBytes === 0) return resolve(0);
      }
      this.#accept({ operation, file: own, views, offsetBytes, lengthBytes, resolve, reject });
    });
  }

  #accept(request: Request): void {
    if (this.#freeSlots.length === 0 || this.#waiting.length > this.#waitingHead) {
      if (this.#waiting.length - this.#waitingHead >= this.#waitingMax) {
        return request.reject(new CfsError("AGAIN", `${nameOf(request)}: ${this.#waitingMax} requests wait for the drive already`));
      }
      this.#waiting.push(request);
    } else {
      this.#encode(request);
    }
    request.file.requestCount++;
  }

  /** Gives the request a slot and appends its words; they go out when the turn ends, or when there are `submitCount`. */
  #encode(request: Request): void {
    const { file, views } = request;
    const words = this.#ring.submissions;
    if (this.#wordCount + ringHeaderWords + views.length * ringViewWords > words.length) this.#submit();
    const slot = this.#freeSlots.pop() as number;
    this.#active[slot] = request;
    const start = this.#wordCount;
    const end = this.#encodeViews(views, start + ringHeaderWords);
    words[start] = slot;
    words[start + 1] = ringOperation[request.operation];
    words[start + 2] = file.fd;
    words[start + 3] = request.offsetBytes;
    words[start + 4] = request.lengthBytes;
    words[start + 5] = file.options.direct ? ringFlagDirect : 0;
    words[start + 6] = (end - start - ringHeaderWords) / ringViewWords;
    this.#wordCount = end;
    if (++this.#encoded === submitCount) return this.#submit();
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    process.nextTick(this.#flush);
  }

  /** Neighbours in the arena become one view, so that the ring can use its registered memory. */
  #encodeViews(views: readonly Uint8Array[], start: number): number {
    const words = this.#ring.submissions;
    const { memory } = this.#ring;
    let at = start;
    let endOfLast = -1;
    for (const view of views) {
      const length = view.byteLength;
      if (length === 0) continue;
      const address = view.buffer === memory ? view.byteOffset : -this.#foreign.push(view);
      if (address >= 0 && address === endOfLast) {
        words[at - 1] = (words[at - 1] as number) + length;
      } else {
        words[at] = address;
        words[at + 1] = length;
        at += ringViewWords;
      }
      endOfLast = address >= 0 ? address + length : -1;
    }
    return at;
  }

  #submit(): void {
    this.#isFlushScheduled = false;
    this.#encoded = 0;
    if (this.#wordCount === 0) return;
    const foreign = this.#foreign.length > 0 ? this.#foreign : null;
    const wordCount = this.#wordCount;
    this.#wordCount = 0;
    if (foreign !== null) this.#foreign = [];
    this.#ring.submit(wordCount, foreign);
  }

  #complete(count: number): void {
    if (this.#broken !== null) return; // Everybody was told already.
    if (count < 0) return this.#break(-count);
    const words = this.#ring.completions;
    for (let at = 0; at < count * ringCompletionWords; at += ringCompletionWords) {
      const slot = words[at] as number;
      const request = this.#active[slot];
      assert(request !== null && request !== undefined, "a completion belongs to a request in flight");
      this.#active[slot] = null;
      this.#freeSlots.push(slot);
      this.#settle(request, words[at + 1] as number);
    }
    this.#admitWaiting();
  }

  #settle(request: Request, result: number): void {
    if (result < 0) {
      request.reject(failureOf(request, -result));
    } else {
      if (request.operation === "write") assert(result === request.lengthBytes, "an acknowledged write is complete");
      request.resolve(result);
    }
    this.#leave(request.file);
  }

  #admitWaiting(): void {
    while (this.#waitingHead < this.#waiting.length && this.#freeSlots.length > 0) {
      this.#encode(this.#waiting[this.#waitingHead++] as Request);
    }
    if (this.#waitingHead === this.#waiting.length || this.#waitingHead >= 1024) {
      this.#waiting = this.#waiting.slice(this.#waitingHead);
      this.#waitingHead = 0;
    }
  }

  /** The ring itself failed: what is in flight may still move bytes, so its memory stays referenced, but all callers are told. */
  #break(errno: number): void {
    this.#broken = CfsError.fromErrno(errno, `reaping completions failed (errno ${errno})`);
    const requests = [...this.#active.filter((request) => request !== null), ...this.#waiting.slice(this.#waitingHead)];
    this.#waiting = [];
    this.#waitingHead = 0;
    for (const request of requests) this.#settle(request, -errno);
  }
}

/** What callers must keep; a violation is a bug of theirs. */
function checkViews(file: RingFile, views: readonly Uint8Array[], offsetBytes: number, lengthBytes: number, memory: ArrayBuffer): void {
  assert(views.length <= ringViewsMax, "a request has at most 1024 views");
  assert(lengthBytes <= transferBytesMax, "a request moves at most 1 GiB");
  if (!file.options.direct) return;
  assert(offsetBytes % blockBytes === 0, "a direct request begins at a block");
  for (const view of views) {
    assert(view.buffer === memory, "a view of a direct request lies in the pool");
    assert(view.byteOffset % blockBytes === 0 && view.byteLength % blockBytes === 0, "a view of a direct request is made of whole blocks");
  }
}

function nameOf(request: Request): string {
  return `${request.operation} ${request.file.path} at ${request.offsetBytes}, ${request.lengthBytes} bytes`;
}

function failureOf(request: Request, errno: number): CfsError {
  const { file, offsetBytes, lengthBytes, operation } = request;
  return CfsError.fromErrno(errno, `${nameOf(request)}: failed with errno ${errno}`, {
    details: { operation, path: file.path, offsetBytes, lengthBytes, errno },
  });
}
