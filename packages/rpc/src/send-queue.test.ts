/** Packing of frames into messages: sizes, views without copies, accounting. */
import protobuf from "protobufjs";
import { expect, test } from "vitest";
import { limits } from "./limits.ts";
import { SendQueue } from "./send-queue.ts";
import type { OutgoingMessage } from "./send-queue.ts";

const mebi = 1_048_576;

function takeAll(queue: SendQueue): OutgoingMessage[] {
  const messages: OutgoingMessage[] = [];
  for (let message = queue.take(); message !== null; message = queue.take()) messages.push(message);
  return messages;
}

test("small frames share one message that is one view", () => {
  const queue = new SendQueue();
  for (let at = 0; at < 64; at++) queue.push({ head: Buffer.alloc(64), payload: [Buffer.alloc(100)] });
  const [message, ...more] = takeAll(queue);
  expect(more).toHaveLength(0);
  expect(message?.views).toHaveLength(1);
  expect(message?.lengthBytes).toBe(64 * (8 + 64 + 100));
});

test("a large piece goes out as it is, without a copy", () => {
  const queue = new SendQueue();
  const large = Buffer.alloc(mebi);
  queue.push({ head: Buffer.alloc(10), payload: [large] });
  expect(queue.take()?.views[1]).toBe(large);
});

test("messages are sealed at their target size, and never pass what a peer accepts", () => {
  const queue = new SendQueue();
  for (let at = 0; at < 10; at++) queue.push({ head: Buffer.alloc(8), payload: [Buffer.alloc(300_000)] });
  for (let at = 0; at < 3; at++) queue.push({ head: Buffer.alloc(8), payload: [Buffer.alloc(limits.payloadBytesMax)] });
  const lengths = takeAll(queue).map(({ lengthBytes }) => lengthBytes);
  expect(lengths.slice(0, -1).every((length) => length >= limits.messageBytesTarget)).toBe(true);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(limits.messageBytesMax);
  expect(lengths.length).toBe(5);
});

test("a message has at most 4096 frames", () => {
  const queue = new SendQueue();
  for (let at = 0; at < 5000; at++) queue.push({ head: Buffer.alloc(1), payload: [] });
  expect(takeAll(queue).map(({ lengthBytes }) => lengthBytes / 9)).toEqual([4096, 904]);
});

test("bodies around every length of the varint have the prefixes of the format", () => {
  for (const bodyBytes of [8, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]) {
    const queue = new SendQueue();
    queue.push({ head: Buffer.alloc(0), payload: [Buffer.alloc(bodyBytes - 8)] });
    const wire = Buffer.concat(queue.take()?.views ?? []);
    const varint = [...protobuf.Writer.create().uint32(bodyBytes).finish()];
    expect([...wire.subarray(0, 6 + varint.length)]).toEqual([0, ...be32(1 + varint.length + bodyBytes), 0x0a, ...varint]);
    expect(wire.length).toBe(6 + varint.length + bodyBytes);
  }
});

function be32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

test("queuedBytes counts until done, onSent is called once, clear calls it for what was never taken", () => {
  const queue = new SendQueue();
  const sent: string[] = [];
  queue.push({ head: Buffer.alloc(10), payload: [Buffer.alloc(mebi)] }, () => sent.push("first"));
  queue.push({ head: Buffer.alloc(5), payload: [] }, () => sent.push("second"));
  expect(queue.hasFull).toBe(true);
  expect(queue.queuedBytes).toBe(mebi + 15);
  const first = queue.take();
  expect(queue.hasFull).toBe(false);
  expect(sent).toEqual([]);
  first?.done();
  first?.done();
  expect(sent).toEqual(["first"]);
  expect(queue.queuedBytes).toBe(5);
  queue.clear();
  expect(sent).toEqual(["first", "second"]);
  expect(queue.queuedBytes).toBe(0);
  expect(queue.isEmpty).toBe(true);
});

test("messages in flight do not share memory with later ones", () => {
  const queue = new SendQueue();
  queue.push({ head: Buffer.from("one"), payload: [] });
  const first = queue.take();
  const before = Buffer.from(first?.views[0] as Uint8Array);
  for (let at = 0; at < 100; at++) {
    queue.push({ head: Buffer.alloc(60_000, at), payload: [] });
    queue.take()?.done();
  }
  expect(Buffer.from(first?.views[0] as Uint8Array).equals(before)).toBe(true);
});

test("a head or payload past its maximum is a bug of the caller", () => {
  const queue = new SendQueue();
  expect(() => queue.push({ head: Buffer.alloc(limits.headBytesMax + 1), payload: [] })).toThrow("a head has at most 64 KiB");
  expect(() => queue.push({ head: Buffer.alloc(0), payload: [Buffer.alloc(limits.payloadBytesMax), Buffer.alloc(1)] })).toThrow(
    "at most 4 MiB",
  );
});
