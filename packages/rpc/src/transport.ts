/**
 * The small interface between the parts of a cluster and whatever carries their bytes.
 *
 * A connection is an ordered, reliable stream of frames in both directions. A frame is a small head (the request or reply, encoded by
 * the caller) and bulk payload. Why not requests and replies: matching them is a few lines above this, and the same stream then
 * carries recalls, acknowledgements and heartbeats without a second protocol.
 *
 * Invariants: frames arrive once and in order, or `onClosed` is called; `onClosed` is called exactly once; nothing is delivered after
 * it, nor between `pause()` and `resume()`.
 * Implementations: http2-transport.ts (gRPC on the wire), memory-transport.ts. All pass testkit's `transportSuite`.
 */
import type { CfsError } from "@cfs/core";

/** What goes out. Both parts are borrowed until `onSent` is called. */
export interface Frame {
  /** 0 to 1 MiB. */
  readonly head: Uint8Array;
  /** 0 to 4 MiB together; sent from where it lies, without a copy (pieces below 8 KiB are copied: that is cheaper). */
  readonly payload: readonly Uint8Array[];
}

export interface ReceivedFrame {
  /** Borrowed: valid until `onFrames` returns. */
  readonly head: Uint8Array;
  /** Given. When it is not empty it came from `PayloadPool.allocate`, and the receiver must release it there. */
  readonly payload: Uint8Array;
}

/** Where received payloads are put. */
export interface PayloadPool {
  /** Exactly `lengthBytes` (1 to 4 MiB) of memory; its contents do not matter. Must not throw: bound memory by `Connection.pause()`. */
  allocate(lengthBytes: number): Uint8Array;
  /** Takes back what `allocate` gave; called by the transport itself only for a payload it could not deliver. */
  release(payload: Uint8Array): void;
}

/** Fresh memory for each payload, returned by the garbage collector. */
export const plainPayloadPool: PayloadPool = {
  allocate: (lengthBytes) => Buffer.allocUnsafeSlow(lengthBytes),
  release() {},
};

export interface Connection {
  /** HOST:PORT of the other end, for messages. */
  readonly peer: string;
  /** Bytes of heads and payloads that were sent and are not yet given to the kernel. */
  readonly queuedBytes: number;
  /** Delivers all frames of one message at once, in order. Reading begins when this is first set. */
  onFrames: (frames: readonly ReceivedFrame[]) => void;
  /** Called once: null after a clean close by either end, else why. Called soon after being set if the connection is already closed. */
  onClosed: (reason: CfsError | null) => void;
  /**
   * Queues a frame; frames of one turn of the event loop share messages. `onSent` is called exactly once, when head and payload may be
   * used again, also when the connection closes first. Throws UNREACHABLE when closed and AGAIN past `limits.queuedBytesMax`.
   */
  send(frame: Frame, onSent?: () => void): void;
  /**
   * Gives what is queued to the layer below now, as far as it takes it, instead of when this turn ends: for what somebody waits for, so that the
   * other end works while this one goes on.
   */
  flush(): void;
  /** Resolves when `queuedBytes` is below the low-water mark, or the connection is closed. Await it before sending more bulk. */
  drained(): Promise<void>;
  /** Stops delivery and, once the flow-control window is full, the sender. What was received meanwhile (at most the window) waits. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes both directions; after `closeTimeoutMs` without the peer's consent it cuts. Idempotent. */
  close(): Promise<void>;
}

export interface Address {
  /** A name or address; to listen on all interfaces: "::" or "0.0.0.0". */
  readonly host: string;
  /** 0 picks a free port when listening. */
  readonly port: number;
}

export interface ConnectOptions {
  /** For name look-up, connecting and the first answer together. 1 or more. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Listener {
  /** Where it listens, with the real port. */
  readonly address: Address;
  /** Refuses new connections and closes those that are open. Idempotent. */
  close(): Promise<void>;
}

export interface Transport {
  connect(address: Address, options: ConnectOptions): Promise<Connection>;
  /** `onConnection` must set `onFrames` and `onClosed` before it returns, or close the connection. */
  listen(address: Address, onConnection: (connection: Connection) => void): Promise<Listener>;
}

/** HOST:PORT, with brackets around an IPv6 address. */
export function addressText(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
