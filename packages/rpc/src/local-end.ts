/**
 * One end of a hot stream on a local socket (local-socket.ts), where HTTP/2 would only cost.
 *
 *   preface    "cfs-stream/1\n", once in each direction
 *   messages   as on HTTP/2 (batch-format.ts); one without a body is a sign of life
 *   trailers   | 0x80 1 | length 4, big endian | "name: value\r\n" … |, then the end of the direction (gRPC-Web's convention)
 *
 * There are no windows: a receiver that is paused leaves bytes in the socket, and a sender keeps what the socket does not take.
 * A peer that says nothing for two intervals is dead: each end sends a sign of life per interval. While we are paused nobody is blamed.
 */
import { CfsError } from "@cfs/core";
import { LocalStream } from "@cfs/native";
import { grpcPrefixBytes, trailersFlag } from "./batch-format.ts";
import { errorOfTrailers, trailersOf } from "./grpc-status.ts";
import { limits } from "./limits.ts";
import type { HotStreamEnd, StreamHandlers } from "./stream-connection.ts";

const preface: Buffer = Buffer.from("cfs-stream/1\n");
/** A gRPC message of no bytes. */
const signOfLife: Buffer = Buffer.alloc(grpcPrefixBytes);
const nothing: Uint8Array = new Uint8Array(0);
const wholeCopyBytesMax = 4_096;

interface Outgoing {
  readonly views: readonly Uint8Array[];
  readonly lengthBytes: number;
  readonly written: () => void;
}

export interface LocalEndParts {
  /** A connected socket, which it takes. */
  readonly fd: number;
  readonly peer: string;
  /** Calls back once after the time; returns how to cancel. */
  readonly after: (delayMs: number, callback: () => void) => () => void;
  /** Called once when the stream has closed. */
  readonly onReleased?: () => void;
}

export interface LocalEndOptions {
  /** Milliseconds between signs of life, 0 for none. */
  readonly keepAliveMs: number;
}

export class LocalEnd implements HotStreamEnd {
  readonly onTrailers: (text: string) => void;
  readonly #parts: LocalEndParts;
  readonly #stream: LocalStream;
  readonly #opened: PromiseWithResolvers<void> = Promise.withResolvers();
  #handlers: StreamHandlers | null = null;
  #prefaceSeen = 0;
  /** What came with the preface before anybody read. */
  #early: Buffer | null = null;
  #isReading = false;
  readonly #queue: Outgoing[] = [];
  #skipBytes = 0;
  #trailers: Readonly<Record<string, string>> | null = null;
  #failure: CfsError | null = null;
  /** Our owner is closing: what comes is not looked at, the peer's trailers neither. */
  #isDiscarding = false;
  #hasFinished = false;
  #hasPeerEnded = false;
  #isClosed = false;
  #hasHeard = true;
  #silentIntervals = 0;
  #cancelCheck: () => void = () => {};

  constructor(parts: LocalEndParts, { keepAliveMs }: LocalEndOptions) {
    this.#parts = parts;
    this.onTrailers = (text) => (this.#trailers = parseTrailers(text));
    this.#opened.promise.catch(() => {}); // Told by `closed` as well.
    this.#stream = new LocalStream(parts.fd, limits.localReadBytes, {
      onRead: (targetBytes, scratchBytes) => this.#read(targetBytes, scratchBytes),
      onRoom: () => this.#pump(),
      onEnd: (errno) => this.#ended(errno),
    });
    this.write([preface], () => {});
    this.#stream.resume();
    if (keepAliveMs > 0) this.#watchOver(keepAliveMs);
  }

  /** Resolves when the peer has shown that it speaks this protocol. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  start(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  write(views: readonly Uint8Array[], written: () => void): void {
    if (this.#isClosed) return;
    let lengthBytes = 0;
    for (const view of views) lengthBytes += view.length;
    this.#queue.push({ views, lengthBytes, written });
    if (this.#queue.length === 1) this.#pump();
  }

  pause(): void {
    this.#isReading = false;
    // Until the preface has come nothing of the stream is delivered, and it has to come.
    if (this.#prefaceSeen === preface.length) this.#stream.pause();
  }

  resume(): void {
    this.#isReading = true;
    const early = this.#early;
    this.#early = null;
    if (early !== null) this.#deliver(0, early);
    if (this.#isReading && !this.#isClosed) this.#stream.resume();
  }

  discard(): void {
    this.#isDiscarding = true;
    if (!this.#isClosed) this.#stream.aim(nothing);
  }

  finish(error: CfsError | null): void {
    this.write([trailersMessage(error)], () => {
      this.#stream.shutdown();
      this.#hasFinished = true;
      this.#closeWhenOver();
    });
  }

  cut(): void {
    this.#close();
  }

  reason(): CfsError | null {
    if (this.#trailers !== null) return errorOfTrailers(this.#trailers, `${this.#parts.peer} closed the connection`);
    if (this.#failure === null && this.#isDiscarding && this.#hasPeerEnded) return null;
    return this.#failure ?? new CfsError("UNREACHABLE", `the connection to ${this.#parts.peer} was lost`);
  }

  released(): void {
    this.#parts.onReleased?.();
  }

  #pump(): void {
    for (let next = this.#queue[0]; next !== undefined && !this.#isClosed; next = this.#queue[0]) {
      const taken = this.#stream.write(next.views, this.#skipBytes);
      if (taken < 0) {
        this.#writeFailed(-taken);
        return;
      }
      this.#skipBytes += taken;
      if (this.#skipBytes < next.lengthBytes) return;
      this.#queue.shift();
      this.#skipBytes = 0;
      next.written();
    }
  }

  /** The peer is gone. What it said last may still lie in the socket, and ends the stream when it is read. */
  #writeFailed(errno: number): void {
    this.#failure ??= CfsError.fromErrno(errno, `the connection to ${this.#parts.peer} was lost`);
    this.#queue.length = 0;
    this.#skipBytes = 0;
    if (!this.#isReading) this.#close();
  }

  #read(targetBytes: number, scratchBytes: number): void {
    this.#hasHeard = true;
    let piece = this.#stream.scratch.subarray(0, scratchBytes);
    if (this.#prefaceSeen < preface.length) {
      piece = this.#takePreface(piece);
      if (this.#isClosed || this.#prefaceSeen < preface.length) return;
      if (!this.#isReading) {
        if (piece.length > 0) this.#early = Buffer.from(piece);
        this.#stream.pause();
        return;
      }
    }
    this.#deliver(targetBytes, piece);
  }

  #deliver(filledBytes: number, piece: Buffer): void {
    const handlers = this.#handlers;
    if (handlers === null) return;
    if (filledBytes > 0) handlers.filled(filledBytes);
    if (piece.length > 0 && !this.#isClosed) {
      // One copy of small requests and replies is cheaper than one of each head.
      const isSmall = piece.length <= wholeCopyBytesMax;
      handlers.data(isSmall ? Buffer.from(piece) : piece, !isSmall);
    }
    if (this.#isClosed) return;
    const room = handlers.room();
    if (room !== null) this.#stream.aim(room);
  }

  #takePreface(piece: Buffer): Buffer {
    const count = Math.min(piece.length, preface.length - this.#prefaceSeen);
    if (preface.compare(piece, 0, count, this.#prefaceSeen, this.#prefaceSeen + count) !== 0) {
      this.#failure = new CfsError(
        "CORRUPT",
        `${this.#parts.peer} does not speak this version of the local stream; compare \`cfs version\` on both sides`,
      );
      this.#close();
      return piece;
    }
    this.#prefaceSeen += count;
    if (this.#prefaceSeen === preface.length) this.#opened.resolve();
    return piece.subarray(count);
  }

  #ended(errno: number): void {
    if (errno !== 0) {
      this.#failure ??= CfsError.fromErrno(errno, `the connection to ${this.#parts.peer} was lost`);
      this.#close();
      return;
    }
    // Without trailers the peer did not end: it died.
    if (this.#trailers === null && !this.#isDiscarding) {
      this.#close();
      return;
    }
    this.#hasPeerEnded = true;
    this.#handlers?.end();
    this.#closeWhenOver();
  }

  #closeWhenOver(): void {
    if (this.#hasPeerEnded && this.#hasFinished) this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelCheck();
    this.#stream.close();
    this.#queue.length = 0;
    this.#opened.reject(this.reason() ?? new CfsError("UNREACHABLE", `${this.#parts.peer} closed the connection before it answered`));
    // Never from inside a call of the owner.
    process.nextTick(() => this.#handlers?.closed());
  }

  #watchOver(intervalMs: number): void {
    const check = (): void => {
      if (this.#isClosed) return;
      this.#silentIntervals = this.#hasHeard || !this.#isReading ? 0 : this.#silentIntervals + 1;
      this.#hasHeard = false;
      if (this.#silentIntervals === 2) {
        this.#failure ??= new CfsError("TIMED_OUT", `${this.#parts.peer} gave no sign of life for ${2 * intervalMs} ms`);
        this.#close();
        return;
      }
      // Behind trailers nothing may follow; a full socket is a sign of its own.
      if (this.#queue.length === 0 && !this.#hasFinished) this.write([signOfLife], () => {});
      wait();
    };
    // After the loop has polled: a long pause of our own process is not blamed on a peer whose bytes already wait in the socket.
    const wait = (): void => {
      this.#cancelCheck = this.#parts.after(intervalMs, () => setImmediate(check));
    };
    wait();
  }
}

function trailersMessage(error: CfsError | null): Buffer {
  const text = Object.entries(trailersOf(error))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  const message = Buffer.alloc(grpcPrefixBytes + text.length);
  message[0] = trailersFlag;
  message.writeUInt32BE(text.length, 1);
  message.write(text, grpcPrefixBytes, "latin1");
  return message;
}

function parseTrailers(text: string): Readonly<Record<string, string>> {
  const pairs = text.split("\r\n").map((line) => /^([a-z-]+): (.*)$/.exec(line));
  return Object.fromEntries(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1], pair[2]]])) as [string, string][]);
}
