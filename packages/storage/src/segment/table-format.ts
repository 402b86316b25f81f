/**
 * The chunk table at the end of a segment, in TypeScript: what lies where, and what it is of, readable without any metadata.
 * Native code writes it (native/crates/store/src/table.rs); salvage, scrubbing and compaction read it here.
 *
 * Invariant: a decoded table's chunks lie inside the segment's data, and its pieces' lengths are the sums of their chunks'.
 * Little-endian, version 1; a table is `tableBytes` long and ends where the segment ends:
 *   header 32:  magic "CFST" | version u16 | chunk record bytes u16 | segment id u64 | piece count u32 | chunk count u32
 *               | origin bytes u32 | data bytes u32 (what precedes the table)
 *   piece 8:    raw bytes u32 | chunk count u16 | origin bytes u16                              one per piece
 *   chunk 64:   BLAKE3 of the raw bytes 32 | stored offset u32 | stored bytes u32 | raw bytes u32 | codec u8 | flags u8
 *               | zero 2 | key id u32 | nonce 12                                                one per chunk, in piece order
 *   origins:    the bytes that the caller gave with each piece, one after another
 *   tail 4:     CRC32C of everything before it
 * Key id 0 is "not encrypted". Flags, key id and nonce are zero in version 1; who reads a chunk refuses one that has any.
 */
import { ByteReader, CfsError } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import type { Checksum } from "./fragment-format.ts";

const magic = 0x5453_4643;
const version = 1;
const chunkRecordBytes = 64;
const pieceRecordBytes = 8;
const headBytes = 32;
const tailBytes = 4;

export interface TableChunk {
  /** BLAKE3 of the raw bytes, 32 bytes. */
  readonly hash: Uint8Array;
  readonly storedOffset: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  /** 0 raw, 1 LZ4, 2 zstd; see chunkCodec of @cfs/native. */
  readonly codec: number;
  /** Zero in version 1, like keyId: whoever reads the chunk refuses any other value. */
  readonly flags: number;
  readonly keyId: number;
  /** Where the chunk begins in its piece. */
  readonly rawOffset: number;
}

export interface TablePiece {
  readonly rawBytes: number;
  /** What the packer was told about where the piece belongs. */
  readonly origin: Uint8Array;
  readonly chunks: readonly TableChunk[];
}

export interface SegmentTable {
  readonly segmentId: SegmentId;
  /** Where the table begins in the segment. */
  readonly dataBytes: number;
  readonly pieces: readonly TablePiece[];
}

/** `bytes` is the whole table, as long as the fragment header says; it is borrowed, the result holds copies of hashes and origins. */
export function decodeSegmentTable(bytes: Uint8Array, checksum: Checksum): SegmentTable {
  if (bytes.length < headBytes + tailBytes) throw corrupt(bytes, "is too short");
  const reader = new ByteReader(bytes, "a chunk table");
  if (reader.u32() !== magic) throw corrupt(bytes, "does not begin as one");
  const tail = new ByteReader(bytes.subarray(bytes.length - tailBytes), "a chunk table's tail").u32();
  if (tail !== checksum(bytes.subarray(0, bytes.length - tailBytes))) throw corrupt(bytes, "does not have its CRC");
  const found = reader.u16();
  if (reader.u16() !== chunkRecordBytes || found !== version) throw new CfsError("NOT_SUPPORTED", `chunk table format ${found}`);
  const segmentId = reader.i64() as SegmentId;
  const pieceCount = reader.u32();
  const chunkCount = reader.u32();
  const originBytes = reader.u32();
  const dataBytes = reader.u32();
  if (headBytes + pieceCount * pieceRecordBytes + chunkCount * chunkRecordBytes + originBytes + tailBytes !== bytes.length)
    throw corrupt(bytes, "has other counts");
  const heads: PieceHead[] = [];
  for (let piece = 0; piece < pieceCount; piece++)
    heads.push({ rawBytes: reader.u32(), chunkCount: reader.u16(), originBytes: reader.u16() });
  const sum = (of: keyof PieceHead): number => heads.reduce((total, head) => total + head[of], 0);
  if (sum("chunkCount") !== chunkCount || sum("originBytes") !== originBytes) throw corrupt(bytes, "contradicts itself");
  const chunks = heads.map((head) => readChunks(reader, head, dataBytes, bytes));
  const pieces = heads.map((head, index) => ({
    rawBytes: head.rawBytes,
    origin: Uint8Array.from(reader.raw(head.originBytes)),
    chunks: chunks[index] as TableChunk[],
  }));
  return { segmentId, dataBytes, pieces };
}

interface PieceHead {
  readonly rawBytes: number;
  readonly chunkCount: number;
  readonly originBytes: number;
}

function readChunks(reader: ByteReader, head: PieceHead, dataBytes: number, table: Uint8Array): TableChunk[] {
  const chunks: TableChunk[] = [];
  let rawOffset = 0;
  for (let count = 0; count < head.chunkCount; count++) {
    const hash = Uint8Array.from(reader.raw(32));
    const [storedOffset, storedBytes, rawBytes] = [reader.u32(), reader.u32(), reader.u32()];
    const [codec, flags] = [reader.u8(), reader.u8()];
    reader.u16();
    const keyId = reader.u32();
    reader.raw(12);
    if (storedOffset + storedBytes > dataBytes || rawBytes === 0) throw corrupt(table, "has a chunk outside the data");
    chunks.push({ hash, storedOffset, storedBytes, rawBytes, codec, flags, keyId, rawOffset });
    rawOffset += rawBytes;
  }
  if (rawOffset !== head.rawBytes) throw corrupt(table, "contradicts itself");
  return chunks;
}

function corrupt(table: Uint8Array, what: string): CfsError {
  return new CfsError("CORRUPT", `a chunk table of ${table.length} bytes ${what}`);
}
