/** The codec of the hot stream: round trips at any split, agreement with a naive second decoder, random and damaged bytes. */
import { CfsError } from "@cfs/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameDecoder } from "./frame-decoder.ts";
import { limits } from "./limits.ts";
import { SendQueue } from "./send-queue.ts";
import type { PayloadPool, ReceivedFrame } from "./transport.ts";

interface Plain {
  readonly head: string;
  readonly payload: string;
}

/** Hands out dirty memory and knows what is out. */
class DirtyPool implements PayloadPool {
  readonly out: Set<Uint8Array> = new Set();

  allocate(lengthBytes: number): Uint8Array {
    const payload = Buffer.alloc(lengthBytes, 0xdb);
    this.out.add(payload);
    return payload;
  }

  release(payload: Uint8Array): void {
    if (!this.out.delete(payload)) throw new Error("a payload was released that was not out");
  }
}

function plain({ head, payload }: ReceivedFrame): Plain {
  return { head: Buffer.from(head).toString("hex"), payload: Buffer.from(payload).toString("hex") };
}

/** A decoder whose frames are copied and given back to the pool as they come. */
function collecting(pool: DirtyPool): { decoder: FrameDecoder; frames: Plain[] } {
  const frames: Plain[] = [];
  const decoder = new FrameDecoder({ pool }, (batch) => {
    for (const frame of batch) {
      frames.push(plain(frame));
      if (frame.payload.length > 0) pool.release(frame.payload);
    }
  });
  return { decoder, frames };
}

/** All frames of all messages; the pool must be whole again at the end. */
function decode(pieces: readonly Buffer[], isWhole = true): Plain[] {
  const pool = new DirtyPool();
  const { decoder, frames } = collecting(pool);
  try {
    for (const piece of pieces) decoder.push(piece);
    if (isWhole) decoder.end();
  } finally {
    decoder.close();
    expect(pool.out.size).toBe(0);
  }
  return frames;
}

/** As a local socket delivers: each read goes to `room` first, then to a scratch that is written over when it was looked at. */
function decodeReused(wire: Buffer, sizes: readonly number[]): Plain[] {
  const pool = new DirtyPool();
  const { decoder, frames } = collecting(pool);
  const scratch = Buffer.alloc(6000);
  for (let at = 0, turn = 0; at < wire.length; turn++) {
    const read = wire.subarray(at, at + (sizes[turn % sizes.length] as number));
    const room = decoder.room;
    const filled = room === null ? 0 : read.copy(room);
    if (filled > 0) decoder.filled(filled);
    const scratchBytes = read.copy(scratch, 0, filled);
    decoder.push(scratch.subarray(0, scratchBytes), true);
    scratch.fill(0xee);
    at += read.length;
  }
  decoder.end();
  decoder.close();
  expect(pool.out.size).toBe(0);
  return frames;
}

/** The plain second version: the whole stream in one buffer. */
function decodeNaively(bytes: Buffer): Plain[] {
  const frames: Plain[] = [];
  for (let at = 0; at < bytes.length;) {
    const messageEnd = at + 5 + bytes.readUInt32BE(at + 1);
    at += 5;
    if (at === messageEnd) continue;
    at++;
    while ((bytes[at++] as number) >= 0x80);
    while (at < messageEnd) {
      const headEnd = at + 8 + bytes.readUInt32LE(at);
      const payloadEnd = headEnd + bytes.readUInt32LE(at + 4);
      frames.push({ head: bytes.toString("hex", at + 8, headEnd), payload: bytes.toString("hex", headEnd, payloadEnd) });
      at = payloadEnd;
    }
  }
  return frames;
}

function encode(messages: readonly (readonly (readonly [Uint8Array, readonly Uint8Array[]])[])[]): Buffer {
  const queue = new SendQueue();
  const parts: Uint8Array[] = [];
  for (const frames of messages) {
    for (const [head, payload] of frames) queue.push({ head, payload });
    for (let message = queue.take(); message !== null; message = queue.take()) {
      parts.push(...message.views.map((view) => Buffer.from(view)));
      message.done();
    }
  }
  expect(queue.queuedBytes).toBe(0);
  return Buffer.concat(parts);
}

const bytes = fc.uint8Array({ maxLength: 40 });
const piece = fc.oneof(
  bytes,
  fc.integer({ min: 8000, max: 9000 }).map((size) => new Uint8Array(size).fill(size)),
);
const someMessages = fc.array(fc.array(fc.tuple(bytes, fc.array(piece, { maxLength: 3 })), { maxLength: 6 }), { maxLength: 4 });

test("what is encoded is decoded, whatever the pieces, and as the naive decoder does", () => {
  fc.assert(
    fc.property(someMessages, fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 }), (messages, sizes) => {
      const wire = encode(messages);
      const expected = messages.flat().map(([head, payload]) => plain({ head, payload: Buffer.concat(payload) }));
      expect(decodeNaively(wire)).toEqual(expected);
      const pieces: Buffer[] = [];
      for (let at = 0, turn = 0; at < wire.length; turn++) {
        const size = sizes[turn % sizes.length] as number;
        pieces.push(wire.subarray(at, at + size));
        at += size;
      }
      expect(decode(pieces)).toEqual(expected);
      expect(decodeReused(wire, sizes)).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("a split at every byte, and every byte alone", () => {
  const wire = encode([
    [
      [Buffer.from("head"), [Buffer.alloc(200, 1)]],
      [Buffer.alloc(0), []],
      [Buffer.from("x"), []],
    ],
    [[Buffer.alloc(300, 2), [Buffer.from("tail"), Buffer.alloc(9000, 3)]]],
  ]);
  const expected = decodeNaively(wire);
  expect(expected).toHaveLength(4);
  for (let at = 0; at <= wire.length; at++) expect(decode([wire.subarray(0, at), wire.subarray(at)])).toEqual(expected);
  expect(decode(Array.from(wire, (_, at) => wire.subarray(at, at + 1)))).toEqual(expected);
});

test("a stream that stops early at any byte is CORRUPT, or whole messages", () => {
  const wire = encode([[[Buffer.from("one"), [Buffer.alloc(20, 1)]]], [[Buffer.from("two"), []]]]);
  const firstEnd = 5 + wire.readUInt32BE(1);
  for (let at = 1; at < wire.length; at++) {
    if (at === firstEnd) expect(decode([wire.subarray(0, at)])).toHaveLength(1);
    else expect(() => decode([wire.subarray(0, at)])).toThrow("CORRUPT: the stream ended inside a message");
  }
});

test("random bytes and damaged messages: frames or a CfsError, never anything else, and nothing leaks", () => {
  const judge = (input: Buffer): void => {
    try {
      decode([input], false);
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      expect(["CORRUPT", "TOO_BIG"]).toContain(error.code);
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) => judge(Buffer.from(random))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(someMessages, fc.nat(), fc.nat(255), (messages, where, value) => {
      const wire = encode(messages);
      if (wire.length > 0) wire[where % Math.min(wire.length, 64)] = value;
      judge(wire);
    }),
    { numRuns: 2000 },
  );
});

test("trailers are taken at any split where they are expected, and malformed where they are not or are too long", () => {
  const text = "grpc-status: 0\r\n";
  const trailers = Buffer.concat([Buffer.from([0x80, 0, 0, 0, text.length]), Buffer.from(text)]);
  const wire = Buffer.concat([encode([[[Buffer.from("last"), []]]]), trailers]);
  for (let at = 0; at <= wire.length; at++) {
    const told: string[] = [];
    const decoder = new FrameDecoder({ pool: new DirtyPool(), onTrailers: (got) => told.push(got) }, ([frame]) =>
      told.push(Buffer.from((frame as ReceivedFrame).head).toString()),
    );
    decoder.push(wire.subarray(0, at));
    decoder.push(wire.subarray(at));
    decoder.end();
    expect(told).toEqual(["last", text]);
  }
  expect(() => decode([wire])).toThrow("CORRUPT: a message has the compression flag 128");
  const long = new FrameDecoder({ pool: new DirtyPool(), onTrailers: () => {} }, () => {});
  expect(() => long.push(Buffer.from([0x80, 0, 0, 0x20, 1]))).toThrow("TOO_BIG: trailers of 8193 bytes");
});

test("a message with too many frames is refused before they are made", () => {
  const body = Buffer.alloc((limits.framesPerMessageMax + 1) * 8);
  const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0x0a, 0x88, 0x80, 0x02]), body]);
  message.writeUInt32BE(message.length - 5, 1);
  expect(body.length).toBe(0x8008);
  expect(() => decode([message])).toThrow("TOO_BIG: a message with more than 4096 frames");
});

test("after a pause inside delivery nothing comes until resume, at any split", () => {
  const wire = encode(["a", "b", "c"].map((head) => [[Buffer.from(head), []]]));
  for (let at = 1; at < wire.length; at++) {
    const heads: string[] = [];
    const decoder: FrameDecoder = new FrameDecoder({ pool: new DirtyPool() }, ([frame]) => {
      heads.push(Buffer.from((frame as ReceivedFrame).head).toString());
      decoder.pause();
    });
    const pieces = [wire.subarray(0, at), wire.subarray(at)];
    for (let turn = 0; turn < 20 && heads.length < 3; turn++) {
      const before = heads.length;
      decoder.resume();
      if (!decoder.isPaused && pieces.length > 0) decoder.push(pieces.shift() as Buffer);
      expect(heads.length - before).toBeLessThanOrEqual(1);
    }
    expect(heads).toEqual(["a", "b", "c"]);
  }
});
