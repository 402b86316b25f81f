/**
 * The bytes of a journal file, version 1: pure encoders and decoders.
 *
 * A file is one header block of 4096 bytes and then frames. A frame is what one write carried: it begins at a multiple of 4096, holds one
 * or more records one after the other (each at a multiple of 8), and is filled with zeros up to the next multiple of 4096.
 *
 * Header: | magic "CFSJRNL\1" 8 | crc32c of bytes 12..headerBytes 4 | version 4 | fileId 4 | epoch 4 | epochBaseIndex 8 | nonce 8 |
 *         | sizeBytes 8 | generation 4 | memberCount 4 | clusterId 16 | nodeId 16 | member drive ids, 16 each, at most 8 |
 * Record: | magic 4 | crc32c of bytes 8..64 and the head 4 | fileId 4 | recordOffsetBytes 4 | nonce 8 | index 8 | durableIndex 8 |
 *         | headBytes 4 | payloadBytes 4 | payloadCrc 4 | reserved 12 | head | payload | zeros to a multiple of 8 |
 *
 * Invariants: a record counts only where it was written (its own offset, file id and the file's random nonce are in it), so neither a
 * recycled file, nor a misdirected write, nor a journal file kept as user data inside a payload can pass for a record. `durableIndex` is the
 * highest index that was on every copy when the record was appended: a hole at or below it is lost data, a hole above it a torn tail.
 * An epoch begins with each opening: its base is the last index that was kept, and every record of an older epoch above it is void.
 */
import { assert, CfsError } from "@cfs/core";

export const blockBytes = 4096;
export const recordHeaderBytes = 64;
export const headerBytes = 224;
export const formatVersion = 1;
export const membersMax = 8;
/** Heads are commands: 1 MiB is far above the largest of them and bounds what a wrong length field can ask for. */
export const headBytesMax: number = 1024 * 1024;

const recordMagic = 0x4352_4a31;
const headerMagic = Buffer.from("CFSJRNL\u0001", "latin1");
const idPattern = /^[0-9a-f]{32}$/;

/** CRC-32C (Castagnoli) of all the bytes. */
export type Crc32c = (bytes: Uint8Array) => number;

export interface FileHeader {
  /** 1 to 2^32-1, never used again on this node. */
  readonly fileId: number;
  readonly epoch: number;
  /** Records of older epochs with a higher index are void. */
  readonly epochBaseIndex: number;
  /** 8 random bytes, drawn for each use of the file. */
  readonly nonce: Uint8Array;
  readonly sizeBytes: number;
  /** 1, and one more for every copy made later onto another drive: the highest names the members. */
  readonly generation: number;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly members: readonly string[];
}

/** What a scan knows of a record; the bytes stay where they are. */
export interface RecordInfo {
  readonly index: number;
  readonly durableIndex: number;
  readonly offsetBytes: number;
  readonly headBytes: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Bytes that a record takes in its frame, with the padding to a multiple of 8. */
export function recordSpanBytes(headBytes: number, payloadBytes: number): number {
  return roundUp(recordHeaderBytes + headBytes + payloadBytes, 8);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function writeSafe(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, at);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

/** A safe integer, or -1 for anything else: corrupt input must not throw here. */
function readSafe(source: Buffer, at: number): number {
  const value = source.readUInt32LE(at + 4) * 0x1_0000_0000 + source.readUInt32LE(at);
  return Number.isSafeInteger(value) ? value : -1;
}

function writeId(target: Buffer, id: string, at: number): void {
  assert(idPattern.test(id), "an id is 32 hex digits");
  target.write(id, at, "hex");
}

/** One block of 4096 bytes. */
export function encodeHeader(header: FileHeader, crc32c: Crc32c): Buffer {
  assert(header.members.length >= 1 && header.members.length <= membersMax, "a file has 1 to 8 members");
  assert(header.nonce.length === 8, "a nonce has 8 bytes");
  const block = Buffer.alloc(blockBytes);
  headerMagic.copy(block, 0);
  block.writeUInt32LE(formatVersion, 12);
  block.writeUInt32LE(header.fileId, 16);
  block.writeUInt32LE(header.epoch, 20);
  writeSafe(block, header.epochBaseIndex, 24);
  block.set(header.nonce, 32);
  writeSafe(block, header.sizeBytes, 40);
  block.writeUInt32LE(header.generation, 48);
  block.writeUInt32LE(header.members.length, 52);
  writeId(block, header.clusterId, 56);
  writeId(block, header.nodeId, 72);
  header.members.forEach((id, position) => writeId(block, id, 88 + position * 16));
  block.writeUInt32LE(crc32c(block.subarray(12, headerBytes)), 8);
  return block;
}

/** Null when these bytes are no header, or a damaged one; throws when a newer cfs wrote it, which must not be taken for damage. */
export function decodeHeader(bytes: Uint8Array, crc32c: Crc32c): FileHeader | null {
  const block = asBuffer(bytes);
  if (block.length < headerBytes || block.compare(headerMagic, 0, 8, 0, 8) !== 0) return null;
  if (crc32c(block.subarray(12, headerBytes)) !== block.readUInt32LE(8)) return null;
  const version = block.readUInt32LE(12);
  if (version !== formatVersion) {
    throw new CfsError("NOT_SUPPORTED", `the journal has format ${version}, this cfs reads ${formatVersion}; start the newer cfs`);
  }
  const memberCount = block.readUInt32LE(52);
  const epochBaseIndex = readSafe(block, 24);
  const sizeBytes = readSafe(block, 40);
  if (memberCount < 1 || memberCount > membersMax || epochBaseIndex < 0 || sizeBytes < 2 * blockBytes) return null;
  const members: string[] = [];
  for (let position = 0; position < memberCount; position++) members.push(block.toString("hex", 88 + position * 16, 104 + position * 16));
  return {
    fileId: block.readUInt32LE(16),
    epoch: block.readUInt32LE(20),
    epochBaseIndex,
    nonce: Buffer.from(block.subarray(32, 40)),
    sizeBytes,
    generation: block.readUInt32LE(48),
    clusterId: block.toString("hex", 56, 72),
    nodeId: block.toString("hex", 72, 88),
    members,
  };
}

export interface RecordIdentity {
  readonly fileId: number;
  readonly nonce: Uint8Array;
}

/**
 * Writes a record into `target` at `at` and the padding behind it; returns the bytes taken. `offsetBytes` is its place in the file.
 * Head and payload are copied; nothing is kept.
 */
export function encodeRecord(
  target: Buffer,
  at: number,
  identity: RecordIdentity,
  record: { index: number; durableIndex: number; offsetBytes: number; head: Uint8Array; payload: readonly Uint8Array[] },
  crc32c: Crc32c,
): number {
  const { head, payload } = record;
  const payloadAt = at + recordHeaderBytes + head.length;
  let end = payloadAt;
  target.set(head, at + recordHeaderBytes);
  for (const view of payload) {
    target.set(view, end);
    end += view.length;
  }
  const span = recordSpanBytes(head.length, end - payloadAt);
  assert(at + span <= target.length, "the record fits its target");
  target.fill(0, end, at + span);
  target.writeUInt32LE(recordMagic, at);
  target.writeUInt32LE(identity.fileId, at + 8);
  target.writeUInt32LE(record.offsetBytes, at + 12);
  target.set(identity.nonce, at + 16);
  writeSafe(target, record.index, at + 24);
  writeSafe(target, record.durableIndex, at + 32);
  target.writeUInt32LE(head.length, at + 40);
  target.writeUInt32LE(end - payloadAt, at + 44);
  target.writeUInt32LE(end === payloadAt ? 0 : crc32c(target.subarray(payloadAt, end)), at + 48);
  target.fill(0, at + 52, at + recordHeaderBytes);
  target.writeUInt32LE(crc32c(target.subarray(at + 8, payloadAt)), at + 4);
  return span;
}

/** Bytes from the record's start that must be at hand before `decodeRecord` can judge its head; 0 when this is no record's start. */
export function recordNeedBytes(bytes: Buffer, at: number): number {
  if (at + recordHeaderBytes > bytes.length || bytes.readUInt32LE(at) !== recordMagic) return 0;
  const headBytes = bytes.readUInt32LE(at + 40);
  return headBytes > headBytesMax ? 0 : recordHeaderBytes + headBytes;
}

/**
 * The record at `at` of `bytes`, whose place in the file is `offsetBytes`; null unless header and head are whole and belong there.
 * The payload may lie beyond `bytes` and is not looked at: see `payloadIsWhole`.
 */
export function decodeRecord(bytes: Buffer, at: number, identity: RecordIdentity, offsetBytes: number, crc32c: Crc32c): RecordInfo | null {
  const need = recordNeedBytes(bytes, at);
  if (need === 0 || at + need > bytes.length) return null;
  if (bytes.readUInt32LE(at + 8) !== identity.fileId || bytes.readUInt32LE(at + 12) !== offsetBytes) return null;
  if (bytes.compare(identity.nonce, 0, 8, at + 16, at + 24) !== 0) return null;
  if (crc32c(bytes.subarray(at + 8, at + need)) !== bytes.readUInt32LE(at + 4)) return null;
  const index = readSafe(bytes, at + 24);
  const durableIndex = readSafe(bytes, at + 32);
  if (index < 1 || durableIndex < 0 || durableIndex >= index) return null;
  return {
    index,
    durableIndex,
    offsetBytes,
    headBytes: bytes.readUInt32LE(at + 40),
    payloadBytes: bytes.readUInt32LE(at + 44),
    payloadCrc: bytes.readUInt32LE(at + 48),
  };
}

const zeroBlock: Buffer = Buffer.alloc(blockBytes);

/**
 * True when the first block behind a header was not written since the header was: it is zeros, or begins with a whole record of another use
 * of the file. Anything else, damage above all, proves nothing.
 */
export function isFirstBlockUnused(block: Buffer, identity: RecordIdentity, crc32c: Crc32c): boolean {
  if (block.equals(zeroBlock)) return true;
  const need = recordNeedBytes(block, 0);
  if (need === 0 || need > block.length || crc32c(block.subarray(8, need)) !== block.readUInt32LE(4)) return false;
  return block.compare(identity.nonce, 0, 8, 16, 24) !== 0;
}

/** Judges payload bytes that are at hand, `payloadBytes` of them. */
export function payloadIsWhole(info: RecordInfo, payload: Uint8Array, crc32c: Crc32c): boolean {
  if (payload.length !== info.payloadBytes) return false;
  return info.payloadBytes === 0 ? info.payloadCrc === 0 : crc32c(payload) === info.payloadCrc;
}
