/**
 * The port through which journal, segments and scrub reach a drive: files by path, bytes by offset, durability on request.
 *
 * Implementations: RingIo (io_uring, or threads where the kernel refuses it), MemoryIo (tests: forgets or tears what was
 * not synced), FaultyIo (wraps any of them). One conformance suite runs on all: testkit/src/conformance/io-suite.ts.
 *
 * Durability, the same for all:
 * - bytes written to a file open with `dataSync` are on stable media when write() resolves, with the size needed to read them;
 * - other bytes are after a later syncData() of the same file, which covers writes that had resolved before it was called;
 * - a name made or removed by open, unlink or makeDirectory is after syncDirectory() of its directory; rename() syncs itself.
 *
 * Requests run concurrently and in no order; who needs one waits for the first. Buffers are borrowed until the promise settles:
 * they must not be changed, given back or transferred before. Every failure is a CfsError that names path, offset and length.
 */
import type { BufferPool } from "./buffer-pool.ts";

/** Offsets, lengths and addresses on a direct file are multiples of this. */
export const blockBytes = 4096;

/** Bytes of one read or write at most. */
export const transferBytesMax: number = 1 << 30;

export interface OpenOptions {
  /** O_DIRECT: past the page cache; views lie in the pool, and offsets, lengths and addresses are multiples of blockBytes. */
  readonly direct: boolean;
  /** O_DSYNC: a write resolves when it is on stable media. */
  readonly dataSync: boolean;
  /** Makes the file, with mode 0600, where it is missing. Its name is durable after syncDirectory(). */
  readonly create: boolean;
  /** With create: EXISTS where the file is there already. */
  readonly exclusive: boolean;
  readonly readOnly: boolean;
}

export interface IoFile {
  readonly path: string;
  /** When it was opened; the Io does not follow later changes. */
  readonly sizeBytes: number;
  readonly options: OpenOptions;
}

export type IoKind = "io_uring" | "threads" | "memory";

export interface Io {
  readonly kind: IoKind;
  /** For people: what carries the requests, and why not something better. */
  readonly description: string;
  /** Aligned buffers that this Io moves without a copy. */
  readonly pool: BufferPool;

  open(path: string, options: OpenOptions): Promise<IoFile>;
  /** Fills `target` from `offsetBytes`; resolves with the bytes read, fewer only at the end of the file. */
  read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number>;
  /** Writes all views, one after the other, from `offsetBytes`; resolves when all of it is written. After an error any part may be. */
  write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void>;
  syncData(file: IoFile): Promise<void>;
  /** Reserves space; what was never written reads as zeros; extends the size. */
  allocate(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void>;
  /** Gives space back; the range reads as zeros; keeps the size. */
  punch(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void>;
  truncate(file: IoFile, sizeBytes: number): Promise<void>;
  /** Waits for requests on the file. Closing twice is a bug, using it afterwards is BAD_HANDLE. */
  close(file: IoFile): Promise<void>;

  unlink(path: string): Promise<void>;
  /** Replaces `to` atomically and makes it durable: both directories are synced. The file's data must have been synced before. */
  rename(from: string, to: string): Promise<void>;
  /** Names in a directory, sorted. */
  list(path: string): Promise<string[]>;
  /** Makes one directory, mode 0700; one that is there already is fine. */
  makeDirectory(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes that may still be written on the file system of `path`. */
  freeBytes(path: string): Promise<number>;

  /** Waits for all requests, closes the files that are still open, gives everything back. Idempotent. */
  shutDown(): Promise<void>;
}

/** How a file is opened unless said otherwise: buffered, for reading and writing, must exist. */
export const openPlain: OpenOptions = { direct: false, dataSync: false, create: false, exclusive: false, readOnly: false };

/** For journals and segments: direct and durable. */
export const openDurable: OpenOptions = { ...openPlain, direct: true, dataSync: true };

export function lengthOf(views: readonly Uint8Array[]): number {
  let sum = 0;
  for (const view of views) sum += view.byteLength;
  return sum;
}
