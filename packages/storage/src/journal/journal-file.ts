/**
 * One file of the journal and its copies, one per drive: reading records from whichever copy is whole, and repairing the others.
 *
 * Invariant: a record is handed out only after header, head and payload were verified; a copy that is found wrong while another is right
 * is rewritten in place. Frames begin at block borders, so a repair of a finished frame never meets a write of a newer one.
 */
import { assert, CfsError } from "@cfs/core";

import type { Io, IoFile } from "../device/io.ts";
import type { DriveState } from "./journal-drives.ts";
import type { Crc32c, FileHeader, RecordInfo } from "./journal-format.ts";
import {
  blockBytes,
  decodeRecord,
  payloadIsWhole,
  recordHeaderBytes,
  recordNeedBytes,
  recordSpanBytes,
  roundUp,
} from "./journal-format.ts";

/** The parts that reading needs. */
export interface FileParts {
  readonly io: Io;
  readonly crc32c: Crc32c;
}

export interface FileCopy {
  readonly state: DriveState;
  readonly file: IoFile;
  readonly path: string;
}

export interface RecordBytes {
  readonly info: RecordInfo;
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
}

export interface FileCounts {
  /** Copies of records that were wrong or unreadable, and were rewritten from another. */
  repairedCount: number;
  /** Those that could not be rewritten. */
  unrepairedCount: number;
}

export class LogFile {
  header: FileHeader;
  /** Those that hold every record of the file. */
  readonly copies: FileCopy[] = [];
  /** 0 while there is no record. */
  firstIndex = 0;
  lastIndex = 0;
  /** Behind the last record's frame. */
  endBytes: number = blockBytes;
  /** Behind the last frame that was sent to the copies: a new copy must be given everything before it. */
  sentBytes: number = blockBytes;
  payloadBytes = 0;
  /** Reads that are under way; the file may not be retired before they end. */
  readerCount = 0;

  constructor(header: FileHeader) {
    this.header = header;
  }

  get fileId(): number {
    return this.header.fileId;
  }

  get driveIds(): string[] {
    return this.copies.map((copy) => copy.state.drive.driveId);
  }

  drop(state: DriveState): FileCopy | null {
    const at = this.copies.findIndex((copy) => copy.state === state);
    return at === -1 ? null : (this.copies.splice(at, 1)[0] as FileCopy);
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Fills as much of `target` as the file has; a short file reads as zeros behind its end. */
export async function readFully(io: Io, file: IoFile, target: Uint8Array, offsetBytes: number): Promise<void> {
  const got = await io.read(file, target, offsetBytes);
  if (got < target.length) target.fill(0, got);
}

/** Lends whole blocks of the pool, at least `sizeBytes`. */
export async function withPages<T>(io: Io, sizeBytes: number, use: (pages: Buffer) => Promise<T>): Promise<T> {
  const pages = await io.pool.takeOrWait(roundUp(sizeBytes, blockBytes));
  try {
    return await use(asBuffer(pages));
  } finally {
    io.pool.give(pages);
  }
}

/** One attempt with `sizeBytes` of the file at hand: the record, what it needs at least, or 0 when it is not whole. */
function judge(pages: Buffer, at: number, file: LogFile, offsetBytes: number, crc32c: Crc32c): RecordBytes | number {
  const need = recordNeedBytes(pages, at);
  if (need === 0) return 0;
  if (at + need > pages.length) return need;
  const info = decodeRecord(pages, at, file.header, offsetBytes, crc32c);
  if (info === null) return 0;
  const payloadAt = at + need;
  if (payloadAt + info.payloadBytes > pages.length) return need + info.payloadBytes;
  const payload = pages.subarray(payloadAt, payloadAt + info.payloadBytes);
  if (!payloadIsWhole(info, payload, crc32c)) return 0;
  return { info, head: Buffer.from(pages.subarray(at + recordHeaderBytes, payloadAt)), payload: Buffer.from(payload) };
}

/** The record at `offsetBytes` of one copy, or null when it is not whole there. `expectedBytes` sizes the first read. */
export async function readCopy(
  parts: FileParts,
  file: LogFile,
  copy: FileCopy,
  offsetBytes: number,
  expectedBytes: number,
): Promise<RecordBytes | null> {
  const begin = Math.floor(offsetBytes / blockBytes) * blockBytes;
  const at = offsetBytes - begin;
  const rest = file.header.sizeBytes - begin;
  let size = Math.min(rest, roundUp(at + recordHeaderBytes + expectedBytes, blockBytes));
  for (let attempt = 0; attempt < 3; attempt++) {
    const got = await withPages(parts.io, size, async (pages) => {
      await readFully(parts.io, copy.file, pages, begin);
      return judge(pages, at, file, offsetBytes, parts.crc32c);
    });
    if (typeof got !== "number") return got;
    size = roundUp(at + got, blockBytes);
    if (got === 0 || size > rest) return null;
  }
  return null;
}

/** Where a record begins, and how long its payload is likely to be. */
export interface WantedRecord {
  readonly offsetBytes: number;
  readonly payloadBytes: number;
}

/** What stands in front of a payload, beyond the header: the encoded command. Only sizes reads. */
const likelyHeadBytes = 256;

/**
 * The payloads of records of one copy, which are wanted in ascending order, read many at a time: neighbours come with one read of up to `pages.length`.
 * Null for those that are not whole there.
 */
export async function readRun(
  parts: FileParts,
  file: LogFile,
  copy: FileCopy,
  wanted: readonly WantedRecord[],
  pages: Buffer,
): Promise<(Uint8Array | null)[]> {
  const found: (Uint8Array | null)[] = [];
  let begin = 0;
  let window: Buffer = pages.subarray(0, 0);
  for (const [at, { offsetBytes }] of wanted.entries()) {
    let got = window.length === 0 ? 0 : judge(window, offsetBytes - begin, file, offsetBytes, parts.crc32c);
    if (typeof got === "number") {
      begin = Math.floor(offsetBytes / blockBytes) * blockBytes;
      window = pages.subarray(0, windowBytes(wanted, at, begin, Math.min(pages.length, file.header.sizeBytes - begin)));
      await readFully(parts.io, copy.file, window, begin);
      got = judge(window, offsetBytes - begin, file, offsetBytes, parts.crc32c);
    }
    found.push(typeof got === "number" ? null : got.payload);
  }
  return found;
}

/** As far as records are wanted, at most `limitBytes`. */
function windowBytes(wanted: readonly WantedRecord[], from: number, begin: number, limitBytes: number): number {
  let size = 0;
  for (let at = from; at < wanted.length; at++) {
    const { offsetBytes, payloadBytes } = wanted[at] as WantedRecord;
    const end = roundUp(offsetBytes - begin + recordHeaderBytes + likelyHeadBytes + payloadBytes, blockBytes);
    if (end > limitBytes) return size === 0 ? limitBytes : size;
    size = end;
  }
  return size;
}

/** Puts a verified record into a copy that lacks it, leaving its neighbours in the same blocks as they are. */
export async function repairCopy(
  parts: FileParts,
  copy: FileCopy,
  record: RecordBytes,
  encode: (target: Buffer, at: number) => number,
): Promise<void> {
  const { offsetBytes, headBytes, payloadBytes } = record.info;
  const begin = Math.floor(offsetBytes / blockBytes) * blockBytes;
  const span = recordSpanBytes(headBytes, payloadBytes);
  await withPages(parts.io, offsetBytes - begin + span, async (pages) => {
    await readFully(parts.io, copy.file, pages, begin).catch((reason: unknown) => {
      // A sector that cannot be read is written anew; what else lay in its blocks is lost in this copy only, and found by later reads.
      if (CfsError.from(reason).code !== "IO") throw reason;
      pages.fill(0);
    });
    const taken = encode(pages, offsetBytes - begin);
    assert(taken === span, "a repaired record takes the place of the old one");
    await parts.io.write(copy.file, [pages], begin);
  });
}
