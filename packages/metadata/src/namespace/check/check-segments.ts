/** References of chunks and the bytes they point at recounted from all extents, live bytes, the list of candidates, and the sums over segments. */
import type { SegmentId } from "@cfs/core";
import { decodeRegion, decodeSegment } from "../content-format.ts";
import { isCandidate, liveBytesOf } from "../content/accounting.ts";
import { fragmentHeaderBytes } from "../content/segments.ts";
import { candidateKey, parseNumberKey, parseRegionKey, segmentKey } from "../keys.ts";
import { regionBytes } from "../records.ts";
import type { Segment } from "../records.ts";
import type { ChunkDelta } from "../mend.ts";
import type { CheckRun, ProblemMend } from "./check.ts";
import { decodeOr, pagesOf } from "./stream.ts";

interface Counted {
  readonly segment: Segment;
  readonly refs: Float64Array;
  readonly extentBytes: Float64Array;
  /** The file of each chunk's first extent, 0 before one was found, and where in it the chunk begins. */
  readonly homeInos: Float64Array;
  readonly homeBegins: Float64Array;
  /** Chunks that lie elsewhere too. */
  shared: number;
}

/** Segments [first, end) of one pass with the references counted so far. */
interface Batch {
  readonly first: number;
  end: number;
  readonly segments: Map<number, Counted>;
  chunks: number;
}

function uncounted(segment: Segment): Counted {
  const perChunk = (): Float64Array => new Float64Array(segment.chunks.length);
  return { segment, refs: perChunk(), extentBytes: perChunk(), homeInos: perChunk(), homeBegins: perChunk(), shared: 0 };
}

async function countReferences(run: CheckRun, batch: Batch): Promise<void> {
  for await (const page of pagesOf(run.kv, "E")) {
    for (const entry of page) {
      const { ino, index } = parseRegionKey(entry.key);
      for (const { offsetBytes, source, lengthBytes } of decodeOr(run, entry, decodeRegion)?.extents ?? []) {
        if (source.kind !== "chunk" || source.segment < batch.first || source.segment >= batch.end) continue;
        const found = batch.segments.get(source.segment);
        const chunk = found?.segment.chunks[source.chunkIndex];
        if (found === undefined || chunk === undefined || source.rawOffsetBytes + lengthBytes > chunk.rawBytes) {
          run.report(
            "region",
            `${ino}/${index}`,
            `an extent points at segment ${source.segment}, chunk ${source.chunkIndex}, which is not there or too short`,
          );
          continue;
        }
        (found.refs[source.chunkIndex] as number) += 1;
        (found.extentBytes[source.chunkIndex] as number) += lengthBytes;
        noteHome(found, source.chunkIndex, ino, index * regionBytes + offsetBytes - source.rawOffsetBytes);
      }
    }
  }
}

function noteHome(counted: Counted, chunkIndex: number, ino: number, beginBytes: number): void {
  const { homeInos, homeBegins } = counted;
  if (homeInos[chunkIndex] === 0) {
    homeInos[chunkIndex] = ino;
    homeBegins[chunkIndex] = beginBytes;
  } else if (homeInos[chunkIndex] !== ino || homeBegins[chunkIndex] !== beginBytes) counted.shared++;
}

function differences(segment: Segment, counted: Float64Array, of: "refs" | "extentBytes"): ChunkDelta[] {
  return segment.chunks.flatMap((chunk, chunkIndex) => {
    const delta = (counted[chunkIndex] as number) - chunk[of];
    return delta === 0 ? [] : [{ chunkIndex, delta }];
  });
}

function compare(run: CheckRun, { segment, refs, extentBytes, shared }: Counted): void {
  let live = 0;
  let stored = 0;
  segment.chunks.forEach((chunk, index) => {
    stored += chunk.storedBytes;
    live += liveBytesOf({ ...chunk, refs: refs[index] as number, extentBytes: extentBytes[index] as number });
  });
  const { id } = segment;
  const report = (message: string, ...mends: readonly ProblemMend[]): void => run.report("segment", id, message, ...mends);
  const wrongRefs = differences(segment, refs, "refs");
  const wrongBytes = differences(segment, extentBytes, "extentBytes");
  if (wrongRefs.length > 0)
    report(`${wrongRefs.length} chunks have wrong reference counts`, { kind: "segment", segment: id, refs: wrongRefs });
  if (wrongBytes.length > 0)
    report(`${wrongBytes.length} chunks count bytes that no extent points at, or miss some`, {
      kind: "extentBytes",
      segment: id,
      bytes: wrongBytes,
    });
  const judgedAnew = { kind: "segment", segment: id, refs: [] } as const;
  if (segment.liveBytes !== live) report(`counts ${segment.liveBytes} live bytes and has ${live}`, judgedAnew);
  if (shared > 0 && !segment.isShared) report(`${shared} extents share its chunks and it is not marked as shared`, judgedAnew);
  const shouldBeListed = isCandidate(live, stored);
  const isListed = run.kv.get(candidateKey(segment.id)) !== null;
  if (isListed !== shouldBeListed)
    report(shouldBeListed ? "is dead or thin but not listed" : "is listed as dead or thin but is not", judgedAnew);
  if (id >= run.superblock.nextSegment)
    report("its number was never given out", { kind: "counters", nextInodeCount: 0, nextSegment: id + 1 });
  run.noted.segmentLiveBytes += segment.liveBytes;
  run.usage.segments += 1;
  run.usage.segmentLiveBytes += live;
  run.usage.segmentStoredBytes += stored;
  run.usage.fragmentBytes += (segment.k + segment.m) * (segment.fragmentBytes + fragmentHeaderBytes);
}

async function finishBatch(run: CheckRun, batch: Batch): Promise<void> {
  await countReferences(run, batch);
  for (const counted of batch.segments.values()) compare(run, counted);
}

export async function checkSegments(run: CheckRun): Promise<void> {
  let batch: Batch = { first: 0, end: Infinity, segments: new Map(), chunks: 0 };
  for await (const page of pagesOf(run.kv, "S")) {
    for (const entry of page) {
      const segment = decodeOr(run, entry, decodeSegment);
      if (segment === null) continue;
      if (batch.chunks > 0 && batch.chunks + segment.chunks.length > run.limits.chunksPerPass) {
        batch.end = segment.id;
        await finishBatch(run, batch);
        batch = { first: segment.id, end: Infinity, segments: new Map(), chunks: 0 };
      }
      batch.segments.set(segment.id, uncounted(segment));
      batch.chunks += segment.chunks.length;
    }
  }
  await finishBatch(run, batch);
  for await (const page of pagesOf(run.kv, "G")) {
    for (const entry of page) {
      const id = parseNumberKey(entry.key) as SegmentId;
      if (run.kv.get(segmentKey(id)) === null)
        run.report("segment", id, "is listed as dead or thin but does not exist", { kind: "segment", segment: id, refs: [] });
    }
  }
}
