/**
 * One connection over one stream of bytes: frames out through a SendQueue, bytes in through a FrameDecoder.
 *
 * The same class serves every end; `HotStreamEnd` holds what differs: HTTP/2 (http2-end.ts) of a client or a server, or a local socket (local-end.ts).
 *
 * Sending: the first frame of a turn is sent when the callbacks that run now are done (or at `flush`), later ones of the same turn together, and
 * at most two messages are with the layer below, so that under load messages grow by themselves.
 *
 * States: open → closing (our close() was called: what is queued goes out, then END_STREAM) → closed. A failure goes to closed at once.
 * Invariant: onClosed is called once, after the last onFrames; when it is called every onSent was called and no payload is held.
 */
import { AssertionError, CfsError } from "@cfs/core";
import { FrameDecoder } from "./frame-decoder.ts";
import { limits } from "./limits.ts";
import { SendQueue } from "./send-queue.ts";
import type { OutgoingMessage } from "./send-queue.ts";
import type { Connection, Frame, PayloadPool, ReceivedFrame } from "./transport.ts";

/** What an end delivers; nothing while it is paused, and nothing after `closed`. */
export interface StreamHandlers {
  /** `isReused`: the piece is written over when this returns. */
  data(piece: Buffer, isReused: boolean): void;
  /** Where the next bytes may be put without a piece; `filled` then says how many were. */
  room(): Uint8Array | null;
  filled(countBytes: number): void;
  /** The peer's direction has ended. */
  end(): void;
  /** Both directions have ended, or the stream is lost. Once. */
  closed(): void;
}

/** One end of what carries the bytes: an HTTP/2 stream of a client or a server, or a local socket. It begins paused. */
export interface HotStreamEnd {
  /** Called once, before anything else. */
  start(handlers: StreamHandlers): void;
  /** Trailers that came as a message: where HTTP/2 does not carry them. */
  readonly onTrailers: ((text: string) => void) | null;
  /** `written` is called once, when the views may be used again; not at all when the stream closes first. */
  write(views: readonly Uint8Array[], written: () => void): void;
  pause(): void;
  resume(): void;
  /** What `room` gave is not to be filled any more; what comes from now on is of no use. */
  discard(): void;
  /** Ends our direction and tells the peer why. */
  finish(error: CfsError | null): void;
  /** Ends the stream now, whatever waits on it. */
  cut(): void;
  /** Why the stream closed, as far as this end knows; null for a clean end. */
  reason(): CfsError | null;
  /** Called once after the stream has closed, to let go of what belongs to it alone. */
  released(): void;
}

export interface StreamConnectionParts {
  readonly end: HotStreamEnd;
  readonly pool: PayloadPool;
  readonly peer: string;
  /** Calls back once after the time; returns how to cancel. */
  readonly after: (delayMs: number, callback: () => void) => () => void;
}

const drainedAlready: Promise<void> = Promise.resolve();

export class StreamConnection implements Connection {
  readonly peer: string;
  readonly #end: HotStreamEnd;
  readonly #after: StreamConnectionParts["after"];
  readonly #closeTimeoutMs: number;
  readonly #queue: SendQueue = new SendQueue();
  readonly #decoder: FrameDecoder;
  readonly #inFlight: Set<OutgoingMessage> = new Set();
  #isFlushPlanned = false;
  /** A tick that is planned by a microtask runs after all microtasks: when the callbacks that run now are done. */
  readonly #planTick: () => void = () => process.nextTick(this.#runFlush);
  readonly #runFlush: () => void = () => {
    this.#isFlushPlanned = false;
    this.#flush();
  };
  #state: "open" | "closing" | "closed" = "open";
  #isFinished = false;
  #isReading = false;
  #failure: CfsError | null = null;
  #closeReason: CfsError | null = null;
  #onFrames: (frames: readonly ReceivedFrame[]) => void = () => {};
  #onClosed: ((reason: CfsError | null) => void) | null = null;
  #drained: PromiseWithResolvers<void> | null = null;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #cancelCut: (() => void) | null = null;

  constructor(parts: StreamConnectionParts, options: { closeTimeoutMs: number }) {
    this.peer = parts.peer;
    this.#end = parts.end;
    this.#after = parts.after;
    this.#closeTimeoutMs = options.closeTimeoutMs;
    const { onTrailers } = parts.end;
    this.#decoder = new FrameDecoder({ pool: parts.pool, onTrailers }, (frames) => this.#deliver(frames));
    this.#end.start({
      data: (piece, isReused) => this.#received(() => this.#decoder.push(piece, isReused)),
      room: () => this.#decoder.room,
      filled: (countBytes) => this.#received(() => this.#decoder.filled(countBytes)),
      end: () => this.#peerEnded(),
      closed: () => this.#streamClosed(),
    });
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  get onFrames(): (frames: readonly ReceivedFrame[]) => void {
    return this.#onFrames;
  }

  set onFrames(handler: (frames: readonly ReceivedFrame[]) => void) {
    this.#onFrames = handler;
    if (this.#isReading) return;
    this.#isReading = true;
    if (!this.#decoder.isPaused) this.#end.resume();
  }

  get onClosed(): (reason: CfsError | null) => void {
    return this.#onClosed ?? (() => {});
  }

  set onClosed(handler: (reason: CfsError | null) => void) {
    const isLate = this.#state === "closed" && this.#onClosed === null;
    this.#onClosed = handler;
    if (isLate) queueMicrotask(() => handler(this.#closeReason));
  }

  send(frame: Frame, onSent?: () => void): void {
    if (this.#state !== "open") throw new CfsError("UNREACHABLE", `the connection to ${this.peer} is closed`);
    if (this.#queue.queuedBytes > limits.queuedBytesMax) {
      throw new CfsError("AGAIN", `${this.#queue.queuedBytes} bytes wait to be sent to ${this.peer}; wait for drained()`);
    }
    this.#queue.push(frame, onSent);
    this.#planFlush();
  }

  flush(): void {
    this.#flush();
  }

  drained(): Promise<void> {
    if (this.#queue.queuedBytes < limits.queuedBytesLow || this.#state === "closed") return drainedAlready;
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  pause(): void {
    this.#decoder.pause();
    this.#end.pause();
  }

  resume(): void {
    if (!this.#decoder.isPaused) return;
    this.#received(() => this.#decoder.resume());
    if (!this.#decoder.isPaused && this.#isReading) this.#end.resume();
  }

  close(): Promise<void> {
    if (this.#state !== "open") return this.#closed.promise;
    this.#state = "closing";
    this.#cancelCut = this.#after(this.#closeTimeoutMs, () => this.#cut());
    // A paused receiver would never see the peer's end; what arrives after close() is of no use.
    this.#stopDecoding();
    this.#isReading = true;
    this.#end.resume();
    this.#flush();
    return this.#closed.promise;
  }

  /** Ends the connection at once with a reason of this end. */
  fail(reason: CfsError): void {
    if (this.#state === "closed" || this.#failure !== null) return;
    this.#failure = reason;
    this.#stopDecoding();
    if (this.#state === "open") this.#state = "closing";
    this.#cancelCut ??= this.#after(this.#closeTimeoutMs, () => this.#cut());
    this.#queue.clear();
    if (this.#isFinished) this.#cut();
    else this.#finish();
    // The other direction is not read any more, but has to flow for the stream to end.
    this.#end.resume();
  }

  #planFlush(): void {
    if (this.#isFlushPlanned || !this.#mayWrite()) return;
    this.#isFlushPlanned = true;
    queueMicrotask(this.#planTick);
  }

  /** A message that is not full waits for the one before it: what is sent meanwhile joins it. */
  #mayWrite(): boolean {
    return this.#inFlight.size === 0 || (this.#inFlight.size < limits.messagesInFlightMax && this.#queue.hasFull);
  }

  #flush(): void {
    while (this.#mayWrite() && this.#state !== "closed") {
      const message = this.#queue.take();
      if (message === null) break;
      this.#write(message);
    }
    if (this.#state === "closing" && this.#queue.isEmpty && this.#inFlight.size === 0) this.#finish();
  }

  #write(message: OutgoingMessage): void {
    this.#inFlight.add(message);
    this.#end.write(message.views, () => this.#written(message));
  }

  #written(message: OutgoingMessage): void {
    if (!this.#inFlight.delete(message)) return;
    message.done();
    if (this.#queue.queuedBytes < limits.queuedBytesLow) this.#wakeDrained();
    if (!this.#isFlushPlanned && (!this.#queue.isEmpty || this.#state === "closing")) this.#flush();
  }

  #wakeDrained(): void {
    const waiting = this.#drained;
    this.#drained = null;
    waiting?.resolve();
  }

  #stopDecoding(): void {
    this.#end.discard();
    this.#decoder.close();
  }

  #cut(): void {
    this.#failure ??= new CfsError("UNREACHABLE", `${this.peer} did not agree to close within ${this.#closeTimeoutMs} ms`);
    this.#end.cut();
  }

  #finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#end.finish(this.#failure);
  }

  /** An error of the receiver is a bug of ours, and must not pass for malformed data of the peer. */
  #deliver(frames: readonly ReceivedFrame[]): void {
    try {
      this.#onFrames(frames);
    } catch (error) {
      throw new AssertionError(`onFrames of the connection to ${this.peer} threw`, { cause: error });
    }
  }

  /** Runs the decoder; malformed bytes end the connection with what was wrong with them. */
  #received(decode: () => void): void {
    try {
      decode();
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      this.fail(new CfsError(error.code, `malformed data from ${this.peer}: ${error.message}`, { cause: error }));
    }
  }

  #peerEnded(): void {
    if (this.#state === "open") {
      this.#received(() => this.#decoder.end());
      if (this.#state === "open") this.#state = "closing";
      this.#cancelCut ??= this.#after(this.#closeTimeoutMs, () => this.#cut());
    }
    this.#flush();
  }

  #streamClosed(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelCut?.();
    this.#closeReason = this.#failure ?? this.#end.reason();
    this.#stopDecoding();
    for (const message of this.#inFlight) message.done();
    this.#inFlight.clear();
    this.#queue.clear();
    this.#wakeDrained();
    this.#end.released();
    this.#onClosed?.(this.#closeReason);
    this.#closed.resolve();
  }
}
