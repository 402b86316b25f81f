/**
 * Binary form of what says where bytes are: the values of keys E, M, S and J.
 *
 * Every record begins with its version: 1, a segment 3. v = varint.
 *
 *     source   | 0 | fileId v | recordOffset v | payloadOffset v |      journal
 *              | 1 | segment v | chunkIndex v | rawOffset v |           chunk
 *              | 2 |                                                    reserved
 *     region   | count v | gap to the extent before v, length v, source | …
 *     runs     | count v | gap to the run before v, length v | …
 *     segment  | id v | generation v | k 1 | m 1 | fragmentBytes v | segmentBytes v | k+m places | chunk count v | chunks | liveBytes v |
 *              | isShared 1, from version 3 on |
 *     place    | drive v | container v | offset/4096 v |
 *     chunk    | storedOffset v | storedBytes v | rawBytes v | codec 1 | refs v | extentBytes v, not in version 1 |
 *     journal  | fileId v | liveExtents v | liveBytes v |
 *
 * Invariant: decoders give well-formed records (sorted, disjoint, inside their region) or throw CORRUPT.
 * Memory is bounded by the input: nothing is allocated for a count before its elements are read.
 * A segment before version 3 may be shared. One of version 1 counts each reference as one to the whole chunk: as many live bytes as it says, until fsck has counted them.
 */
import { ByteReader, ByteWriter, assert } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import { corrupt } from "./record-format.ts";
import { regionBytes } from "./records.ts";
import type {
  ChunkRecord,
  ChunkShape,
  Extent,
  ExtentSource,
  FragmentPlace,
  JournalFileUse,
  Region,
  RegionRuns,
  Segment,
} from "./records.ts";

const version = 1;
const segmentVersion = 3;
const placeUnitBytes = 4096;
const shared = new ByteWriter(8192);
const reserved: ExtentSource = Object.freeze({ kind: "reserved" });

function begin(bytes: Uint8Array, what: string): ByteReader {
  const reader = new ByteReader(bytes, what);
  if (reader.u8() !== version) corrupt(`${what} has an unknown version`);
  return reader;
}

export function writeSource(writer: ByteWriter, source: ExtentSource): void {
  if (source.kind === "journal") writer.u8(0).varint(source.fileId).varint(source.recordOffsetBytes).varint(source.payloadOffsetBytes);
  else if (source.kind === "chunk") writer.u8(1).varint(source.segment).varint(source.chunkIndex).varint(source.rawOffsetBytes);
  else writer.u8(2);
}

export function readSegmentId(reader: ByteReader): SegmentId {
  const id = reader.varint();
  if (id === 0) corrupt("a segment number is 0");
  return id as SegmentId;
}

export function readSource(reader: ByteReader): ExtentSource {
  const kind = reader.u8();
  if (kind === 0) {
    const fileId = reader.varint();
    if (fileId > 0xffff_ffff) corrupt("a journal file number is past 32 bits");
    return { kind: "journal", fileId, recordOffsetBytes: reader.varint(), payloadOffsetBytes: reader.varint() };
  }
  if (kind === 1) return { kind: "chunk", segment: readSegmentId(reader), chunkIndex: reader.varint(), rawOffsetBytes: reader.varint() };
  if (kind === 2) return reserved;
  return corrupt("the source of an extent is of unknown kind");
}

export function encodeRegion(region: Region): Uint8Array {
  shared.u8(version).varint(region.extents.length);
  let end = 0;
  for (const extent of region.extents) {
    shared.varint(extent.offsetBytes - end).varint(extent.lengthBytes);
    writeSource(shared, extent.source);
    end = extent.offsetBytes + extent.lengthBytes;
  }
  return shared.take();
}

export function decodeRegion(bytes: Uint8Array): Region {
  const reader = begin(bytes, "a region record");
  const extents: Extent[] = [];
  let end = 0;
  for (let count = reader.varint(); count > 0; count--) {
    const offsetBytes = end + reader.varint();
    const lengthBytes = reader.varint();
    end = offsetBytes + lengthBytes;
    if (lengthBytes === 0 || end > regionBytes) corrupt(`an extent of ${lengthBytes} bytes at ${offsetBytes} does not fit its region`);
    extents.push({ offsetBytes, lengthBytes, source: readSource(reader) });
  }
  reader.end();
  return { extents };
}

export function encodeRuns(record: RegionRuns): Uint8Array {
  shared.u8(version).varint(record.runs.length);
  let last = 0;
  for (const run of record.runs) {
    shared.varint(run.begin - last).varint(run.end - run.begin);
    last = run.end;
  }
  return shared.take();
}

export function decodeRuns(bytes: Uint8Array): RegionRuns {
  const reader = begin(bytes, "a region run record");
  const runs: { begin: number; end: number }[] = [];
  let last = 0;
  for (let count = reader.varint(); count > 0; count--) {
    const gap = reader.varint();
    const length = reader.varint();
    if (length === 0 || (gap === 0 && runs.length > 0)) corrupt("runs of regions are empty or touch");
    const run = { begin: last + gap, end: last + gap + length };
    last = run.end;
    if (last > 0x1_0000_0000) corrupt("a region number is past 32 bits");
    runs.push(run);
  }
  reader.end();
  return { runs };
}

export function writePlace(writer: ByteWriter, place: FragmentPlace): void {
  assert(place.offsetBytes % placeUnitBytes === 0, "a fragment lies at a multiple of 4096");
  writer
    .varint(place.drive)
    .varint(place.container)
    .varint(place.offsetBytes / placeUnitBytes);
}

export function readPlace(reader: ByteReader): FragmentPlace {
  const drive = reader.varint();
  const container = reader.varint();
  const offsetBytes = reader.varint() * placeUnitBytes;
  if (!Number.isSafeInteger(offsetBytes)) corrupt("a fragment lies past 2^53");
  return { drive, container, offsetBytes };
}

export function writeChunkShape(writer: ByteWriter, chunk: ChunkShape): ByteWriter {
  return writer.varint(chunk.storedOffsetBytes).varint(chunk.storedBytes).varint(chunk.rawBytes).u8(chunk.codec);
}

export function readChunkShape(reader: ByteReader): ChunkShape {
  return { storedOffsetBytes: reader.varint(), storedBytes: reader.varint(), rawBytes: reader.varint(), codec: reader.u8() };
}

function readChunk(reader: ByteReader, found: number): ChunkRecord {
  const shape = readChunkShape(reader);
  const refs = reader.varint();
  return { ...shape, refs, extentBytes: found === 1 ? refs * shape.rawBytes : reader.varint() };
}

export function readList<T>(reader: ByteReader, count: number, read: (reader: ByteReader) => T): T[] {
  const list: T[] = [];
  for (let index = 0; index < count; index++) list.push(read(reader));
  return list;
}

function readMark(reader: ByteReader): boolean {
  const mark = reader.u8();
  return mark > 1 ? corrupt("a mark of a segment is neither 0 nor 1") : mark === 1;
}

export function encodeSegment(segment: Segment): Uint8Array {
  shared.u8(segmentVersion).varint(segment.id).varint(segment.generation).u8(segment.k).u8(segment.m);
  shared.varint(segment.fragmentBytes).varint(segment.segmentBytes);
  for (const place of segment.places) writePlace(shared, place);
  shared.varint(segment.chunks.length);
  for (const chunk of segment.chunks) writeChunkShape(shared, chunk).varint(chunk.refs).varint(chunk.extentBytes);
  return shared
    .varint(segment.liveBytes)
    .u8(segment.isShared ? 1 : 0)
    .take();
}

export function decodeSegment(bytes: Uint8Array): Segment {
  const reader = new ByteReader(bytes, "a segment record");
  const found = reader.u8();
  if (found < 1 || found > segmentVersion) corrupt("a segment record has an unknown version");
  const id = readSegmentId(reader);
  const generation = reader.varint();
  const k = reader.u8();
  const m = reader.u8();
  const fragmentBytes = reader.varint();
  const segmentBytes = reader.varint();
  const places = readList(reader, k + m, readPlace);
  const chunks = readList(reader, reader.varint(), () => readChunk(reader, found));
  const liveBytes = reader.varint();
  const isShared = found < 3 || readMark(reader);
  reader.end();
  return { id, generation, k, m, fragmentBytes, segmentBytes, places, chunks, liveBytes, isShared };
}

/** The size that the file is to have in the end. */
export function encodeTruncation(sizeBytes: number): Uint8Array {
  return shared.u8(version).varint(sizeBytes).take();
}

export function decodeTruncation(bytes: Uint8Array): number {
  const reader = begin(bytes, "a truncation record");
  const sizeBytes = reader.varint();
  reader.end();
  return sizeBytes;
}

export function encodeJournalFile(use: JournalFileUse): Uint8Array {
  return shared.u8(version).varint(use.fileId).varint(use.liveExtents).varint(use.liveBytes).take();
}

export function decodeJournalFile(bytes: Uint8Array): JournalFileUse {
  const reader = begin(bytes, "a journal use record");
  const use = { fileId: reader.varint(), liveExtents: reader.varint(), liveBytes: reader.varint() };
  reader.end();
  return use;
}
