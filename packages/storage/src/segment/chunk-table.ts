/**
 * The chunk table at the end of a segment (drawn in native/crates/store/src/table.rs): what lies where, and whose bytes it is.
 *
 * The metadata knows the same of living chunks; this copy is read by the compactor, by scrub to name files, and by salvage without metadata.
 * Invariant: a table is believed only when its checksum and all its sums are right.
 */
import { ByteReader, CfsError } from "@cfs/core";
import type { Segment } from "@cfs/metadata";
import { crc32c } from "@cfs/native";
import type { SegmentStore } from "./segment-store.ts";

export interface TableChunk {
  readonly chunkIndex: number;
  /** What the packer was told about the piece that the chunk was cut from. */
  readonly origin: Uint8Array;
  /** Where the chunk begins in its piece. */
  readonly pieceOffsetBytes: number;
  readonly rawBytes: number;
  /** BLAKE3 of the raw bytes. */
  readonly hash: Uint8Array;
}

const headerBytes = 32;
const pieceBytes = 8;
const chunkBytes = 64;

/** `bytes` is the table and nothing else. The result holds copies. */
export function decodeChunkTable(bytes: Uint8Array): TableChunk[] {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < headerBytes + 4 || view.toString("latin1", 0, 4) !== "CFST") throw new CfsError("CORRUPT", "chunk table: no magic number");
  if (crc32c(bytes.subarray(0, bytes.length - 4)) !== view.readUInt32LE(bytes.length - 4)) throw new CfsError("CORRUPT", "chunk table: wrong checksum");
  const version = view.readUInt16LE(4);
  if (version !== 1 || view.readUInt16LE(6) !== chunkBytes) throw new CfsError("NOT_SUPPORTED", `chunk table of version ${version}; this program knows version 1`);
  const pieceCount = view.readUInt32LE(16);
  const chunkCount = view.readUInt32LE(20);
  const originBytes = view.readUInt32LE(24);
  if (headerBytes + pieceCount * pieceBytes + chunkCount * chunkBytes + originBytes + 4 !== bytes.length) throw new CfsError("CORRUPT", "chunk table: wrong length");
  const pieces = new ByteReader(bytes.subarray(headerBytes, headerBytes + pieceCount * pieceBytes), "chunk table");
  const chunksAt = headerBytes + pieceCount * pieceBytes;
  let originAt = chunksAt + chunkCount * chunkBytes;
  const chunks: TableChunk[] = [];
  for (let piece = 0; piece < pieceCount; piece++) {
    const rawBytes = pieces.u32();
    const count = pieces.u16();
    const length = pieces.u16();
    const origin = bytes.slice(originAt, originAt + length);
    originAt += length;
    let at = 0;
    for (let end = chunks.length + count; chunks.length < end; ) {
      const begin = chunksAt + chunks.length * chunkBytes;
      if (begin + chunkBytes > chunksAt + chunkCount * chunkBytes) throw new CfsError("CORRUPT", "chunk table: more chunks than it has room for");
      const chunkRaw = view.readUInt32LE(begin + 40);
      chunks.push({ chunkIndex: chunks.length, origin, pieceOffsetBytes: at, rawBytes: chunkRaw, hash: bytes.slice(begin, begin + 32) });
      at += chunkRaw;
    }
    if (at !== rawBytes) throw new CfsError("CORRUPT", `chunk table: the chunks of piece ${piece} hold ${at} of its ${rawBytes} bytes`);
  }
  if (chunks.length !== chunkCount) throw new CfsError("CORRUPT", "chunk table: fewer chunks in pieces than in all");
  return chunks;
}

/** Reads and checks the table of a stored segment. */
export async function readChunkTable(store: SegmentStore, segment: Segment): Promise<TableChunk[]> {
  const tableBytes = await store.tableBytes(segment);
  const range = await store.read(segment, segment.segmentBytes - tableBytes, tableBytes);
  try {
    return decodeChunkTable(Buffer.concat(range.parts));
  } finally {
    range.release();
  }
}
