/**
 * Reading: from a range of a file to its bytes, wherever they are: inline, in the journal, in segments, nowhere (zeros).
 *
 * The pieces are looked up in one turn, so they are of one moment; the bytes come later. What is looked up may meanwhile be moved by the packer
 * (then the old place is still good for the grace time) or its journal file may be recycled (then its record no longer verifies, and the
 * lookup is made again).
 */
import { CfsError } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ChunkRecord, ExtentSource, KvState, Segment } from "@cfs/metadata";
import type { BufferPool, Journal, SegmentPacker, SegmentStore } from "@cfs/storage";

export interface FileRange {
  readonly lengthBytes: number;
  readonly parts: readonly Uint8Array[];
  release(): void;
}

export interface ReadPathParts {
  readonly state: KvState;
  readonly store: SegmentStore;
  readonly packer: SegmentPacker;
  readonly pool: BufferPool;
  readonly journal: Journal;
}

const zeroBytes = 1 << 20;
const zeros = Buffer.alloc(zeroBytes);
const nothing = (): void => undefined;
/** A lookup that lost a race with the packer is made again this often. */
const attemptsMax = 5;

/** Pieces that one access to the store serves. */
interface Run {
  readonly lengthBytes: number;
  readonly source: ExtentSource | { readonly kind: "hole" };
  /** For plain chunks side by side: the range of the segment's payload. */
  readonly range: {
    readonly segment: Segment;
    readonly beginBytes: number;
    readonly views: { beginBytes: number; lengthBytes: number }[];
  } | null;
}

export class ReadPath {
  readonly #parts: ReadPathParts;

  constructor(parts: ReadPathParts) {
    this.#parts = parts;
  }

  /** Bytes [offset, offset+length) of the file, cut at its size. */
  async read(ino: InodeNumber, offsetBytes: number, lengthBytes: number): Promise<FileRange> {
    for (let attempt = 1; ; attempt++) {
      const runs = this.#lookUp(ino, offsetBytes, lengthBytes);
      if (!Array.isArray(runs)) return runs;
      try {
        return await this.#fetch(runs);
      } catch (reason) {
        const error = CfsError.from(reason);
        if (attempt >= attemptsMax || error.code === "NO_MEMORY") {
          throw new CfsError(error.code, `inode ${ino}, bytes ${offsetBytes} to ${offsetBytes + lengthBytes}: ${error.message}`, {
            cause: error,
          });
        }
      }
    }
  }

  /** A range of one chunk, whoever points at it. */
  readChunk(source: ExtentSource & { readonly kind: "chunk" }, lengthBytes: number): Promise<FileRange> {
    return this.#fetch(this.#runs([{ offsetBytes: 0, lengthBytes, source }]));
  }

  #lookUp(ino: InodeNumber, offsetBytes: number, lengthBytes: number): FileRange | Run[] {
    const { state } = this.#parts;
    const inode = state.inode(ino);
    if (!inode) throw new CfsError("STALE_HANDLE", `inode ${ino} is not there any more`);
    const length = Math.min(lengthBytes, inode.sizeBytes - offsetBytes);
    if (length <= 0) return { lengthBytes: 0, parts: [], release: nothing };
    if (inode.inlineBytes > 0) return inlineRange(state.inline(inode) as Uint8Array, offsetBytes, length);
    return this.#runs(locate(state.content, inode, offsetBytes, length));
  }

  #runs(pieces: ReturnType<typeof locate>): Run[] {
    const runs: Run[] = [];
    for (const { lengthBytes, source } of pieces) {
      if (source.kind !== "chunk") {
        runs.push({ lengthBytes, source, range: null });
        continue;
      }
      const { segment, chunk } = this.#chunk(source);
      if (chunk.codec !== 0) {
        runs.push({ lengthBytes, source, range: null });
        continue;
      }
      const beginBytes = chunk.storedOffsetBytes + source.rawOffsetBytes;
      const last = runs.at(-1);
      const end = last?.range ? lastEnd(last.range.views) : 0;
      // Chunks lie side by side but for alignment: a gap of less than a block is read along.
      if (last?.range && last.range.segment === segment && beginBytes >= end && beginBytes - end < 4096) {
        last.range.views.push({ beginBytes, lengthBytes });
        runs[runs.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
      } else {
        runs.push({ lengthBytes, source, range: { segment, beginBytes, views: [{ beginBytes, lengthBytes }] } });
      }
    }
    return runs;
  }

  #chunk(source: ExtentSource & { kind: "chunk" }): { segment: Segment; chunk: ChunkRecord } {
    const segment = this.#parts.state.content.segment(source.segment);
    const chunk = segment?.chunks[source.chunkIndex];
    if (!segment || !chunk)
      throw new CfsError("CORRUPT", `segment ${source.segment} chunk ${source.chunkIndex} is referenced but unknown; run: cfs fsck`);
    return { segment, chunk };
  }

  async #fetch(runs: readonly Run[]): Promise<FileRange> {
    if (runs.length === 1) return this.#fetchRun(runs[0] as Run);
    const results = await Promise.allSettled(runs.map((run) => this.#fetchRun(run)));
    const ranges: FileRange[] = [];
    let failed: PromiseRejectedResult | null = null;
    for (const result of results) {
      if (result.status === "fulfilled") ranges.push(result.value);
      else failed ??= result;
    }
    const release = (): void => {
      for (const range of ranges) range.release();
    };
    if (failed) {
      release();
      throw CfsError.from(failed.reason);
    }
    let lengthBytes = 0;
    for (const range of ranges) lengthBytes += range.lengthBytes;
    return { lengthBytes, parts: ranges.flatMap((range) => range.parts), release };
  }

  #fetchRun(run: Run): Promise<FileRange> {
    if (run.range) return this.#fetchPlain(run.range, run.lengthBytes);
    const { source, lengthBytes } = run;
    switch (source.kind) {
      case "hole":
      case "reserved":
        return Promise.resolve({ lengthBytes, parts: zeroParts(lengthBytes), release: nothing });
      case "journal":
        return this.#fetchJournal(source, lengthBytes);
      default:
        return this.#fetchPacked(source, lengthBytes);
    }
  }

  async #fetchPlain(range: NonNullable<Run["range"]>, lengthBytes: number): Promise<FileRange> {
    const end = lastEnd(range.views);
    const stored = await this.#parts.store.read(range.segment, range.beginBytes, end - range.beginBytes);
    const whole = end - range.beginBytes === lengthBytes;
    const parts = whole
      ? stored.parts
      : range.views.flatMap((view) => cut(stored.parts, view.beginBytes - range.beginBytes, view.lengthBytes));
    return { lengthBytes, parts, release: () => stored.release() };
  }

  async #fetchJournal(source: ExtentSource & { kind: "journal" }, lengthBytes: number): Promise<FileRange> {
    const { fileId, recordOffsetBytes, payloadOffsetBytes } = source;
    const payload = await this.#parts.journal.readPayload(fileId, recordOffsetBytes);
    return { lengthBytes, parts: [payload.subarray(payloadOffsetBytes, payloadOffsetBytes + lengthBytes)], release: nothing };
  }

  /** A compressed chunk is read and unpacked as a whole. */
  async #fetchPacked(source: ExtentSource & { kind: "chunk" }, lengthBytes: number): Promise<FileRange> {
    const { pool, packer, store } = this.#parts;
    const { segment, chunk } = this.#chunk(source);
    const stored = await store.read(segment, chunk.storedOffsetBytes, chunk.storedBytes);
    const raw = await pool.takeOrWait(chunk.rawBytes);
    try {
      packer.unpackChunk(chunk.codec, stored.parts, raw.subarray(0, chunk.rawBytes));
    } catch (reason) {
      pool.give(raw);
      throw reason;
    } finally {
      stored.release();
    }
    return {
      lengthBytes,
      parts: [raw.subarray(source.rawOffsetBytes, source.rawOffsetBytes + lengthBytes)],
      release: () => pool.give(raw),
    };
  }
}

function inlineRange(inline: Uint8Array, offsetBytes: number, lengthBytes: number): FileRange {
  const data = offsetBytes < inline.length ? [inline.subarray(offsetBytes, Math.min(inline.length, offsetBytes + lengthBytes))] : [];
  const tail = lengthBytes - (data[0]?.length ?? 0);
  return { lengthBytes, parts: tail > 0 ? [...data, ...zeroParts(tail)] : data, release: nothing };
}

function zeroParts(lengthBytes: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let left = lengthBytes; left > 0; left -= zeroBytes) parts.push(zeros.subarray(0, Math.min(left, zeroBytes)));
  return parts;
}

function lastEnd(views: readonly { beginBytes: number; lengthBytes: number }[]): number {
  const last = views.at(-1);
  return last ? last.beginBytes + last.lengthBytes : 0;
}

/** The part [begin, begin+length) of a list of views. */
function cut(parts: readonly Uint8Array[], beginBytes: number, lengthBytes: number): Uint8Array[] {
  const views: Uint8Array[] = [];
  let at = 0;
  for (const part of parts) {
    const begin = Math.max(beginBytes - at, 0);
    const end = Math.min(beginBytes + lengthBytes - at, part.length);
    if (begin < end) views.push(part.subarray(begin, end));
    at += part.length;
  }
  return views;
}
