/**
 * Reads a copy of a journal file from its first frame to its end and finds every whole record, also behind damage.
 *
 * A scan never trusts a length that was not verified: behind something that is no record it goes on at the next block, because frames
 * begin there. What it finds later does not prolong the log by itself; it tells a torn tail from lost data (journal-recovery.ts).
 */
import type { Io, IoFile } from "../device/io.ts";
import { readFully } from "./journal-file.ts";
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

export interface CopyScan {
  /** Places and indexes of whole records, both ascending. */
  readonly offsets: number[];
  readonly indexes: number[];
  /** Bytes each takes in its frame. */
  readonly spans: number[];
  readonly payloads: number[];
  /** Highest durable index that any of them claims. */
  durableIndex: number;
  /** Windows that the drive could not read. */
  unreadableCount: number;
}

export interface ScanParts {
  readonly io: Io;
  readonly crc32c: Crc32c;
  /** Page-aligned, at least the longest record and a block; it bounds what is read at once. */
  readonly window: Buffer;
}

export async function scanCopy(parts: ScanParts, file: IoFile, header: FileHeader, indexMax: number): Promise<CopyScan> {
  const scan: CopyScan = { offsets: [], indexes: [], spans: [], payloads: [], durableIndex: 0, unreadableCount: 0 };
  for (let at = blockBytes; at + recordHeaderBytes <= header.sizeBytes;) {
    const begin = Math.floor(at / blockBytes) * blockBytes;
    const window = parts.window.subarray(0, Math.min(parts.window.length, header.sizeBytes - begin));
    const isRead = await readFully(parts.io, file, window, begin).then(
      () => true,
      () => false,
    );
    if (!isRead) {
      // One bad sector must not hide the rest of the window: go through it block by block.
      scan.unreadableCount++;
      await readBlocks(parts.io, file, window, begin);
    }
    at = scanWindow(parts, window, begin, at, header, indexMax, scan);
  }
  return scan;
}

async function readBlocks(io: Io, file: IoFile, window: Buffer, begin: number): Promise<void> {
  for (let at = 0; at < window.length; at += blockBytes) {
    const block = window.subarray(at, at + blockBytes);
    await readFully(io, file, block, begin + at).catch(() => block.fill(0));
  }
}

/** Takes what the window holds; returns the file offset from which the next window must go on. */
function scanWindow(
  parts: ScanParts,
  window: Buffer,
  begin: number,
  from: number,
  header: FileHeader,
  indexMax: number,
  scan: CopyScan,
): number {
  let at = from - begin;
  while (at + recordHeaderBytes <= window.length) {
    const need = recordNeedBytes(window, at);
    const isCut = need !== 0 && at + need > window.length;
    const info = isCut ? null : decodeRecord(window, at, header, begin + at, parts.crc32c);
    const span = info === null ? need : recordSpanBytes(info.headBytes, info.payloadBytes);
    if (span !== 0 && at + span > window.length && at >= blockBytes) return begin + at;
    if (info === null || at + span > window.length) {
      at = roundUp(at + 1, blockBytes);
      continue;
    }
    take(scan, info, span, window.subarray(at + need, at + need + info.payloadBytes), indexMax, parts.crc32c);
    at += span;
  }
  return begin + roundUp(at, blockBytes);
}

function take(scan: CopyScan, info: RecordInfo, span: number, payload: Uint8Array, indexMax: number, crc32c: Crc32c): void {
  const previous = scan.indexes.at(-1) ?? 0;
  if (info.index <= previous || info.index > indexMax || !payloadIsWhole(info, payload, crc32c)) return;
  scan.offsets.push(info.offsetBytes);
  scan.indexes.push(info.index);
  scan.spans.push(span);
  scan.payloads.push(info.payloadBytes);
  if (info.durableIndex > scan.durableIndex) scan.durableIndex = info.durableIndex;
}
