/**
 * Takes the bytes of a hot stream as they arrive, in pieces of any size, and gives back frames.
 *
 * Format: batch-format.ts. A head that lies in one piece is a view of it, one that is split is put together; a payload is copied once, from
 * the pieces into memory of the pool. Frames are delivered when their message is complete.
 *
 * Invariants: lengths are checked before memory is taken, so a hostile peer can make us hold one message at most; malformed input is a
 * CfsError (CORRUPT or TOO_BIG), never anything else; payloads that were not delivered go back to the pool when `close` is called; after
 * `pause` nothing is delivered until `resume`.
 */
import { assert, CfsError } from "@cfs/core";
import { bodyTag, frameHeaderBytes, grpcPrefixBytes, trailersFlag } from "./batch-format.ts";
import { limits } from "./limits.ts";
import type { PayloadPool, ReceivedFrame } from "./transport.ts";

const nothing: Uint8Array = new Uint8Array(0);

/** What the next byte belongs to. */
type Part = "prefix" | "tag" | "bodyLength" | "frameHeader" | "head" | "payload" | "trailers";

/** A payload that lacks less than this is not worth a place of its own in a read. */
const roomBytesMin = 4096;

export interface FrameDecoderParts {
  readonly pool: PayloadPool;
  /** Takes messages that carry trailers (flag 0x80, as in gRPC-Web), one per stream at most; without it they are malformed. */
  readonly onTrailers?: ((text: string) => void) | null;
}

export class FrameDecoder {
  readonly #pool: PayloadPool;
  readonly #deliver: (frames: readonly ReceivedFrame[]) => void;
  /** The piece under way is used again by the caller: heads are copied out of it. */
  #isPieceReused = false;
  readonly #onTrailers: ((text: string) => void) | null;
  #part: Part = "prefix";
  /** A fixed-size part that is split over pieces is gathered here. */
  readonly #gather: Buffer = Buffer.alloc(frameHeaderBytes);
  #gathered = 0;
  /** Bytes of the gRPC message after its prefix that are still to come. */
  #messageLeft = 0;
  #bodyLength = 0;
  #bodyShift = 0;
  #headLength = 0;
  #payloadLength = 0;
  #head: Uint8Array = nothing;
  #headFilled = 0;
  #payload: Uint8Array = nothing;
  #payloadFilled = 0;
  #frames: ReceivedFrame[] = [];
  #isPaused = false;
  #isClosed = false;
  /** What `push` was given and could not look at because of `pause`. */
  #rest: Buffer | null = null;

  constructor(parts: FrameDecoderParts, deliver: (frames: readonly ReceivedFrame[]) => void) {
    this.#pool = parts.pool;
    this.#deliver = deliver;
    this.#onTrailers = parts.onTrailers ?? null;
  }

  /** The rest of the payload under way, for a receiver that can put the next bytes there by itself; null when there is none worth it. */
  get room(): Uint8Array | null {
    if (this.#part !== "payload" || this.#payloadLength - this.#payloadFilled < roomBytesMin) return null;
    return this.#payload.subarray(this.#payloadFilled);
  }

  /** The next `countBytes` of the stream lie in `room` already. */
  filled(countBytes: number): void {
    if (this.#isClosed) return;
    assert(this.#part === "payload" && countBytes <= this.#payloadLength - this.#payloadFilled, "only room is filled");
    this.#advancePayload(countBytes);
  }

  /** Views of the piece are kept until their message is delivered, unless it is reused when this returns. */
  push(piece: Buffer, isReused = false): void {
    if (this.#isClosed) return;
    this.#isPieceReused = isReused;
    assert(this.#rest === null, "nothing is pushed while a rest waits");
    this.#consume(piece);
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** Delivers what waits; `pause` may be called again meanwhile. */
  resume(): void {
    this.#isPaused = false;
    const rest = this.#rest;
    this.#rest = null;
    this.#isPieceReused = false;
    if (rest !== null && !this.#isClosed) this.#consume(rest);
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The sender is done: throws CORRUPT when it stopped inside a message. */
  end(): void {
    if (this.#part !== "prefix" || this.#gathered > 0) {
      throw new CfsError("CORRUPT", `the stream ended inside a message, in its ${this.#part}`);
    }
  }

  /** Gives back what was not delivered. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const frame of this.#frames) if (frame.payload.length > 0) this.#pool.release(frame.payload);
    if (this.#payload.length > 0) this.#pool.release(this.#payload);
    this.#frames = [];
    this.#payload = nothing;
    this.#rest = null;
  }

  #consume(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#isPaused && this.#part === "prefix") {
        this.#rest = this.#isPieceReused ? Buffer.from(piece.subarray(at)) : piece.subarray(at);
        return;
      }
      at = this.#step(piece, at);
      if (this.#isClosed) return;
    }
  }

  /** Reads as much of the current part as there is; returns the offset behind it. */
  #step(piece: Buffer, at: number): number {
    switch (this.#part) {
      case "frameHeader":
        return this.#stepFrameHeader(piece, at);
      case "head":
        return this.#stepHead(piece, at);
      case "payload":
        return this.#stepPayload(piece, at);
      case "prefix":
        return this.#stepPrefix(piece, at);
      case "tag":
        if (piece[at] !== bodyTag)
          throw new CfsError("CORRUPT", `a Batch begins with ${piece[at]}, not with its field "body" (${bodyTag})`);
        this.#messageLeft--;
        this.#bodyLength = 0;
        this.#bodyShift = 0;
        this.#part = "bodyLength";
        return at + 1;
      case "bodyLength":
        return this.#stepBodyLength(piece, at);
      case "trailers":
        return this.#stepTrailers(piece, at);
    }
  }

  #stepPrefix(piece: Buffer, at: number): number {
    if (this.#gathered === 0 && piece.length - at >= grpcPrefixBytes) {
      this.#beginMessage(piece[at] as number, piece.readUInt32BE(at + 1));
      return at + grpcPrefixBytes;
    }
    const end = this.#gatherFrom(piece, at, grpcPrefixBytes);
    if (this.#gathered === grpcPrefixBytes) {
      this.#gathered = 0;
      this.#beginMessage(this.#gather[0] as number, this.#gather.readUInt32BE(1));
    }
    return end;
  }

  #beginMessage(flag: number, lengthBytes: number): void {
    if (flag === trailersFlag && this.#onTrailers !== null) {
      if (lengthBytes > limits.trailerBytesMax) throw new CfsError("TOO_BIG", `trailers of ${lengthBytes} bytes`);
      this.#headLength = lengthBytes;
      this.#headFilled = 0;
      if (lengthBytes > 0) this.#part = "trailers";
      return;
    }
    if (flag !== 0) throw new CfsError("CORRUPT", `a message has the compression flag ${flag}; none was agreed`);
    if (lengthBytes > limits.messageBytesMax + 6) {
      throw new CfsError("TOO_BIG", `a message announces ${lengthBytes} bytes; at most ${limits.messageBytesMax} are accepted`);
    }
    this.#messageLeft = lengthBytes;
    if (lengthBytes > 0) this.#part = "tag";
  }

  #stepBodyLength(piece: Buffer, at: number): number {
    if (this.#messageLeft === 0) throw new CfsError("CORRUPT", "a message ends inside the length of its body");
    const byte = piece[at] as number;
    this.#messageLeft--;
    this.#bodyLength += (byte & 0x7f) * 2 ** this.#bodyShift;
    this.#bodyShift += 7;
    if (byte >= 0x80) {
      if (this.#bodyShift === 35) throw new CfsError("CORRUPT", "the length of a body has more than 5 bytes");
      return at + 1;
    }
    if (this.#bodyLength !== this.#messageLeft) {
      throw new CfsError("CORRUPT", `a body of ${this.#bodyLength} bytes in a message with ${this.#messageLeft} left`);
    }
    this.#nextFrame();
    return at + 1;
  }

  /** Behind a frame or at the start of a body: another frame, or the end of the message. */
  #nextFrame(): void {
    if (this.#messageLeft > 0) {
      this.#part = "frameHeader";
      return;
    }
    this.#part = "prefix";
    if (this.#frames.length === 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#deliver(frames);
  }

  #stepFrameHeader(piece: Buffer, at: number): number {
    if (this.#gathered === 0 && piece.length - at >= frameHeaderBytes) {
      this.#beginFrame(piece.readUInt32LE(at), piece.readUInt32LE(at + 4));
      return at + frameHeaderBytes;
    }
    const end = this.#gatherFrom(piece, at, frameHeaderBytes);
    if (this.#gathered === frameHeaderBytes) {
      this.#gathered = 0;
      this.#beginFrame(this.#gather.readUInt32LE(0), this.#gather.readUInt32LE(4));
    }
    return end;
  }

  #beginFrame(headLength: number, payloadLength: number): void {
    const left = this.#messageLeft - frameHeaderBytes;
    if (left < 0 || headLength + payloadLength > left) {
      throw new CfsError("CORRUPT", `a frame of ${headLength} and ${payloadLength} bytes in a message with ${left} left`);
    }
    if (headLength > limits.headBytesMax) {
      throw new CfsError("TOO_BIG", `a head of ${headLength} bytes; at most ${limits.headBytesMax} are accepted`);
    }
    if (payloadLength > limits.payloadBytesMax) {
      throw new CfsError("TOO_BIG", `a payload of ${payloadLength} bytes; at most ${limits.payloadBytesMax} are accepted`);
    }
    if (this.#frames.length === limits.framesPerMessageMax) {
      throw new CfsError("TOO_BIG", `a message with more than ${limits.framesPerMessageMax} frames`);
    }
    this.#messageLeft = left - headLength - payloadLength;
    this.#headLength = headLength;
    this.#payloadLength = payloadLength;
    this.#headFilled = 0;
    this.#head = nothing;
    if (headLength > 0) this.#part = "head";
    else this.#endHead();
  }

  #stepHead(piece: Buffer, at: number): number {
    const wanted = this.#headLength - this.#headFilled;
    const end = Math.min(at + wanted, piece.length);
    if (this.#headFilled === 0 && end - at === wanted) {
      this.#head = this.#isPieceReused ? Buffer.from(piece.subarray(at, end)) : piece.subarray(at, end);
      this.#endHead();
      return end;
    }
    if (this.#headFilled === 0) this.#head = Buffer.allocUnsafe(this.#headLength);
    this.#head.set(piece.subarray(at, end), this.#headFilled);
    this.#headFilled += end - at;
    if (this.#headFilled === this.#headLength) this.#endHead();
    return end;
  }

  #endHead(): void {
    if (this.#payloadLength === 0) {
      this.#endFrame(nothing);
      return;
    }
    this.#payload = this.#pool.allocate(this.#payloadLength);
    assert(this.#payload.length === this.#payloadLength, "the pool gives exactly what was asked for");
    this.#payloadFilled = 0;
    this.#part = "payload";
  }

  #stepPayload(piece: Buffer, at: number): number {
    const end = Math.min(at + this.#payloadLength - this.#payloadFilled, piece.length);
    this.#payload.set(piece.subarray(at, end), this.#payloadFilled);
    this.#advancePayload(end - at);
    return end;
  }

  #advancePayload(countBytes: number): void {
    this.#payloadFilled += countBytes;
    if (this.#payloadFilled < this.#payloadLength) return;
    const payload = this.#payload;
    this.#payload = nothing;
    this.#endFrame(payload);
  }

  #stepTrailers(piece: Buffer, at: number): number {
    if (this.#headFilled === 0) this.#head = Buffer.allocUnsafe(this.#headLength);
    const end = Math.min(at + this.#headLength - this.#headFilled, piece.length);
    this.#head.set(piece.subarray(at, end), this.#headFilled);
    this.#headFilled += end - at;
    if (this.#headFilled < this.#headLength) return end;
    const text = Buffer.from(this.#head).toString("latin1");
    this.#head = nothing;
    this.#part = "prefix";
    this.#onTrailers?.(text);
    return end;
  }

  #endFrame(payload: Uint8Array): void {
    this.#frames.push({ head: this.#head, payload });
    this.#head = nothing;
    this.#nextFrame();
  }

  #gatherFrom(piece: Buffer, at: number, countBytes: number): number {
    const end = Math.min(at + countBytes - this.#gathered, piece.length);
    piece.copy(this.#gather, this.#gathered, at, end);
    this.#gathered += end - at;
    return end;
  }
}
