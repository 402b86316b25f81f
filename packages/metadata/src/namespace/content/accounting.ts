/**
 * What one command changes in the counters: references of chunks, live bytes of segments and journal files, sums of usage.
 *
 * Invariant: after `finish` every counter equals a recount from scratch. Every extent record that comes into a region is acquired
 * and every one that leaves is released, through the same Accounts; what is merely cut is released whole and acquired in parts.
 * A segment is a candidate for the compactor while less than half of its stored bytes are live, or none.
 * Of a chunk that extents point at in part, that part is live: so overwrites make a segment thin although each of its chunks is still needed.
 *
 * Counters that are wrong already, by damage or a fault, stop nobody: what contradicts itself is noted for fsck, and stays on the safe side. References and the
 * bytes behind them are two witnesses; only when both say that nothing is left is something given back.
 */
import type { SegmentId } from "@cfs/core";
import { lessen, sums } from "../counters.ts";
import type { ChunkRecord, ExtentSource, Inode, Segment, Usage } from "../records.ts";
import type { ContentState } from "../state.ts";

interface JournalDelta {
  extents: number;
  bytes: number;
}

export function storedBytesOf(segment: Segment): number {
  let sum = 0;
  for (const chunk of segment.chunks) sum += chunk.storedBytes;
  return sum;
}

/**
 * What the chunk stores of the bytes that extents point at. Parts that are shared count as often, up to the whole chunk: never too few.
 * At least 1 while anything points there, so that a segment without live bytes is one without references.
 */
export function liveBytesOf({ refs, extentBytes, storedBytes, rawBytes }: ChunkRecord): number {
  if (refs === 0) return 0;
  return extentBytes >= rawBytes ? storedBytes : Math.min(storedBytes, Math.max(1, Math.ceil((storedBytes * extentBytes) / rawBytes)));
}

export function isCandidate(liveBytes: number, storedBytes: number): boolean {
  return liveBytes === 0 || liveBytes * 2 < storedBytes;
}

export class Accounts {
  readonly #content: ContentState;
  /** Segments touched, with their live bytes before. */
  #segments: Map<SegmentId, { readonly segment: Segment; readonly liveBefore: number }> | null = null;
  #journals: Map<number, JournalDelta> | null = null;
  #last: { readonly segment: Segment; readonly liveBefore: number } | null = null;
  #allocatedBytes = 0;
  #reservedBytes = 0;
  #journalBytes = 0;

  constructor(content: ContentState) {
    this.#content = content;
  }

  acquire(source: ExtentSource, lengthBytes: number): void {
    this.#count(source, lengthBytes, 1);
  }

  /**
   * The extent of a file that points there gets a second one beside it, so the segment's table does not tell all of them any more. A chunk that counts
   * nothing although that extent is there counts it from now on: what comes alive again cannot die before both are gone.
   */
  share(source: ExtentSource, lengthBytes: number): void {
    if (source.kind !== "chunk") return;
    const segment = this.#segment(source.segment);
    if (segment === null) return;
    segment.isShared = true;
    if (segment.chunks[source.chunkIndex]?.refs !== 0) return;
    this.#content.noteDamage(`chunk ${source.chunkIndex} of segment ${source.segment} counted no references although it had some`);
    this.#reference(source.segment, source.chunkIndex, 1, lengthBytes);
  }

  release(source: ExtentSource, lengthBytes: number): void {
    this.#count(source, lengthBytes, -1);
  }

  #count(source: ExtentSource, lengthBytes: number, sign: 1 | -1): void {
    const bytes = sign * lengthBytes;
    this.#allocatedBytes += bytes;
    if (source.kind === "reserved") {
      this.#reservedBytes += bytes;
    } else if (source.kind === "journal") {
      this.#journalBytes += bytes;
      const delta = this.#journal(source.fileId);
      delta.extents += sign;
      delta.bytes += bytes;
    } else {
      this.#reference(source.segment, source.chunkIndex, sign, bytes);
    }
  }

  #journal(fileId: number): JournalDelta {
    this.#journals ??= new Map();
    let delta = this.#journals.get(fileId);
    if (delta === undefined) {
      delta = { extents: 0, bytes: 0 };
      this.#journals.set(fileId, delta);
    }
    return delta;
  }

  #segment(id: SegmentId): Segment | null {
    if (this.#last?.segment.id === id) return this.#last.segment;
    this.#segments ??= new Map();
    let touched = this.#segments.get(id);
    if (touched === undefined) {
      const segment = this.#content.segment(id);
      if (segment === null) return null;
      this.#content.setSegment(id, segment);
      touched = { segment, liveBefore: segment.liveBytes };
      this.#segments.set(id, touched);
    }
    this.#last = touched;
    return touched.segment;
  }

  #reference(id: SegmentId, chunkIndex: number, sign: 1 | -1, bytes: number): void {
    const segment = this.#segment(id);
    const chunk = segment?.chunks[chunkIndex];
    if (segment === null || chunk === undefined) {
      this.#content.noteDamage(`an extent points at chunk ${chunkIndex} of segment ${id}, which is not there`);
      return;
    }
    const liveBefore = liveBytesOf(chunk);
    const refs = chunk.refs + sign;
    chunk.extentBytes = Math.max(0, chunk.extentBytes + bytes);
    chunk.refs = chunk.extentBytes > 0 ? Math.max(1, refs) : Math.max(0, refs);
    if (chunk.refs !== refs) this.#content.noteDamage(`chunk ${chunkIndex} of segment ${id} counted fewer references than it had`);
    if (chunk.refs === 0) chunk.extentBytes = 0;
    segment.liveBytes = lessen(this.#content, segment.liveBytes, liveBefore - liveBytesOf(chunk), "the sum of live bytes of segment", id);
  }

  /** Writes the counters. `inode` owns the content that changed; null when its inode is gone or its allocation stays as it was. */
  finish(inode: Inode | null): void {
    const usage = this.#content.usage();
    this.#content.setUsage(usage);
    if (inode !== null) {
      inode.allocatedBytes = lessen(
        this.#content,
        inode.allocatedBytes,
        -this.#allocatedBytes,
        "the number of allocated bytes of inode",
        inode.ino,
      );
      this.#add(usage, "allocatedBytes", this.#allocatedBytes);
    }
    this.#add(usage, "reservedBytes", this.#reservedBytes);
    this.#add(usage, "journalLiveBytes", this.#journalBytes);
    for (const [fileId, delta] of this.#journals ?? []) this.#finishJournal(fileId, delta);
    for (const { segment, liveBefore } of this.#segments?.values() ?? []) {
      this.#add(usage, "segmentLiveBytes", segment.liveBytes - liveBefore);
      this.#list(segment, liveBefore);
    }
  }

  #add(usage: Usage, name: keyof Usage, bytes: number): void {
    usage[name] = lessen(this.#content, usage[name], -bytes, sums[name]);
  }

  #finishJournal(fileId: number, delta: JournalDelta): void {
    if (delta.extents === 0 && delta.bytes === 0) return;
    const use = this.#content.journalFile(fileId) ?? { fileId, liveExtents: 0, liveBytes: 0 };
    const liveBytes = Math.max(0, use.liveBytes + delta.bytes);
    const liveExtents = Math.max(liveBytes > 0 ? 1 : 0, use.liveExtents + delta.extents);
    if (liveExtents !== use.liveExtents + delta.extents || liveBytes !== use.liveBytes + delta.bytes)
      this.#content.noteDamage(`journal file ${fileId} counted fewer living extents than it had`);
    this.#content.setJournalFile(fileId, liveExtents === 0 ? null : { fileId, liveExtents, liveBytes });
  }

  #list(segment: Segment, liveBefore: number): void {
    if (segment.liveBytes === liveBefore) return;
    const storedBytes = storedBytesOf(segment);
    const isListed = isCandidate(segment.liveBytes, storedBytes);
    if (isListed !== isCandidate(liveBefore, storedBytes)) this.#content.setCandidate(segment.id, isListed);
  }
}
