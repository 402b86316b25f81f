/**
 * Packing, coding and checking of segments: the typed face of native/addon/src/pack.rs.
 *
 * A segment holds up to 2 MiB of chunks of file data; it is stored as k data and m parity fragments, each with a 4 KiB header
 * page that sums every 4 KiB block (docs/internals/fragments.md). All byte work happens in one native call per segment.
 * Invariant: native code refuses what it cannot do with a CfsError (INVALID, CORRUPT, NOT_SUPPORTED); it never reads or writes
 * outside the views that it is given, and outputs never overlap inputs.
 * Ownership: synchronous functions borrow until they return; packSegment borrows views and output until its promise settles.
 */
import { CfsError } from "@cfs/core";
import type { ClusterId, ErrorCode, SegmentId } from "@cfs/core";
import { loadAddon } from "./binding.ts";

/** Bytes of a fragment's header page, and of the blocks that it sums. */
export const fragmentHeaderBytes = 4096;
export const fragmentBlockBytes = 4096;
/** Where the block CRCs (little-endian words) begin in a header page. */
export const fragmentCrcsOffset = 128;
/** Raw bytes, pieces, and bytes of one piece's origin in a segment, at most. */
export const segmentRawBytesMax: number = 2 * 1024 * 1024;
export const segmentPiecesMax = 1024;
export const pieceOriginBytesMax = 64;
/** Each pack borrows about 5 MiB of the caller and may wait for a pool thread: more at a time only wait. */
export const packsInFlightMax = 32;

/** How a stored chunk is read back; numbers are part of the stored format. */
export const chunkCodec = { none: 0, lz4: 1, zstd: 2 } as const;
export type ChunkCodec = keyof typeof chunkCodec;
/** What is tried on each chunk; a chunk that would not shrink by a sixteenth is stored raw whatever this says. */
export type CodecPreference = "none" | "lz4" | "zstd1";
const preferenceNumber: Readonly<Record<CodecPreference, number>> = { none: 0, lz4: 1, zstd1: 2 };

/** One contiguous range of a file: 1 byte to 2 MiB. */
export interface Piece {
  /** The bytes in order; empty views are allowed. A single view is read where it lies, several are put together first. */
  readonly views: readonly Uint8Array[];
  /** File offset of the first byte, modulo 4096. Raw chunks are placed so that aligned reads of the file touch one block. */
  readonly phase: number;
  /** What salvage should find beside the data when the metadata is gone: at most 64 bytes, opaque here. */
  readonly origin: Uint8Array;
}

export interface PackOptions {
  /** k, 1 to 32, and m, 0 to 8. */
  readonly dataCount: number;
  readonly parityCount: number;
  readonly clusterId: ClusterId;
  readonly segmentId: SegmentId;
  /** 0 to 2^32-1; metadata names the one that is valid. */
  readonly generation: number;
  /** Default "lz4". */
  readonly codec?: CodecPreference;
  /** At least packOutputBytes(…); page-aligned if it goes to a drive by O_DIRECT. Fragment i will lie at i * (4096 + fragmentBytes). */
  readonly out: Uint8Array;
}

/** One chunk of a packed segment. */
export interface PackedChunk {
  readonly piece: number;
  /** Where the chunk begins in its piece. */
  readonly rawOffset: number;
  readonly rawBytes: number;
  /** Where the chunk lies in the segment: fragment floor(storedOffset / fragmentBytes) first; it may go on in the next. */
  readonly storedOffset: number;
  readonly storedBytes: number;
  readonly codec: number;
  /** BLAKE3 of the raw bytes, 32 bytes; a view. */
  readonly hash: Uint8Array;
}

export interface PackedSegment {
  /** Payload of each fragment, a multiple of 4096. */
  readonly fragmentBytes: number;
  /** Chunks and chunk table; the table is the last tableBytes of them. */
  readonly segmentBytes: number;
  readonly tableBytes: number;
  /** Six words per chunk, in the order of pieces: piece, rawOffset, rawBytes, storedOffset, storedBytes, codec. */
  readonly chunks: Uint32Array;
  /** 32 bytes per chunk. */
  readonly hashes: Uint8Array;
}

/** The fields of a header page; storage/segment/fragment-format.ts has their meaning and a decoder of its own. */
export interface NativeFragmentHeader {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly segmentId: number;
  readonly generation: number;
  readonly index: number;
  readonly dataCount: number;
  readonly parityCount: number;
  readonly fragmentBytes: number;
  readonly segmentBytes: number;
  readonly tableBytes: number;
  /** 32 bytes: BLAKE3 of the chunk table. */
  readonly tableHash: Uint8Array;
}

export interface RebuildRequest {
  readonly dataCount: number;
  readonly parityCount: number;
  /** One entry per fragment, k + m of them: the same range of each payload, or null where it is lost. k of them must be there. */
  readonly present: readonly (Uint8Array | null)[];
  /** The fragments to rebuild, data or parity. */
  readonly want: readonly number[];
}

interface NativePackOptions {
  readonly dataCount: number;
  readonly parityCount: number;
  readonly clusterId: Uint8Array;
  readonly segmentId: number;
  readonly generation: number;
  readonly codec: number;
}

/** Same names and order as in pack.rs. */
interface PackAddon {
  packSegment(
    views: readonly Uint8Array[],
    pieces: Uint32Array,
    origins: Uint8Array,
    options: NativePackOptions,
    out: readonly Uint8Array[],
  ): Promise<PackedSegment>;
  packSegmentSync(
    views: readonly Uint8Array[],
    pieces: Uint32Array,
    origins: Uint8Array,
    options: NativePackOptions,
    out: readonly Uint8Array[],
  ): PackedSegment;
  packOutputBytes(rawBytes: number, pieceCount: number, originBytes: number, dataCount: number, parityCount: number): number;
  encodeParity(parityCount: number, data: readonly Uint8Array[], parity: Uint8Array): void;
  rebuild(dataCount: number, parityCount: number, present: readonly (Uint8Array | null)[], want: Uint32Array, out: Uint8Array): void;
  encodeFragmentHeader(header: NativeFragmentHeader, crcs: Uint32Array, page: Uint8Array): void;
  decodeFragmentHeader(page: Uint8Array): NativeFragmentHeader;
  sealFragment(header: NativeFragmentHeader, payload: Uint8Array, page: Uint8Array): void;
  verifyBlocks(bytes: Uint8Array, crcs: Uint8Array, first: number, count: number): number;
  verifyJobs(slab: Uint8Array, crcs: Uint8Array, jobs: Uint32Array, results: Int32Array): number;
  crc32c(bytes: Uint8Array): number;
  crc32cBatch(bytes: Uint8Array, ranges: Uint32Array, out: Uint32Array): void;
  blake3(bytes: Uint8Array, out: Uint8Array): void;
  decompressChunk(codec: number, stored: Uint8Array, out: Uint8Array): void;
}

let loaded: PackAddon | undefined;

/** The addon is loaded by the first call, so that importing types and constants needs no build. */
function addon(): PackAddon {
  return (loaded ??= loadAddon() as PackAddon);
}

const refusal = /^(INVALID|CORRUPT|NOT_SUPPORTED|IO): /;

/** What native code threw, as a CfsError; wrong argument types are the caller's mistake, so INVALID. */
function nativeError(reason: unknown, what: string): CfsError {
  const message = reason instanceof Error ? reason.message : String(reason);
  const code = refusal.exec(message)?.[1] as ErrorCode | undefined;
  return new CfsError(code ?? "INVALID", `${what}: ${code === undefined ? message : message.slice(code.length + 2)}`, { cause: reason });
}

/** Room that is always enough for the fragments of these pieces. */
export function packOutputBytes(pieces: readonly Piece[], dataCount: number, parityCount: number): number {
  let rawBytes = 0;
  let originBytes = 0;
  for (const piece of pieces) {
    originBytes += piece.origin.length;
    for (const view of piece.views) rawBytes += view.length;
  }
  return addon().packOutputBytes(rawBytes, pieces.length, originBytes, dataCount, parityCount);
}

/** Room that is always enough for any segment of a k+m code: for buffers that are made once and used again. */
export function packOutputBytesMax(dataCount: number, parityCount: number): number {
  return addon().packOutputBytes(segmentRawBytesMax, segmentPiecesMax, segmentPiecesMax * pieceOriginBytesMax, dataCount, parityCount);
}

type PackArguments = Parameters<PackAddon["packSegment"]>;

function packArguments(pieces: readonly Piece[], options: PackOptions): PackArguments {
  const words = new Uint32Array(pieces.length * 3);
  const views: Uint8Array[] = [];
  let originBytes = 0;
  let at = 0;
  for (const piece of pieces) {
    for (const view of piece.views) views.push(view);
    words[at++] = piece.views.length;
    words[at++] = piece.phase;
    words[at++] = piece.origin.length;
    originBytes += piece.origin.length;
  }
  const origins = new Uint8Array(originBytes);
  at = 0;
  for (const piece of pieces) {
    origins.set(piece.origin, at);
    at += piece.origin.length;
  }
  const native: NativePackOptions = {
    dataCount: options.dataCount,
    parityCount: options.parityCount,
    clusterId: Buffer.from(options.clusterId, "hex"),
    segmentId: options.segmentId,
    generation: options.generation,
    codec: preferenceNumber[options.codec ?? "lz4"],
  };
  return [views, words, origins, native, [options.out]];
}

let packsInFlight = 0;

/**
 * Cuts, hashes, compresses, lays out, codes and seals pieces as the fragments of one segment, on a thread of Node's pool.
 * Views and `out` are borrowed until the promise settles: neither may be written, detached or resized before.
 * AGAIN when packsInFlightMax packs are already under way; INVALID for pieces or options out of range, nothing is written then.
 */
export async function packSegment(pieces: readonly Piece[], options: PackOptions): Promise<PackedSegment> {
  if (packsInFlight >= packsInFlightMax) throw new CfsError("AGAIN", `${packsInFlight} segments are being packed`);
  packsInFlight++;
  try {
    return await addon().packSegment(...packArguments(pieces, options));
  } catch (reason) {
    throw nativeError(reason, `packing segment ${options.segmentId}`);
  } finally {
    packsInFlight--;
  }
}

/** The same on the calling thread: 1 to 2 ms for a full segment, without the 50 µs of a thread hop. */
export function packSegmentSync(pieces: readonly Piece[], options: PackOptions): PackedSegment {
  try {
    return addon().packSegmentSync(...packArguments(pieces, options));
  } catch (reason) {
    throw nativeError(reason, `packing segment ${options.segmentId}`);
  }
}

export function packedChunkCount(packed: PackedSegment): number {
  return packed.chunks.length / 6;
}

/** Chunk `index` of a packed segment; its hash is a view of `packed.hashes`. */
export function packedChunkAt(packed: PackedSegment, index: number): PackedChunk {
  const [piece, rawOffset, rawBytes, storedOffset, storedBytes, codec] = packed.chunks.subarray(index * 6, index * 6 + 6);
  if (
    piece === undefined ||
    rawOffset === undefined ||
    rawBytes === undefined ||
    storedOffset === undefined ||
    storedBytes === undefined ||
    codec === undefined
  ) {
    throw new CfsError("RANGE", `chunk ${index} of ${packedChunkCount(packed)}`);
  }
  return { piece, rawOffset, rawBytes, storedOffset, storedBytes, codec, hash: packed.hashes.subarray(index * 32, index * 32 + 32) };
}

/** Fills `parity` with the m parity ranges, one after another, from the k data ranges, all of one length. */
export function encodeParity(data: readonly Uint8Array[], parityCount: number, parity: Uint8Array): void {
  try {
    addon().encodeParity(parityCount, data, parity);
  } catch (reason) {
    throw nativeError(reason, `coding ${data.length}+${parityCount}`);
  }
}

/**
 * Fills `out` with the wanted fragments' ranges, one after another in the order of `want`, from any k present ones.
 * Ranges are any equal part of the payloads: the code works byte by byte. The caller has verified what it passes as present.
 */
export function rebuild(request: RebuildRequest, out: Uint8Array): void {
  try {
    addon().rebuild(request.dataCount, request.parityCount, request.present, Uint32Array.from(request.want), out);
  } catch (reason) {
    throw nativeError(reason, `rebuilding fragments ${request.want.join(", ")} of ${request.dataCount}+${request.parityCount}`);
  }
}

/** Writes a header page for the given block CRCs. */
export function encodeFragmentHeader(header: NativeFragmentHeader, crcs: Uint32Array, page: Uint8Array): void {
  try {
    addon().encodeFragmentHeader(header, crcs, page);
  } catch (reason) {
    throw nativeError(reason, `header of fragment ${header.index} of segment ${header.segmentId}`);
  }
}

/** CORRUPT for any page that is not exactly what version 1 writes. */
export function decodeFragmentHeader(page: Uint8Array): NativeFragmentHeader {
  try {
    return addon().decodeFragmentHeader(page);
  } catch (reason) {
    throw nativeError(reason, "fragment header");
  }
}

/** Sums the blocks of a payload (rebuilt, say) and writes its header page. */
export function sealFragment(header: NativeFragmentHeader, payload: Uint8Array, page: Uint8Array): void {
  try {
    addon().sealFragment(header, payload, page);
  } catch (reason) {
    throw nativeError(reason, `sealing fragment ${header.index} of segment ${header.segmentId}`);
  }
}

/** A view of the CRC words in a header page, as verifyBlocks takes them. */
export function fragmentCrcs(page: Uint8Array, fragmentBytes: number): Uint8Array {
  return page.subarray(fragmentCrcsOffset, fragmentCrcsOffset + (fragmentBytes / fragmentBlockBytes) * 4);
}

/**
 * Checks `count` blocks that begin at the start of `bytes`; `first` is the number of the first one in its fragment, which picks
 * its CRC. Returns the first bad block, counted from 0 at the start of `bytes`, or -1 when all are good.
 */
export function verifyBlocks(bytes: Uint8Array, crcs: Uint8Array, first: number, count: number): number {
  try {
    return addon().verifyBlocks(bytes, crcs, first, count);
  } catch (reason) {
    throw nativeError(reason, "verifying blocks");
  }
}

/**
 * Checks many runs of blocks of one slab against one table of CRCs in one call. `jobs` has three words per run: byte offset in
 * the slab, index of its first CRC, block count. `results` gets each run's first bad block or -1. Returns how many runs are bad.
 */
export function verifyJobs(slab: Uint8Array, crcs: Uint8Array, jobs: Uint32Array, results: Int32Array): number {
  try {
    return addon().verifyJobs(slab, crcs, jobs, results);
  } catch (reason) {
    throw nativeError(reason, "verifying blocks");
  }
}

/** CRC32C (Castagnoli) of all bytes; 0 for none. */
export function crc32c(bytes: Uint8Array): number {
  return addon().crc32c(bytes);
}

/** One CRC32C per range of `bytes`; `ranges` has two words each, offset and length. */
export function crc32cBatch(bytes: Uint8Array, ranges: Uint32Array, out: Uint32Array): void {
  try {
    addon().crc32cBatch(bytes, ranges, out);
  } catch (reason) {
    throw nativeError(reason, "summing ranges");
  }
}

/** The 32-byte BLAKE3 hash, in `out` if given. */
export function blake3(bytes: Uint8Array, out: Uint8Array = new Uint8Array(32)): Uint8Array {
  try {
    addon().blake3(bytes, out);
  } catch (reason) {
    throw nativeError(reason, "hashing");
  }
  return out;
}

/** Fills the first `rawBytes` of `out` with a chunk's bytes. CORRUPT when the stored bytes do not give exactly that many. */
export function decompressChunk(codec: number, stored: Uint8Array, rawBytes: number, out: Uint8Array): void {
  if (rawBytes > out.length) throw new CfsError("INVALID", `a chunk of ${rawBytes} bytes into ${out.length}`);
  try {
    addon().decompressChunk(codec, stored, rawBytes === out.length ? out : out.subarray(0, rawBytes));
  } catch (reason) {
    throw nativeError(reason, `chunk of ${stored.length} stored and ${rawBytes} raw bytes`);
  }
}
