/**
 * Finds out, from the scans of all copies, where the log ends, and what each copy lacks.
 *
 * The log is the longest run of records with consecutive indexes, each whole in at least one copy. Behind its end there may be more:
 * - nothing, or records that do not follow on: writes that were in flight, some of which arrived. Nobody was told, so they are void;
 * - a record that says an index behind the end was durable when it was written: then acknowledged data is gone, which is never
 *   passed over in silence. The error names the indexes and files; `acceptLoss` goes on without them.
 *
 * Pure but for the scans, which are made one file at a time. Indexes up to `appliedIndex` are in the state already: files that hold only such
 * are not scanned (their payloads are verified when they are read), and holes among such do not end the log.
 */
import { CfsError } from "@cfs/core";

import type { LogFile } from "./journal-file.ts";
import type { CopyScan } from "./journal-scan.ts";

/** Every whole record of a file that belongs to the log, in order. */
export interface FileChain {
  readonly file: LogFile;
  readonly offsets: number[];
  readonly indexes: number[];
  /** Position in file.copies of a copy where the record is whole. */
  readonly sources: number[];
  readonly spans: number[];
  /** By position in file.copies: positions in this chain that the copy lacks. */
  readonly missing: number[][];
  payloadBytes: number;
}

export interface Recovered {
  readonly lastIndex: number;
  readonly chains: readonly FileChain[];
  /** Whole records behind the end that were cut off, and what the drives could not read. */
  readonly voidCount: number;
  readonly unreadableCount: number;
  /** Acknowledged indexes that are gone, with acceptLoss; null when nothing is. */
  readonly loss: Loss | null;
}

export interface Loss {
  readonly beginIndex: number;
  /** The highest index that is known to have been durable. */
  readonly lastIndex: number;
  readonly files: string;
}

export interface RecoverOptions {
  readonly appliedIndex: number;
  readonly acceptLoss: boolean;
}

/** Per file, the highest index that counts: later epochs void what lies above their base. */
export function indexBounds(files: readonly LogFile[]): number[] {
  return files.map((file) => {
    let bound = Number.MAX_SAFE_INTEGER;
    for (const other of files) if (other.header.epoch > file.header.epoch) bound = Math.min(bound, other.header.epochBaseIndex);
    return bound;
  });
}

/** The first file that must be scanned: the last one that begins at or before the first index that is not applied. */
export function firstToScan(firstIndexes: readonly (number | null)[], appliedIndex: number): number {
  for (let position = firstIndexes.length - 1; position > 0; position--) {
    const first = firstIndexes[position] ?? null;
    if (first !== null && first <= appliedIndex + 1) return position;
  }
  return 0;
}

/** Walks the copies of one file in step; `position` remembers how far each was taken. */
class Walker {
  readonly scans: readonly CopyScan[];
  readonly positions: number[];

  constructor(scans: readonly CopyScan[]) {
    this.scans = scans;
    this.positions = scans.map(() => 0);
  }

  /** The lowest index at or above `expected` that any copy holds, or null. */
  next(expected: number): number | null {
    let lowest: number | null = null;
    this.scans.forEach((scan, copy) => {
      let at = this.positions[copy] as number;
      while (at < scan.indexes.length && (scan.indexes[at] as number) < expected) at++;
      this.positions[copy] = at;
      const index = scan.indexes[at];
      if (index !== undefined && (lowest === null || index < lowest)) lowest = index;
    });
    return lowest;
  }

  holds(copy: number, index: number): boolean {
    return (this.scans[copy] as CopyScan).indexes[this.positions[copy] as number] === index;
  }

  get restCount(): number {
    return Math.max(0, ...this.scans.map((scan, copy) => scan.indexes.length - (this.positions[copy] as number)));
  }
}

/** Appends the file's part of the log to a chain; `expected` is the index that must come next. Returns the one after the last taken. */
function follow(file: LogFile, walker: Walker, expected: number, appliedIndex: number): { chain: FileChain; expected: number } {
  const chain: FileChain = { file, offsets: [], indexes: [], sources: [], spans: [], missing: walker.scans.map(() => []), payloadBytes: 0 };
  for (;;) {
    const next = walker.next(expected);
    if (next === null || (next > expected && next > appliedIndex + 1)) return { chain, expected };
    const source = walker.scans.findIndex((_, copy) => walker.holds(copy, next));
    const scan = walker.scans[source] as CopyScan;
    const at = walker.positions[source] as number;
    walker.scans.forEach((_, copy) => {
      if (!walker.holds(copy, next)) (chain.missing[copy] as number[]).push(chain.offsets.length);
    });
    chain.offsets.push(scan.offsets[at] as number);
    chain.indexes.push(next);
    chain.sources.push(source);
    chain.spans.push(scan.spans[at] as number);
    chain.payloadBytes += scan.payloads[at] as number;
    expected = next + 1;
  }
}

/** `scan` gives the scans of a file's copies, in the order of file.copies. Files are in order of their ids, the first to scan first. */
export async function recover(
  files: readonly LogFile[],
  bounds: readonly number[],
  scan: (file: LogFile, indexMax: number) => Promise<readonly CopyScan[]>,
  options: RecoverOptions,
): Promise<Recovered> {
  const { appliedIndex } = options;
  const chains: FileChain[] = [];
  let expected: number | null = null;
  let durableIndex = 0;
  let voidCount = 0;
  let unreadableCount = 0;
  for (const [position, file] of files.entries()) {
    const scans = await scan(file, bounds[position] as number);
    for (const one of scans) {
      durableIndex = Math.max(durableIndex, one.durableIndex);
      unreadableCount += one.unreadableCount;
    }
    const walker = new Walker(scans);
    // Indexes that are applied need not be here; the log goes on from the first one that is here and the ones behind the applied index.
    expected ??= Math.min(walker.next(0) ?? appliedIndex + 1, appliedIndex + 1);
    const followed = follow(file, walker, expected, appliedIndex);
    expected = followed.expected;
    voidCount += walker.restCount;
    if (followed.chain.offsets.length > 0) chains.push(followed.chain);
  }
  const lastIndex = Math.max(appliedIndex, (expected ?? appliedIndex + 1) - 1);
  const loss = durableIndex > lastIndex ? { beginIndex: lastIndex + 1, lastIndex: durableIndex, files: namesOf(files) } : null;
  if (loss !== null && !options.acceptLoss) throw lossError(loss);
  return { lastIndex, chains, voidCount, unreadableCount, loss };
}

function namesOf(files: readonly LogFile[]): string {
  return files.map((file) => `${file.fileId} on ${file.driveIds.join(", ")}`).join("; ");
}

function lossError(loss: Loss): CfsError {
  const { beginIndex, lastIndex, files } = loss;
  const message =
    `the journal has lost acknowledged entries: ${beginIndex} is whole in no copy, and entries up to ${lastIndex} at least were durable; ` +
    `files looked through: ${files}. Start with every drive that is missing, or accept the loss of all entries from ${beginIndex} on`;
  return new CfsError("CORRUPT", message, { details: { beginIndex, lastIndex } });
}
