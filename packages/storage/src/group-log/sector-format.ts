/**
 * The bytes of a group log file, version 1: a header block, then frames, each made of sectors that can be judged one by one.
 *
 * | header 4096 | frame | frame | … | zeros |
 * Header: | magic "CFSGLOG\1" 8 | crc32c of bytes 12..80 4 | version 4 | fileId 4 | nonce 4 | previousFrames 4 | reserved 4 | sizeBytes 8 |
 *         | clusterId 16 | nodeId 16 | reserved 8 | zeros |
 * Frame: what one write carried, in sectors of 512 bytes, a multiple of 8 of them:
 * Sector: | crc32c of bytes 4..512, xor salt 4 | frame 4 | rest 4 | 500 bytes of the frame's stream |
 *
 * `frame` counts from 1 in its file, `rest` says how many sectors of the frame come after this one, and the salt comes from the file's
 * nonce and the sector's place, so that a sector counts only where it was written. The stream ends with zeros.
 *
 * Why every sector has a checksum: files are zeros before they are written and one write at a time is in flight, so after a crash each sector of
 * the last frame is either zeros or whole. Whatever is neither was damaged later. A torn tail and a flipped bit cannot be confused, not
 * even in the last frame. `previousFrames` says how many frames of the file before count: fewer are a loss, more are void.
 */
import { assert, CfsError } from "@cfs/core";

export const sectorBytes = 512;
export const sectorHeadBytes = 12;
export const sectorDataBytes: number = sectorBytes - sectorHeadBytes;
/** Frames begin and end at multiples of this, as direct I/O wants it. */
export const frameAlignBytes = 4096;
export const fileHeaderBytes = 4096;
export const groupLogVersion = 1;

const headerUsedBytes = 80;
const magic = Buffer.from("CFSGLOG\u0001", "latin1");
const zeros = Buffer.alloc(sectorBytes);

/** CRC-32C (Castagnoli) of all the bytes. */
export type Crc32c = (bytes: Uint8Array) => number;

export interface FileHeader {
  /** 1 to 2^32-1, one more than the file before. */
  readonly fileId: number;
  /** Drawn for each file. */
  readonly nonce: number;
  /** Frames of the file before that count; 0 for the first. */
  readonly previousFrames: number;
  readonly sizeBytes: number;
  /** 32 hex digits each. */
  readonly clusterId: string;
  readonly nodeId: string;
}

/** Writes the header into a block of 4096 bytes. */
export function encodeFileHeader(block: Uint8Array, header: FileHeader, crc32c: Crc32c): void {
  assert(block.length === fileHeaderBytes, "a header fills its block");
  assert(/^[0-9a-f]{32}$/.test(header.clusterId) && /^[0-9a-f]{32}$/.test(header.nodeId), "an id is 32 hex digits");
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength).fill(0);
  magic.copy(bytes, 0);
  bytes.writeUInt32LE(groupLogVersion, 12);
  bytes.writeUInt32LE(header.fileId, 16);
  bytes.writeUInt32LE(header.nonce, 20);
  bytes.writeUInt32LE(header.previousFrames, 24);
  bytes.writeBigUInt64LE(BigInt(header.sizeBytes), 32);
  bytes.write(header.clusterId, 40, "hex");
  bytes.write(header.nodeId, 56, "hex");
  bytes.writeUInt32LE(crc32c(bytes.subarray(12, headerUsedBytes)), 8);
}

/** "empty": the header was never written. Throws CORRUPT for anything that is neither empty nor a header, NOT_SUPPORTED for a newer cfs's. */
export function decodeFileHeader(block: Uint8Array, path: string, crc32c: Crc32c): FileHeader | "empty" {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  if (isZero(bytes)) return "empty";
  const isWhole =
    bytes.length === fileHeaderBytes &&
    bytes.compare(magic, 0, 8, 0, 8) === 0 &&
    crc32c(bytes.subarray(12, headerUsedBytes)) === bytes.readUInt32LE(8) &&
    isZero(bytes.subarray(headerUsedBytes));
  if (!isWhole) throw new CfsError("CORRUPT", `the header of group log file ${path} is damaged`);
  const version = bytes.readUInt32LE(12);
  if (version !== groupLogVersion) {
    throw new CfsError("NOT_SUPPORTED", `group log file ${path} has format ${version}, this cfs reads ${groupLogVersion}`);
  }
  return {
    fileId: bytes.readUInt32LE(16),
    nonce: bytes.readUInt32LE(20),
    previousFrames: bytes.readUInt32LE(24),
    sizeBytes: Number(bytes.readBigUInt64LE(32)),
    clusterId: bytes.toString("hex", 40, 56),
    nodeId: bytes.toString("hex", 56, 72),
  };
}

export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += sectorBytes) {
    const part = bytes.subarray(at, at + sectorBytes);
    if (Buffer.compare(part, part.length === sectorBytes ? zeros : zeros.subarray(0, part.length)) !== 0) return false;
  }
  return true;
}

/** Different for each place in each file. `sector` counts from the file's begin. */
function saltOf(nonce: number, sector: number): number {
  return Math.imul(sector ^ nonce, 0x9e37_79b1) ^ nonce;
}

/** Sectors of a frame whose stream has `streamBytes`, the padding to a whole block among them. */
export function frameSectors(streamBytes: number): number {
  const sectors = Math.max(1, Math.ceil(streamBytes / sectorDataBytes));
  const perBlock = frameAlignBytes / sectorBytes;
  return Math.ceil(sectors / perBlock) * perBlock;
}

/** Most bytes of a stream that fit a frame of `frameBytes`. */
export function streamCapacity(frameBytes: number): number {
  return (frameBytes / sectorBytes) * sectorDataBytes;
}

/** Collects the stream of one frame in a borrowed buffer, sector by sector, so that bytes are copied once. */
export class FrameBuffer {
  readonly #bytes: Buffer;
  #streamBytes = 0;

  /** `memory` holds the largest frame. */
  constructor(memory: Uint8Array) {
    assert(memory.length % frameAlignBytes === 0, "a frame is made of whole blocks");
    this.#bytes = Buffer.from(memory.buffer, memory.byteOffset, memory.byteLength);
  }

  get streamBytes(): number {
    return this.#streamBytes;
  }

  get roomBytes(): number {
    return streamCapacity(this.#bytes.length) - this.#streamBytes;
  }

  /** Bytes of the frame when it is sealed now. */
  get sizeBytes(): number {
    return frameSectors(this.#streamBytes) * sectorBytes;
  }

  reset(): void {
    this.#streamBytes = 0;
  }

  put(piece: Uint8Array): void {
    assert(piece.length <= this.roomBytes, "a piece fits its frame");
    for (let from = 0; from < piece.length;) {
      const within = this.#streamBytes % sectorDataBytes;
      const count = Math.min(sectorDataBytes - within, piece.length - from);
      const at = Math.floor(this.#streamBytes / sectorDataBytes) * sectorBytes + sectorHeadBytes + within;
      const part = count === piece.length ? piece : piece.subarray(from, from + count);
      this.#bytes.set(part, at);
      from += count;
      this.#streamBytes += count;
    }
  }

  /** Fills in heads and padding; the view is the frame's bytes, to be written at `offsetBytes` of the file. */
  seal(file: FileHeader, frame: number, offsetBytes: number, crc32c: Crc32c): Uint8Array {
    assert(offsetBytes % frameAlignBytes === 0 && this.#streamBytes > 0, "a frame begins at a block and holds something");
    const count = frameSectors(this.#streamBytes);
    const bytes = this.#bytes;
    this.#padWithZeros(count);
    for (let sector = 0; sector < count; sector++) {
      const at = sector * sectorBytes;
      bytes.writeUInt32LE(frame, at + 4);
      bytes.writeUInt32LE(count - 1 - sector, at + 8);
      const crc = crc32c(bytes.subarray(at + 4, at + sectorBytes));
      bytes.writeInt32LE(crc ^ saltOf(file.nonce, offsetBytes / sectorBytes + sector), at);
    }
    return bytes.subarray(0, count * sectorBytes);
  }

  #padWithZeros(count: number): void {
    const full = Math.floor(this.#streamBytes / sectorDataBytes);
    const within = this.#streamBytes % sectorDataBytes;
    this.#bytes.fill(0, full * sectorBytes + (within === 0 ? 0 : sectorHeadBytes + within), count * sectorBytes);
  }
}

export interface Sector {
  readonly frame: number;
  readonly rest: number;
}

/** The sector at `at` of `bytes`, which lies at `offsetBytes` of the file. "empty": zeros. "damaged": neither whole nor never written. */
export function decodeSector(bytes: Buffer, at: number, nonce: number, offsetBytes: number, crc32c: Crc32c): Sector | "empty" | "damaged" {
  const crc = crc32c(bytes.subarray(at + 4, at + sectorBytes));
  if ((crc ^ saltOf(nonce, offsetBytes / sectorBytes)) === bytes.readInt32LE(at)) {
    const frame = bytes.readUInt32LE(at + 4);
    // A sector of a frame counts from 1; the salted checksum of zeros can meet zeros by chance only.
    if (frame > 0) return { frame, rest: bytes.readUInt32LE(at + 8) };
  }
  return bytes.compare(zeros, 0, sectorBytes, at, at + sectorBytes) === 0 ? "empty" : "damaged";
}

/** Copies the stream bytes [begin, end) of a frame out of its sectors; `sectors` begins at the sector that holds `begin`. */
export function gatherStream(sectors: Uint8Array, begin: number, end: number): Uint8Array {
  const target = new Uint8Array(end - begin);
  const firstSector = Math.floor(begin / sectorDataBytes);
  for (let at = begin; at < end;) {
    const sector = Math.floor(at / sectorDataBytes);
    const within = at % sectorDataBytes;
    const count = Math.min(sectorDataBytes - within, end - at);
    const from = (sector - firstSector) * sectorBytes + sectorHeadBytes + within;
    target.set(sectors.subarray(from, from + count), at - begin);
    at += count;
  }
  return target;
}
