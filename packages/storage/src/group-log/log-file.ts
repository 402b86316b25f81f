/**
 * One file of the group log: how it is made, read frame by frame, and read again at a place.
 *
 * Invariant: a file is zeros behind its last frame, and its name and header are durable before its first frame is written. A frame is
 * handed out only when every sector of it is whole.
 */
import { CfsError } from "@cfs/core";
import type { PayloadPlace } from "@cfs/metadata";

import type { Io, IoFile } from "../device/io.ts";
import { openDurable, openPlain } from "../device/io.ts";
import {
  decodeFileHeader,
  decodeSector,
  encodeFileHeader,
  fileHeaderBytes,
  frameAlignBytes,
  gatherStream,
  sectorBytes,
  sectorDataBytes,
} from "./sector-format.ts";
import type { Crc32c, FileHeader } from "./sector-format.ts";

export interface LogFile {
  readonly path: string;
  readonly file: IoFile;
  readonly header: FileHeader;
  /** Where the next frame goes. */
  endBytes: number;
  /** Frames that count. */
  frames: number;
}

export interface FileParts {
  readonly io: Io;
  readonly crc32c: Crc32c;
}

export function fileName(fileId: number): string {
  return `${String(fileId).padStart(10, "0")}.glog`;
}

/** Null for names that are not files of the log. */
export function fileIdOf(name: string): number | null {
  const match = /^(\d{10})\.glog$/.exec(name);
  return match === null ? null : Number(match[1]);
}

/** Zeros that are written at once. */
const zerosBytesMax = 1 << 20;

/** Makes a file of zeros and its name durable; on failure nothing of it stays. */
export async function makeBlank(parts: FileParts, directory: string, fileId: number, sizeBytes: number): Promise<void> {
  const { io } = parts;
  const path = `${directory}/${fileName(fileId)}`;
  const file = await io.open(path, { ...openPlain, direct: true, create: true, exclusive: true });
  try {
    await io.allocate(file, 0, sizeBytes);
    await writeZeros(io, file, sizeBytes);
    await io.syncData(file);
  } catch (reason) {
    await io.close(file);
    await io.unlink(path);
    throw reason;
  }
  await io.close(file);
  await io.syncDirectory(directory);
}

async function writeZeros(io: Io, file: IoFile, sizeBytes: number): Promise<void> {
  const zeros = await io.pool.takeOrWait(Math.min(zerosBytesMax, sizeBytes));
  zeros.fill(0);
  try {
    for (let at = 0; at < sizeBytes; at += zeros.length) {
      // The pool knows its buffers by the object: a direct write takes a view that begins where the buffer does.
      const view = new Uint8Array(zeros.buffer, zeros.byteOffset, Math.min(zeros.length, sizeBytes - at));
      await io.write(file, [view], at);
    }
  } finally {
    io.pool.give(zeros);
  }
}

/** Gives a blank file its header, durably; on failure nothing is left open, and it may be tried again. */
export async function beginFile(parts: FileParts, path: string, header: FileHeader): Promise<LogFile> {
  const { io } = parts;
  const file = await io.open(path, openDurable);
  const block = io.pool.take(fileHeaderBytes);
  try {
    encodeFileHeader(block, header, parts.crc32c);
    await io.write(file, [block], 0);
    await io.syncData(file);
    return { path, file, header, endBytes: fileHeaderBytes, frames: 0 };
  } catch (reason) {
    await io.close(file);
    throw reason;
  } finally {
    io.pool.give(block);
  }
}

/** Null when the header was never written: the file holds nothing. */
export async function openFile(parts: FileParts, path: string): Promise<LogFile | null> {
  const { io } = parts;
  const file = await io.open(path, openDurable);
  const block = io.pool.take(fileHeaderBytes);
  try {
    const count = await io.read(file, block, 0);
    const header = count < fileHeaderBytes ? "empty" : decodeFileHeader(block, path, parts.crc32c);
    if (header !== "empty") return { path, file, header, endBytes: fileHeaderBytes, frames: 0 };
    await io.close(file);
    return null;
  } catch (reason) {
    await io.close(file);
    throw reason;
  } finally {
    io.pool.give(block);
  }
}

/** What a file's frames are followed by. `clean`: zeros. `torn`: parts of one more frame, which counts for nothing. */
export type Tail = "clean" | "torn";

/** Reads a file in order; one instance per file. */
export class FrameScan {
  readonly #parts: FileParts;
  readonly #log: LogFile;
  /** Borrowed: bytes of the file from `#beginBytes` on. */
  readonly #window: Uint8Array;
  readonly #bytes: Buffer;
  #beginBytes = 0;
  #filledBytes = 0;

  constructor(parts: FileParts, log: LogFile, window: Uint8Array) {
    this.#parts = parts;
    this.#log = log;
    this.#window = window;
    this.#bytes = Buffer.from(window.buffer, window.byteOffset, window.byteLength);
  }

  /** The next whole frame's stream, its bytes a copy; null where the frames end. Moves the file's end. */
  async next(): Promise<{ readonly stream: Uint8Array; readonly offsetBytes: number; readonly frame: number } | null> {
    const log = this.#log;
    const offsetBytes = log.endBytes;
    const frame = log.frames + 1;
    const first = await this.#sector(offsetBytes);
    if (typeof first === "string" || first.frame !== frame) return null;
    const sizeBytes = (first.rest + 1) * sectorBytes;
    const fits = sizeBytes % frameAlignBytes === 0 && sizeBytes <= this.#window.length && offsetBytes + sizeBytes <= log.header.sizeBytes;
    if (!fits) throw new CfsError("CORRUPT", `frame ${frame} of ${log.path} at ${offsetBytes} says that it has ${sizeBytes} bytes`);
    await this.#fill(offsetBytes, sizeBytes);
    for (let at = sectorBytes; at < sizeBytes; at += sectorBytes) {
      const sector = await this.#sector(offsetBytes + at);
      if (typeof sector === "string" || sector.frame !== frame || sector.rest !== first.rest - at / sectorBytes) return null;
    }
    const from = offsetBytes - this.#beginBytes;
    const stream = gatherStream(this.#bytes.subarray(from, from + sizeBytes), 0, (sizeBytes / sectorBytes) * sectorDataBytes);
    log.endBytes += sizeBytes;
    log.frames = frame;
    return { stream, offsetBytes, frame };
  }

  /**
   * Judges what lies behind the last frame of the newest file. Throws CORRUPT unless a crash can have left it: only parts of the one frame that
   * was being written.
   */
  async tail(): Promise<Tail> {
    const log = this.#log;
    let tail: Tail = "clean";
    for (let at = log.endBytes; at < log.header.sizeBytes; at += sectorBytes) {
      const sector = await this.#sector(at);
      if (sector === "empty") continue;
      if (sector === "damaged") {
        throw new CfsError(
          "CORRUPT",
          `a sector of ${log.path} at ${at} is damaged, behind frame ${log.frames}: acknowledged entries may be gone`,
        );
      }
      if (sector.frame !== log.frames + 1) {
        const message = `frame ${log.frames + 1} of ${log.path} is not whole, but frame ${sector.frame} is there at ${at}: acknowledged entries are gone`;
        throw new CfsError("CORRUPT", message);
      }
      tail = "torn";
    }
    return tail;
  }

  async #sector(offsetBytes: number): Promise<ReturnType<typeof decodeSector>> {
    await this.#fill(offsetBytes, sectorBytes);
    const at = offsetBytes - this.#beginBytes;
    if (at + sectorBytes > this.#filledBytes) return "empty";
    return decodeSector(this.#bytes, at, this.#log.header.nonce, offsetBytes, this.#parts.crc32c);
  }

  /** Makes [offsetBytes, + sizeBytes) part of the window, and what follows while there is room. */
  async #fill(offsetBytes: number, sizeBytes: number): Promise<void> {
    if (offsetBytes >= this.#beginBytes && offsetBytes + sizeBytes <= this.#beginBytes + this.#filledBytes) return;
    this.#beginBytes = offsetBytes - (offsetBytes % frameAlignBytes);
    const wanted = Math.min(this.#window.length, this.#log.header.sizeBytes - this.#beginBytes);
    this.#filledBytes = await this.#parts.io.read(this.#log.file, this.#window.subarray(0, wanted), this.#beginBytes);
  }
}

/** The bytes of a payload; CORRUPT unless every sector of it is whole and of its frame. */
export async function readPlace(parts: FileParts, log: LogFile, place: PayloadPlace): Promise<Uint8Array> {
  if (place.sizeBytes === 0) return new Uint8Array(0);
  const { io } = parts;
  const firstSector = Math.floor(place.streamOffset / sectorDataBytes);
  const lastSector = Math.floor((place.streamOffset + place.sizeBytes - 1) / sectorDataBytes);
  const begin = place.frameOffsetBytes + firstSector * sectorBytes;
  const end = place.frameOffsetBytes + (lastSector + 1) * sectorBytes;
  const alignedBegin = begin - (begin % frameAlignBytes);
  const alignedEnd = Math.ceil(end / frameAlignBytes) * frameAlignBytes;
  const taken = await io.pool.takeOrWait(alignedEnd - alignedBegin);
  try {
    const count = await io.read(log.file, taken, alignedBegin);
    const bytes = Buffer.from(taken.buffer, taken.byteOffset, taken.byteLength);
    for (let at = begin; at < end; at += sectorBytes) {
      const isThere = at + sectorBytes - alignedBegin <= count;
      const sector = isThere ? decodeSector(bytes, at - alignedBegin, log.header.nonce, at, parts.crc32c) : "empty";
      if (typeof sector === "string" || sector.frame !== place.frame) {
        throw new CfsError(
          "CORRUPT",
          `a payload in ${log.path} at ${place.frameOffsetBytes} is damaged: its sector at ${at} is not what was written`,
        );
      }
    }
    return gatherStream(bytes.subarray(begin - alignedBegin), place.streamOffset, place.streamOffset + place.sizeBytes);
  } finally {
    io.pool.give(taken);
  }
}
