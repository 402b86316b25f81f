/**
 * Aligned buffers from one arena, by buddy allocation: size classes 4 KiB, 8 KiB … 4 MiB.
 *
 * Why: fresh large buffers cost 3 to 1,000 µs each (page faults), reused ones nothing; and the ring moves only registered,
 * aligned memory without further work.
 *
 * Invariants: a block belongs to at most one buffer; a free block's buddy of the same class is not free (they are merged);
 * 4 MiB blocks never straddle a registered region. Buffers are not zeroed: who lets one leave its owner fills it or asks for
 * takeZeroed(). Low addresses are taken first, so that memory that was touched is used again before fresh memory is.
 *
 * A page's state lies in typed arrays indexed by page: `classOfPage` holds the class of a free block at its first page, class +
 * usedMark of a taken one, and interior elsewhere; `next` and `previous` chain the free blocks of a class.
 */
import { assert, CfsError, invariants } from "@cfs/core";

const pageBytes = 4096;
const classCount = 11;
/** The largest buffer, 4 MiB. */
export const bufferBytesMax: number = pageBytes << (classCount - 1);
const pagesPerBlockMax = 1 << (classCount - 1);

const interior = 0x7f;
const usedMark = 0x40;
const none = -1;

export interface BufferPoolOptions {
  /** Bytes of the arena that belong to the pool, from its start; a multiple of 4 MiB. */
  readonly sizeBytes: number;
  /** Callers that takeOrWait() lets wait at once; default 4096. One more is AGAIN. */
  readonly waitersMax?: number;
}

export interface BufferPoolStatistics {
  readonly sizeBytes: number;
  /** Bytes of blocks that are taken, rounded up to their size classes. */
  readonly usedBytes: number;
  readonly usedBytesMax: number;
  readonly takenCount: number;
  readonly waiterCount: number;
  /** How often somebody had to wait, or was refused, since the start. */
  readonly exhaustedCount: number;
}

interface Waiter {
  readonly sizeBytes: number;
  resolve(buffer: Uint8Array): void;
  reject(reason: unknown): void;
}

export class BufferPool {
  readonly memory: ArrayBuffer;
  readonly #pageCount: number;
  readonly #classOfPage: Uint8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads: Int32Array = new Int32Array(classCount).fill(none);
  /** The buffer that a taken block was handed out as, by first page: only that object can be given back. */
  readonly #owners: (Uint8Array | undefined)[];
  readonly #origins: Map<number, string> = new Map();
  readonly #waiters: Set<Waiter> = new Set();
  readonly #waitersMax: number;
  #usedBytes = 0;
  #usedBytesMax = 0;
  #takenCount = 0;
  #exhaustedCount = 0;

  constructor(memory: ArrayBuffer, options: BufferPoolOptions) {
    assert(options.sizeBytes > 0 && options.sizeBytes % bufferBytesMax === 0, "a pool is made of whole blocks of 4 MiB");
    assert(options.sizeBytes <= memory.byteLength, "a pool lies in its arena");
    this.memory = memory;
    this.#waitersMax = options.waitersMax ?? 4096;
    this.#pageCount = options.sizeBytes / pageBytes;
    this.#classOfPage = new Uint8Array(this.#pageCount).fill(interior);
    this.#next = new Int32Array(this.#pageCount);
    this.#previous = new Int32Array(this.#pageCount);
    this.#owners = new Array<Uint8Array | undefined>(this.#pageCount).fill(undefined);
    for (let page = this.#pageCount - pagesPerBlockMax; page >= 0; page -= pagesPerBlockMax) this.#push(page, classCount - 1);
  }

  /** A pool on ordinary memory, for machines and tests without a ring. */
  static onHeap(sizeBytes: number): BufferPool {
    const rounded = Math.ceil(sizeBytes / bufferBytesMax) * bufferBytesMax;
    return new BufferPool(new ArrayBuffer(rounded), { sizeBytes: rounded });
  }

  get statistics(): BufferPoolStatistics {
    return {
      sizeBytes: this.#pageCount * pageBytes,
      usedBytes: this.#usedBytes,
      usedBytesMax: this.#usedBytesMax,
      takenCount: this.#takenCount,
      waiterCount: this.#waiters.size,
      exhaustedCount: this.#exhaustedCount,
    };
  }

  /** A buffer of exactly `sizeBytes` (1 byte to 4 MiB) with what its last owner left in it; null when nothing is free or others wait. */
  tryTake(sizeBytes: number): Uint8Array | null {
    const buffer = this.#waiters.size === 0 ? this.#allot(sizeBytes) : null;
    if (buffer === null) this.#exhaustedCount++;
    return buffer;
  }

  /** As tryTake, but NO_MEMORY when nothing is free. */
  take(sizeBytes: number): Uint8Array {
    const buffer = this.tryTake(sizeBytes);
    if (buffer !== null) return buffer;
    const { usedBytes, sizeBytes: totalBytes, waiterCount } = this.statistics;
    throw new CfsError(
      "NO_MEMORY",
      `no buffer of ${sizeBytes} bytes is free: ${usedBytes} of ${totalBytes} bytes are taken, ${waiterCount} callers wait`,
    );
  }

  /** A buffer filled with zeros. */
  takeZeroed(sizeBytes: number): Uint8Array {
    return this.take(sizeBytes).fill(0);
  }

  /** As take, but waits its turn, first come first served; `signal` takes the caller out of the queue. */
  takeOrWait(sizeBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const buffer = this.tryTake(sizeBytes);
    if (buffer !== null) return Promise.resolve(buffer);
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    if (this.#waiters.size >= this.#waitersMax) {
      return Promise.reject(new CfsError("AGAIN", `${this.#waiters.size} callers wait for buffers already`));
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { sizeBytes, resolve, reject };
      this.#waiters.add(waiter);
      if (signal !== undefined) this.#leaveOnAbort(waiter, signal);
    });
  }

  /** Takes a buffer back: the object that take() returned, not a part of it. Giving it twice is a bug. */
  give(buffer: Uint8Array): void {
    assert(buffer.buffer === this.memory, "a buffer is given to the pool that it came from");
    const page = buffer.byteOffset / pageBytes;
    assert(this.#owners[page] === buffer, "a buffer is given once, as the object that was taken");
    const sizeClass = (this.#classOfPage[page] as number) - usedMark;
    this.#owners[page] = undefined;
    this.#origins.delete(page);
    this.#usedBytes -= pageBytes << sizeClass;
    this.#takenCount--;
    this.#release(page, sizeClass);
    if (this.#waiters.size > 0) this.#serveWaiters();
  }

  /** For tests: nothing is taken and nobody waits. With invariants on, the message says where the buffers were taken. */
  assertNoLeak(): void {
    if (this.#takenCount === 0 && this.#waiters.size === 0) return;
    const leaks = this.#owners.flatMap((buffer, page) => {
      return buffer === undefined ? [] : [`${buffer.byteLength} bytes at ${buffer.byteOffset}${this.#origins.get(page) ?? ""}`];
    });
    assert(false, `no buffer is leaked; ${this.#waiters.size} callers wait; taken: ${leaks.join("; ")}`);
  }

  /** Walks everything: blocks tile the arena, chains and counts agree, buddies are merged. */
  checkInvariants(): void {
    let usedBytes = 0;
    const freeCounts = new Array<number>(classCount).fill(0);
    for (let page = 0; page < this.#pageCount;) {
      const state = this.#classOfPage[page] as number;
      assert(state !== interior, "a block begins where the one before it ends");
      const isUsed = (state & usedMark) !== 0;
      const sizeClass = state & ~usedMark;
      assert(page % (1 << sizeClass) === 0, "a block is aligned to its size");
      assert(isUsed === (this.#owners[page] !== undefined), "taken blocks have an owner and free ones have none");
      const buddy = page ^ (1 << sizeClass);
      if (!isUsed && sizeClass < classCount - 1) assert(this.#classOfPage[buddy] !== state, "free buddies are merged");
      if (isUsed) usedBytes += pageBytes << sizeClass;
      else freeCounts[sizeClass] = (freeCounts[sizeClass] as number) + 1;
      page += 1 << sizeClass;
    }
    assert(usedBytes === this.#usedBytes, "the bytes in use are those of the taken blocks");
    for (let sizeClass = 0; sizeClass < classCount; sizeClass++) {
      let count = 0;
      for (let page = this.#heads[sizeClass] as number; page !== none; page = this.#next[page] as number) count++;
      assert(count === freeCounts[sizeClass], "every free block is in the chain of its class");
    }
  }

  #allot(sizeBytes: number): Uint8Array | null {
    assert(sizeBytes >= 1 && sizeBytes <= bufferBytesMax, "a buffer has 1 byte to 4 MiB");
    const wanted = sizeBytes <= pageBytes ? 0 : 32 - Math.clz32((sizeBytes - 1) >>> 12);
    let sizeClass = wanted;
    while (sizeClass < classCount && this.#heads[sizeClass] === none) sizeClass++;
    if (sizeClass === classCount) return null;
    const page = this.#heads[sizeClass] as number;
    this.#remove(page, sizeClass);
    while (sizeClass > wanted) {
      sizeClass--;
      this.#push(page + (1 << sizeClass), sizeClass); // The upper half is free again; the lower one goes on.
    }
    this.#classOfPage[page] = sizeClass | usedMark;
    const buffer = new Uint8Array(this.memory, page * pageBytes, sizeBytes);
    this.#owners[page] = buffer;
    if (invariants.enabled) this.#origins.set(page, `, taken${new Error("at").stack?.slice(9) ?? ""}`);
    this.#takenCount++;
    this.#usedBytes += pageBytes << sizeClass;
    if (this.#usedBytes > this.#usedBytesMax) this.#usedBytesMax = this.#usedBytes;
    return buffer;
  }

  /** Merges the block with its buddy as long as that is free and whole. */
  #release(page: number, sizeClass: number): void {
    while (sizeClass < classCount - 1) {
      const buddy = page ^ (1 << sizeClass);
      if (this.#classOfPage[buddy] !== sizeClass) break;
      this.#remove(buddy, sizeClass);
      this.#classOfPage[Math.max(page, buddy)] = interior;
      page = Math.min(page, buddy);
      sizeClass++;
    }
    this.#push(page, sizeClass);
  }

  #push(page: number, sizeClass: number): void {
    const head = this.#heads[sizeClass] as number;
    this.#classOfPage[page] = sizeClass;
    this.#next[page] = head;
    this.#previous[page] = none;
    if (head !== none) this.#previous[head] = page;
    this.#heads[sizeClass] = page;
  }

  #remove(page: number, sizeClass: number): void {
    const next = this.#next[page] as number;
    const previous = this.#previous[page] as number;
    if (next !== none) this.#previous[next] = previous;
    if (previous === none) this.#heads[sizeClass] = next;
    else this.#next[previous] = next;
  }

  /** In order: a large request at the head waits for its space, and the smaller ones behind it wait with it. */
  #serveWaiters(): void {
    for (const waiter of this.#waiters) {
      const buffer = this.#allot(waiter.sizeBytes);
      if (buffer === null) return;
      this.#waiters.delete(waiter);
      waiter.resolve(buffer);
    }
  }

  #leaveOnAbort(waiter: Waiter, signal: AbortSignal): void {
    const leave = (): void => {
      if (!this.#waiters.delete(waiter)) return;
      waiter.reject(signal.reason);
      this.#serveWaiters(); // Those behind it may fit now.
    };
    const { resolve } = waiter;
    waiter.resolve = (buffer) => {
      signal.removeEventListener("abort", leave);
      resolve(buffer);
    };
    signal.addEventListener("abort", leave, { once: true });
  }
}
