/**
 * One LevelDB directory under an ordered key-value store: checked values, atomic synced batches, and a marker that says what it holds.
 *
 * Stored key: | 1 | key | for an entry; | 0 | "marker" | for the marker.   Stored value: | value | check 4 |
 * check = crc32c(value) xor crc32c(stored key): LevelDB does not verify its blocks when it reads, so a flipped bit would go unseen.
 *
 * Invariant: every batch is a synced one and carries the marker. LevelDB does not sync its log when it begins the next one, so after a power cut an
 * unsynced batch could be gone while a later one is there; with synced batches what is found is the state of one exact batch.
 */
import { assert, ByteReader, ByteWriter, CfsError } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";
import type { KvEntry, KvKey } from "@cfs/metadata";
import { ClassicLevel } from "classic-level";
import type { Snapshot } from "classic-level";

import type { Crc32c } from "../journal/journal-format.ts";

export interface Marker {
  /** Whose state this is: two directories with different ones never belong together. */
  readonly storeId: string;
  /** The log index that the content stands for. */
  readonly appliedIndex: number;
  /** Counts batches of the store, on all its directories alike. */
  readonly batchNumber: number;
  /** A directory that is being filled holds anything but a whole state. */
  readonly isComplete: boolean;
}

/** Keys and values as LevelDB gets them: with their checks. */
export type StoredBatch = readonly { readonly key: Buffer; readonly value: Buffer | null }[];

export interface EngineOptions {
  /** Block cache; default 32 MiB. */
  readonly cacheBytes?: number;
  /** Memory that takes writes before they become a table; LevelDB may hold two. Default 4 MiB. */
  readonly writeBufferBytes?: number;
}

const markerKey = Buffer.from("\0marker", "latin1");
const markerVersion = 1;
const mebibyte = 1024 * 1024;
/**
 * LevelDB maps the tables that it has open into memory, where they count as this process's own: 64 of them (the least that it accepts, and ten files
 * more) of 1 MiB each bound that, whatever the size of the state. A table that is opened again costs some 30 µs.
 */
const openFilesMax = 74;
const tableBytes: number = mebibyte;
/** Entries that one step of a scan fetches at most; values are small. */
const stepEntries = 1000;

export class LevelEngine {
  readonly directory: string;
  readonly #db: ClassicLevel<Buffer, Buffer>;
  readonly #crc32c: Crc32c;
  /** What is read, where it is not the newest. */
  readonly #snapshot: Snapshot | undefined;
  #scratch: Buffer = Buffer.allocUnsafeSlow(512);

  private constructor(directory: string, db: ClassicLevel<Buffer, Buffer>, crc32c: Crc32c, snapshot?: Snapshot) {
    this.directory = directory;
    this.#db = db;
    this.#crc32c = crc32c;
    this.#snapshot = snapshot;
  }

  /** The content as it is now, for reading only; `close` ends it and must come before that of the engine. */
  snapshot(): LevelEngine {
    try {
      return new LevelEngine(this.directory, this.#db, this.#crc32c, this.#db.snapshot());
    } catch (reason) {
      throw fromLevelError(reason, `take a snapshot of the state store ${this.directory}`);
    }
  }

  /** Makes the directory where it is missing. BUSY when another process has it open, CORRUPT when LevelDB finds it damaged. */
  static async open(directory: string, crc32c: Crc32c, options: EngineOptions = {}): Promise<LevelEngine> {
    const db = new ClassicLevel<Buffer, Buffer>(directory, {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      cacheSize: options.cacheBytes ?? 32 * mebibyte,
      writeBufferSize: options.writeBufferBytes ?? 4 * mebibyte,
      maxOpenFiles: openFilesMax,
      maxFileSize: tableBytes,
    });
    try {
      await db.open();
    } catch (reason) {
      throw fromLevelError(reason, `open the state store ${directory}`);
    }
    return new LevelEngine(directory, db, crc32c);
  }

  /** Removes everything that LevelDB has there. */
  static async destroy(directory: string): Promise<void> {
    try {
      await ClassicLevel.destroy(directory);
    } catch (reason) {
      throw fromLevelError(reason, `remove the state store ${directory}`);
    }
  }

  /** Null when there is none. CORRUPT when value and check disagree. */
  get(key: KvKey): Uint8Array | null {
    const length = key.length + 1;
    if (this.#scratch.length < length) this.#scratch = Buffer.allocUnsafeSlow(length * 2);
    const stored = this.#scratch.subarray(0, length);
    stored[0] = 1;
    stored.write(key, 1, "latin1");
    let value: Buffer | undefined;
    try {
      value = this.#db.getSync(stored, { snapshot: this.#snapshot });
    } catch (reason) {
      throw fromLevelError(reason, `read from the state store ${this.directory}`);
    }
    return value === undefined ? null : this.#checked(stored, value);
  }

  #checked(stored: Buffer, value: Buffer): Uint8Array {
    const end = value.length - 4;
    const content = end >= 0 ? value.subarray(0, end) : null;
    if (content === null || checkOf(stored, content, this.#crc32c) !== value.readUInt32LE(end)) {
      throw new CfsError("CORRUPT", `the state store ${this.directory} holds a wrong value for key ${stored.toString("hex")}`, {
        details: { directory: this.directory },
      });
    }
    return content;
  }

  /** All of it or nothing, on stable storage when it resolves. */
  async write(values: StoredBatch, marker: Marker): Promise<void> {
    assert(this.#snapshot === undefined, "a snapshot is not written to");
    const batch = this.#db.batch();
    try {
      for (const { key, value } of values) {
        if (value === null) batch.del(key);
        else batch.put(key, value);
      }
      batch.put(markerKey, storedValue(markerKey, encodeMarker(marker), this.#crc32c));
      await batch.write({ sync: true });
    } catch (reason) {
      throw fromLevelError(reason, `write to the state store ${this.directory}`);
    }
  }

  /** Null in a directory that was never written to. */
  marker(): Marker | null {
    let value: Buffer | undefined;
    try {
      value = this.#db.getSync(markerKey);
    } catch (reason) {
      throw fromLevelError(reason, `read the marker of the state store ${this.directory}`);
    }
    return value === undefined ? null : decodeMarker(this.#checked(markerKey, value), this.directory);
  }

  /**
   * Up to `limit` entries from `begin` to below `end` as of the call, in order. One that is wrong is given to `onWrong`, which returns its true value, null
   * for none, or throws.
   */
  async scan(begin: KvKey, end: KvKey, limit: number, onWrong: (key: KvKey, reason: CfsError) => Uint8Array | null): Promise<KvEntry[]> {
    const iterator = this.#db.iterator({
      gte: storedKey(begin),
      lt: storedKey(end),
      limit,
      fillCache: this.#snapshot === undefined,
      snapshot: this.#snapshot,
    });
    const entries: KvEntry[] = [];
    try {
      for (;;) {
        const step = await iterator.nextv(Math.min(stepEntries, limit));
        if (step.length === 0) return entries;
        for (const [stored, value] of step) this.#collect(stored, value, onWrong, entries);
      }
    } catch (reason) {
      throw fromLevelError(reason, `scan the state store ${this.directory}`);
    } finally {
      await iterator.close();
    }
  }

  #collect(stored: Buffer, value: Buffer, onWrong: (key: KvKey, reason: CfsError) => Uint8Array | null, entries: KvEntry[]): void {
    const key = stored.toString("latin1", 1);
    let content: Uint8Array | null;
    try {
      content = this.#checked(stored, value);
    } catch (reason) {
      content = onWrong(key, CfsError.from(reason));
    }
    if (content !== null) entries.push({ key, value: content });
  }

  async close(): Promise<void> {
    if (this.#snapshot === undefined) await this.#db.close();
    else await this.#snapshot.close();
  }
}

/** Encodes a batch once for all copies. A null value deletes. */
export function encodeBatch(values: Iterable<readonly [KvKey, Uint8Array | null]>, crc32c: Crc32c): StoredBatch {
  return Array.from(values, ([plain, value]) => {
    const key = storedKey(plain);
    return { key, value: value === null ? null : storedValue(key, value, crc32c) };
  });
}

function checkOf(stored: Uint8Array, value: Uint8Array, crc32c: Crc32c): number {
  return (crc32c(value) ^ crc32c(stored)) >>> 0;
}

function storedValue(stored: Uint8Array, value: Uint8Array, crc32c: Crc32c): Buffer {
  const bytes = Buffer.allocUnsafe(value.length + 4);
  bytes.set(value);
  bytes.writeUInt32LE(checkOf(stored, value, crc32c), value.length);
  return bytes;
}

function storedKey(key: KvKey): Buffer {
  const stored = Buffer.allocUnsafe(key.length + 1);
  stored[0] = 1;
  stored.write(key, 1, "latin1");
  return stored;
}

function encodeMarker(marker: Marker): Uint8Array {
  const { storeId, appliedIndex, batchNumber, isComplete } = marker;
  return new ByteWriter()
    .u8(markerVersion)
    .latin1(storeId)
    .i64(appliedIndex)
    .i64(batchNumber)
    .u8(isComplete ? 1 : 0)
    .take();
}

function decodeMarker(bytes: Uint8Array, directory: string): Marker {
  const reader = new ByteReader(bytes, `the marker of ${directory}`);
  const version = reader.u8();
  if (version !== markerVersion) {
    throw new CfsError(
      "NOT_SUPPORTED",
      `the state store ${directory} has format ${version}, this cfs reads ${markerVersion}; start the newer cfs`,
    );
  }
  const marker = { storeId: reader.latin1(), appliedIndex: reader.i64(), batchNumber: reader.i64(), isComplete: reader.u8() === 1 };
  reader.end();
  return marker;
}

/** LevelDB's codes as ours, most telling first: the code stands in the error or in its cause. */
const codes: readonly (readonly [level: string, code: ErrorCode, says: string])[] = [
  ["LEVEL_LOCKED", "BUSY", "another process has it open"],
  ["LEVEL_CORRUPTION", "CORRUPT", "it is damaged"],
  ["LEVEL_DATABASE_NOT_OPEN", "BAD_HANDLE", "it is closed"],
];

/** The one place that knows LevelDB's errors. */
function fromLevelError(reason: unknown, what: string): CfsError {
  const found = new Set<unknown>();
  let message = String(reason);
  for (let at: unknown = reason; at instanceof Error; at = at.cause) {
    if (at instanceof CfsError) return at;
    if ("code" in at) found.add(at.code);
    message = at.message;
  }
  for (const [level, code, says] of codes)
    if (found.has(level)) return new CfsError(code, `cannot ${what}: ${says} (${message})`, { cause: reason });
  return new CfsError(/No space left/.test(message) ? "NO_SPACE" : "IO", `cannot ${what}: ${message}`, { cause: reason });
}
