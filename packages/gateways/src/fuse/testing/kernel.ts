/**
 * The kernel's side of the protocol in memory: encodes requests into a device's slots and decodes the replies.
 *
 * Written from the kernel's header on its own, so that a mistake of the session's codec does not cancel out. Tests drive it by
 * hand: `send` delivers a batch at once, `replies` holds what the session flushed.
 */
import type { Device, DeviceHandlers, DeviceLayout } from "../device.ts";

export interface KernelRequest {
  readonly opcode: number;
  readonly unique: number;
  readonly nodeid?: number | bigint;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  readonly body?: Uint8Array;
  /** Extension bytes after the body, a multiple of 8. */
  readonly extension?: Uint8Array;
}

export interface KernelReply {
  readonly unique: number;
  /** 0 or a negative errno. */
  readonly error: number;
  readonly body: Buffer;
}

const pageBytes = 4096;

export function encodeRequest(request: KernelRequest): Buffer {
  const body = request.body ?? new Uint8Array();
  const extension = request.extension ?? new Uint8Array();
  const message = Buffer.alloc(40 + body.length + extension.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt32LE(request.opcode, 4);
  message.writeBigUInt64LE(BigInt(request.unique), 8);
  message.writeBigUInt64LE(BigInt(request.nodeid ?? 1), 16);
  message.writeUInt32LE(request.uid ?? 0, 24);
  message.writeUInt32LE(request.gid ?? 0, 28);
  message.writeUInt32LE(request.pid ?? 0, 32);
  message.writeUInt16LE(extension.length / 8, 36);
  message.set(body, 40);
  message.set(extension, 40 + body.length);
  return message;
}

/** A device whose other end is a test. */
export class MemoryKernel implements Device {
  readonly memory: ArrayBuffer;
  readonly layout: DeviceLayout;
  readonly replies: KernelReply[] = [];
  readonly notifications: Buffer[] = [];
  /** errno that the next replies are refused with, by unique number. */
  readonly refusals: Map<number, number> = new Map();
  flushes: number = 0;
  isPaused: boolean = true;
  isClosed: boolean = false;
  /** How many notify calls there were. */
  notifyCalls: number = 0;
  /** Resolves notifications only when a test says so, if set. */
  holdNotify: Promise<void> | null = null;
  #handlers: DeviceHandlers | null = null;

  constructor(slotCount: number = 8, slotDataBytes: number = 65_536, replyCount: number = 16, arenaBytes: number = 65_536) {
    const slotBytes = pageBytes + slotDataBytes;
    const slotsOffset = 2 * pageBytes + arenaBytes;
    this.memory = new ArrayBuffer(slotsOffset + slotCount * slotBytes);
    this.layout = {
      lengthsOffset: 0,
      descriptorsOffset: pageBytes,
      replyCount,
      arenaOffset: 2 * pageBytes,
      arenaBytes,
      slotCount,
      slotBytes,
      requestsOffset: slotsOffset + pageBytes - 80,
      requestBytesMax: slotDataBytes + 80,
    };
  }

  start(handlers: DeviceHandlers): void {
    this.#handlers = handlers;
    this.isPaused = false;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  close(): void {
    this.isClosed = true;
  }

  /** Delivers raw messages as one batch, and scribbles over the slots afterwards as the next batch would. */
  deliver(messages: readonly Uint8Array[]): void {
    const { requestsOffset, slotBytes, lengthsOffset } = this.layout;
    const lengths = new Uint32Array(this.memory, lengthsOffset, messages.length);
    for (const [slot, message] of messages.entries()) {
      Buffer.from(this.memory).set(message, requestsOffset + slot * slotBytes);
      lengths[slot] = message.length;
    }
    this.#handlers?.onBatch(messages.length);
    for (const [slot, message] of messages.entries()) {
      const at = requestsOffset + slot * slotBytes;
      Buffer.from(this.memory).fill(0xee, at, at + message.length);
    }
  }

  send(...requests: KernelRequest[]): void {
    this.deliver(requests.map(encodeRequest));
  }

  end(errno: number): void {
    this.#handlers?.onEnd(errno);
  }

  flush(count: number, parts: readonly Uint8Array[]): number {
    this.flushes++;
    let next = 0;
    let failures = 0;
    for (let index = 0; index < count; index++) {
      const descriptor = new Uint32Array(this.memory, this.layout.descriptorsOffset + index * 16, 4);
      const [offset = 0, length = 0, partCount = 0] = descriptor;
      const bytes = Buffer.concat([new Uint8Array(this.memory, offset, length), ...parts.slice(next, next + partCount)]);
      next += partCount;
      const unique = Number(bytes.readBigUInt64LE(8) & 0x7fff_ffff_ffff_ffffn);
      const refusal = this.refusals.get(unique);
      if (refusal !== undefined) {
        this.refusals.delete(unique);
        descriptor[3] = refusal;
        failures++;
        continue;
      }
      if (bytes.readUInt32LE(0) !== bytes.length)
        throw new Error(`reply ${unique} says ${bytes.readUInt32LE(0)} bytes and has ${bytes.length}`);
      this.replies.push({ unique, error: bytes.readInt32LE(4), body: bytes.subarray(16) });
    }
    if (next !== parts.length) throw new Error(`${parts.length - next} parts belong to no reply`);
    return failures;
  }

  async notify(messages: Uint8Array): Promise<readonly number[]> {
    this.notifyCalls++;
    if (this.holdNotify !== null) await this.holdNotify;
    const all = Buffer.from(messages);
    const results: number[] = [];
    for (let at = 0; at < all.length; at += all.readUInt32LE(at)) {
      this.notifications.push(all.subarray(at, at + all.readUInt32LE(at)));
      results.push(0);
    }
    return results;
  }

  /** The one reply to `unique`, taken out. */
  reply(unique: number): KernelReply {
    const found = this.replies.filter((reply) => reply.unique === unique);
    if (found.length !== 1) throw new Error(`${found.length} replies to ${unique}`);
    this.replies.splice(this.replies.indexOf(found[0] as KernelReply), 1);
    return found[0] as KernelReply;
  }
}

/** Little-endian fields in order: numbers with their width in bytes, then bytes as they are. */
export function body(...fields: readonly (readonly [4 | 8, number | bigint] | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === "string") return Buffer.from(`${field}\0`, "latin1");
      if (field instanceof Uint8Array) return field;
      const bytes = Buffer.alloc(field[0]);
      if (field[0] === 4) bytes.writeUInt32LE(Number(field[1]) >>> 0);
      else bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(field[1])));
      return bytes;
    }),
  );
}

/** fuse_init_in of Linux 6.18 with every flag offered. */
export const initBody: Buffer = body([4, 7], [4, 45], [4, 131_072], [4, 0x7fff_ffff], [4, 0xffff_ffff], Buffer.alloc(44));

export interface DecodedAttributes {
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atime: readonly [bigint, number];
  readonly mtime: readonly [bigint, number];
  readonly ctime: readonly [bigint, number];
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

export function decodeAttributes(bytes: Buffer, at: number): DecodedAttributes {
  const time = (seconds: number, nanoseconds: number): readonly [bigint, number] => [
    bytes.readBigInt64LE(at + seconds),
    bytes.readUInt32LE(at + nanoseconds),
  ];
  return {
    ino: bytes.readBigUInt64LE(at),
    size: bytes.readBigUInt64LE(at + 8),
    blocks: bytes.readBigUInt64LE(at + 16),
    atime: time(24, 48),
    mtime: time(32, 52),
    ctime: time(40, 56),
    mode: bytes.readUInt32LE(at + 60),
    nlink: bytes.readUInt32LE(at + 64),
    uid: bytes.readUInt32LE(at + 68),
    gid: bytes.readUInt32LE(at + 72),
    rdev: bytes.readUInt32LE(at + 76),
  };
}

export interface DecodedEntry {
  readonly nodeid: bigint;
  readonly generation: bigint;
  readonly entryValid: readonly [bigint, number];
  readonly attributesValid: readonly [bigint, number];
  readonly attributes: DecodedAttributes;
}

export function decodeEntry(bytes: Buffer, at = 0): DecodedEntry {
  return {
    nodeid: bytes.readBigUInt64LE(at),
    generation: bytes.readBigUInt64LE(at + 8),
    entryValid: [bytes.readBigUInt64LE(at + 16), bytes.readUInt32LE(at + 32)],
    attributesValid: [bytes.readBigUInt64LE(at + 24), bytes.readUInt32LE(at + 36)],
    attributes: decodeAttributes(bytes, at + 40),
  };
}

export interface DecodedDirent {
  readonly ino: bigint;
  readonly cookie: bigint;
  readonly type: number;
  readonly name: string;
  readonly entry: DecodedEntry | null;
}

export function decodeDirectory(bytes: Buffer, withAttributes: boolean): DecodedDirent[] {
  const entries: DecodedDirent[] = [];
  let at = 0;
  while (at < bytes.length) {
    const entry = withAttributes ? decodeEntry(bytes, at) : null;
    if (withAttributes) at += 128;
    const nameBytes = bytes.readUInt32LE(at + 16);
    const name = bytes.toString("latin1", at + 24, at + 24 + nameBytes);
    entries.push({ ino: bytes.readBigUInt64LE(at), cookie: bytes.readBigUInt64LE(at + 8), type: bytes.readUInt32LE(at + 20), name, entry });
    at += (24 + nameBytes + 7) & ~7;
  }
  return entries;
}
