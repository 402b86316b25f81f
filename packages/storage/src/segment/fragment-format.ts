/**
 * The header page of a fragment, in TypeScript: the same format as native/crates/store/src/header.rs, which writes it.
 *
 * Every fragment describes itself: whose it is, which part of which segment in which generation, and the CRC32C of each 4 KiB
 * block of its payload, so that a read of one block verifies one block.
 * Invariant: any change of any bit of the page is found, padding included; a page that is intact but holds what version 1 never
 * writes is refused too. Whether the fragment is the wanted one (cluster, segment, generation, index) is the caller's to compare.
 * Page of 4096 bytes, little-endian, version 1; the payload follows it:
 *   0 magic "CFSF" | 4 version u16 | 6 page bytes u16 | 8 cluster id 16 | 24 segment id u64 | 32 generation u32
 *   36 index u8 | 37 k u8 | 38 m u8 | 39 matrix u8 (1: Cauchy) | 40 fragment bytes u32 | 44 segment bytes u32
 *   48 table bytes u32 | 52 block count u32 | 56 zero 8 | 64 BLAKE3 of the segment's chunk table 32 | 96 zero 32
 *   128 block count x CRC32C u32 | … zero … | 4092 CRC32C of bytes 0 to 4091
 * The table's hash names the contents, because the table holds every chunk's hash: fragments of two encodings of one segment
 * id can never be taken for each other.
 */
import { CfsError } from "@cfs/core";
import type { ClusterId, SegmentId } from "@cfs/core";

export const headerBytes = 4096;
export const blockBytes = 4096;
export const crcsOffset = 128;
/** Blocks of the longest fragment, 2.5 MiB: a whole segment with padding and table, when k is 1. */
export const blocksMax = 640;
export const dataCountMax = 32;
export const parityCountMax = 8;

const magic = 0x4653_4643;
const version = 1;
const matrixCauchy = 1;
const pageCrcOffset = headerBytes - 4;

/** CRC32C of all bytes: passed in, so that the format needs neither the addon nor a table of its own. */
export type Checksum = (bytes: Uint8Array) => number;

export interface FragmentHeader {
  readonly clusterId: ClusterId;
  readonly segmentId: SegmentId;
  /** 0 to 2^32-1; metadata names the one valid generation, any other is quarantined. */
  readonly generation: number;
  /** 0 to k-1 hold data, k to k+m-1 parity. */
  readonly index: number;
  /** k and m. */
  readonly dataCount: number;
  readonly parityCount: number;
  /** Payload of each fragment: a multiple of 4096, at most blocksMax blocks. */
  readonly fragmentBytes: number;
  /** Chunks and table; the rest of k * fragmentBytes is zero. */
  readonly segmentBytes: number;
  /** The chunk table is the last tableBytes of segmentBytes. */
  readonly tableBytes: number;
  /** BLAKE3 of the chunk table, 32 bytes. */
  readonly tableHash: Uint8Array;
}

/** Bytes of each of the k data fragments that hold a segment. */
export function fragmentBytesOf(segmentBytes: number, dataCount: number): number {
  return Math.ceil(Math.ceil(segmentBytes / dataCount) / blockBytes) * blockBytes;
}

/** What is wrong with the fields, or null. */
function flawOf(header: FragmentHeader): string | null {
  const { index, dataCount: k, parityCount: m, segmentId, fragmentBytes, segmentBytes, tableBytes } = header;
  if (!(k >= 1 && k <= dataCountMax && m >= 0 && m <= parityCountMax && index >= 0 && index < k + m))
    return `fragment ${index} of ${k}+${m}`;
  if (!(segmentId >= 1 && Number.isSafeInteger(segmentId))) return `segment id ${segmentId}`;
  if (!(fragmentBytes >= blockBytes && fragmentBytes <= blocksMax * blockBytes && fragmentBytes % blockBytes === 0))
    return `fragments of ${fragmentBytes} bytes`;
  if (tableBytes > segmentBytes || segmentBytes > k * fragmentBytes) {
    return `a table of ${tableBytes} and a segment of ${segmentBytes} bytes in ${k} fragments of ${fragmentBytes}`;
  }
  return null;
}

/** A new page; `crcs` has one CRC32C per block of the payload. */
export function encodeFragmentHeader(header: FragmentHeader, crcs: Uint32Array, checksum: Checksum): Uint8Array {
  const flaw = flawOf(header);
  if (flaw !== null || crcs.length * blockBytes !== header.fragmentBytes || header.tableHash.length !== 32) {
    throw new CfsError("INVALID", flaw ?? `${crcs.length} CRCs for ${header.fragmentBytes} bytes, a hash of ${header.tableHash.length}`);
  }
  const page = Buffer.alloc(headerBytes);
  page.writeUInt32LE(magic, 0);
  page.writeUInt16LE(version, 4);
  page.writeUInt16LE(headerBytes, 6);
  page.write(header.clusterId, 8, 16, "hex");
  page.writeBigUInt64LE(BigInt(header.segmentId), 24);
  page.writeUInt32LE(header.generation, 32);
  page.set([header.index, header.dataCount, header.parityCount, matrixCauchy], 36);
  page.writeUInt32LE(header.fragmentBytes, 40);
  page.writeUInt32LE(header.segmentBytes, 44);
  page.writeUInt32LE(header.tableBytes, 48);
  page.writeUInt32LE(crcs.length, 52);
  page.set(header.tableHash, 64);
  for (let block = 0; block < crcs.length; block++) page.writeUInt32LE(crcs[block] as number, crcsOffset + block * 4);
  page.writeUInt32LE(checksum(page.subarray(0, pageCrcOffset)), pageCrcOffset);
  return page;
}

/** CORRUPT for a page that is not whole or not ours, NOT_SUPPORTED for an intact one of a newer version. Borrows the page. */
export function decodeFragmentHeader(bytes: Uint8Array, checksum: Checksum): FragmentHeader {
  const page = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (page.length !== headerBytes) throw new CfsError("CORRUPT", `a fragment header of ${page.length} bytes`);
  if (page.readUInt32LE(0) !== magic) throw new CfsError("CORRUPT", "a fragment header does not begin with its magic");
  const stored = page.readUInt32LE(pageCrcOffset);
  const actual = checksum(page.subarray(0, pageCrcOffset));
  if (stored !== actual)
    throw new CfsError("CORRUPT", `a fragment header has CRC ${stored.toString(16)} and contents ${actual.toString(16)}`);
  if (page.readUInt16LE(4) !== version || page[39] !== matrixCauchy) {
    throw new CfsError("NOT_SUPPORTED", `fragment format ${page.readUInt16LE(4)} with matrix ${page[39]}`);
  }
  const header: FragmentHeader = {
    clusterId: page.toString("hex", 8, 24) as ClusterId,
    segmentId: Number(page.readBigUInt64LE(24)) as SegmentId,
    generation: page.readUInt32LE(32),
    index: page[36] as number,
    dataCount: page[37] as number,
    parityCount: page[38] as number,
    fragmentBytes: page.readUInt32LE(40),
    segmentBytes: page.readUInt32LE(44),
    tableBytes: page.readUInt32LE(48),
    tableHash: Uint8Array.from(page.subarray(64, 96)),
  };
  const flaw = flawOf(header);
  if (flaw !== null) throw new CfsError("CORRUPT", flaw);
  const blockCount = header.fragmentBytes / blockBytes;
  const unused = [page.subarray(56, 64), page.subarray(96, crcsOffset), page.subarray(crcsOffset + blockCount * 4, pageCrcOffset)];
  if (page.readUInt16LE(6) !== headerBytes || page.readUInt32LE(52) !== blockCount || unused.some((part) => !isZero(part))) {
    throw new CfsError("CORRUPT", "a fragment header holds bytes that version 1 does not write");
  }
  return header;
}

const zeros: Buffer = Buffer.alloc(headerBytes);

function isZero(part: Buffer): boolean {
  return part.equals(zeros.subarray(0, part.length));
}

/** The CRC words of a page that was decoded, as a view: what verifyBlocks of @cfs/native takes. */
export function crcsOf(page: Uint8Array, header: FragmentHeader): Uint8Array {
  return page.subarray(crcsOffset, crcsOffset + (header.fragmentBytes / blockBytes) * 4);
}

/** One contiguous part of one data fragment's payload. */
export interface FragmentRange {
  readonly index: number;
  readonly offset: number;
  readonly length: number;
}

/** The data fragments' parts that hold a range of the segment, in order. */
export function fragmentRanges(fragmentBytes: number, offset: number, length: number): FragmentRange[] {
  const ranges: FragmentRange[] = [];
  for (let at = offset; at < offset + length;) {
    const begin = at % fragmentBytes;
    const part = Math.min(fragmentBytes - begin, offset + length - at);
    ranges.push({ index: Math.floor(at / fragmentBytes), offset: begin, length: part });
    at += part;
  }
  return ranges;
}
