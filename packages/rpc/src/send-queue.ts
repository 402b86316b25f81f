/**
 * The frames that wait to be sent on one connection, and their packing into messages.
 *
 * Invariants: messages come out in the order frames went in; `queuedBytes` counts a frame from `push` until `done` of its message; every
 * onSent is called exactly once. No payload piece of 8 KiB or more is copied: a message is a list of views. Heads and small pieces are
 * written into one buffer per message, taken from a scratch buffer that is used again when nothing is in flight.
 */
import { assert } from "@cfs/core";
import { frameHeaderBytes, messagePrefixBytesMax, varintBytes, writeMessagePrefix } from "./batch-format.ts";
import { limits } from "./limits.ts";
import type { Frame } from "./transport.ts";

/** A message ready for the wire. `done` must be called once, when its views may be used again. */
export interface OutgoingMessage {
  readonly views: readonly Uint8Array[];
  readonly lengthBytes: number;
  done(): void;
}

interface Packing {
  readonly frames: Frame[];
  readonly onSent: (() => void)[];
  /** Heads and payloads, as `queuedBytes` counts them. */
  contentBytes: number;
  bodyBytes: number;
  /** What goes into the message's own buffer: headers, heads, small pieces. */
  copiedBytes: number;
}

const scratchBytes = 256 * 1024;

export class SendQueue {
  #sealed: Packing[] = [];
  #sealedAt = 0;
  #open: Packing | null = null;
  #scratch: Buffer | null = null;
  #scratchUsed = 0;
  #inFlight = 0;
  queuedBytes = 0;

  get isEmpty(): boolean {
    return this.#open === null && this.#sealedAt === this.#sealed.length;
  }

  /** A message that nothing can be added to waits. */
  get hasFull(): boolean {
    return this.#sealedAt < this.#sealed.length;
  }

  push(frame: Frame, onSent?: () => void): void {
    const headBytes = frame.head.length;
    let payloadBytes = 0;
    let copiedBytes = frameHeaderBytes + headBytes;
    for (const piece of frame.payload) {
      payloadBytes += piece.length;
      if (piece.length < limits.inlineBytesMax) copiedBytes += piece.length;
    }
    assert(headBytes <= limits.headBytesMax, "a head has at most 64 KiB");
    assert(payloadBytes <= limits.payloadBytesMax, "a payload has at most 4 MiB");
    this.#open ??= { frames: [], onSent: [], contentBytes: 0, bodyBytes: 0, copiedBytes: 0 };
    const open = this.#open;
    open.frames.push(frame);
    if (onSent !== undefined) open.onSent.push(onSent);
    open.contentBytes += headBytes + payloadBytes;
    open.bodyBytes += frameHeaderBytes + headBytes + payloadBytes;
    open.copiedBytes += copiedBytes;
    this.queuedBytes += headBytes + payloadBytes;
    if (open.bodyBytes >= limits.messageBytesTarget || open.frames.length === limits.framesPerMessageMax) this.#seal();
  }

  /** The next message, or null when nothing waits. */
  take(): OutgoingMessage | null {
    if (this.#sealedAt === this.#sealed.length) {
      if (this.#open === null) return null;
      this.#seal();
    }
    const packing = this.#sealed[this.#sealedAt++] as Packing;
    if (this.#sealedAt === this.#sealed.length) {
      this.#sealed = [];
      this.#sealedAt = 0;
    }
    this.#inFlight++;
    let isDone = false;
    return {
      views: this.#views(packing),
      lengthBytes: packing.bodyBytes,
      done: () => {
        if (isDone) return;
        isDone = true;
        this.#finish(packing);
      },
    };
  }

  /** Drops what was never taken; its onSent are called. */
  clear(): void {
    for (let message = this.take(); message !== null; message = this.take()) message.done();
  }

  #finish(packing: Packing): void {
    this.queuedBytes -= packing.contentBytes;
    if (--this.#inFlight === 0) this.#scratchUsed = 0;
    for (const onSent of packing.onSent) onSent();
  }

  #seal(): void {
    assert(this.#open !== null, "there is a message to seal");
    assert(this.#open.bodyBytes <= limits.messageBytesMax, "a message is within what the peer accepts");
    this.#sealed.push(this.#open);
    this.#open = null;
  }

  #room(lengthBytes: number): Buffer {
    if (lengthBytes > scratchBytes - this.#scratchUsed) return Buffer.allocUnsafeSlow(lengthBytes);
    this.#scratch ??= Buffer.allocUnsafeSlow(scratchBytes);
    const at = this.#scratchUsed;
    this.#scratchUsed += lengthBytes;
    return this.#scratch.subarray(at, at + lengthBytes);
  }

  #views(packing: Packing): Uint8Array[] {
    const prefixBytes = messagePrefixBytesMax - 5 + varintBytes(packing.bodyBytes);
    const own = this.#room(prefixBytes + packing.copiedBytes);
    const views: Uint8Array[] = [];
    let at = writeMessagePrefix(own, 0, packing.bodyBytes);
    let from = 0;
    for (const { head, payload } of packing.frames) {
      let payloadBytes = 0;
      for (const piece of payload) payloadBytes += piece.length;
      own.writeUInt32LE(head.length, at);
      own.writeUInt32LE(payloadBytes, at + 4);
      own.set(head, at + frameHeaderBytes);
      at += frameHeaderBytes + head.length;
      for (const piece of payload) {
        if (piece.length < limits.inlineBytesMax) {
          own.set(piece, at);
          at += piece.length;
        } else {
          if (at > from) views.push(own.subarray(from, at));
          views.push(piece);
          from = at;
        }
      }
    }
    assert(at === own.length, "a message's own buffer is filled exactly");
    if (at > from) views.push(from === 0 ? own : own.subarray(from, at));
    return views;
  }
}
