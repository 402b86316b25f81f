/** BufferPool: alignment, exhaustion, order of waiters, and the bugs that it must catch. */
import { expect, test } from "vitest";

import { BufferPool, bufferBytesMax } from "./buffer-pool.ts";

test("buffers are aligned, have the length that was asked for and do not overlap", () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const sizes = [1, 4096, 4097, 100_000, 1 << 20];
  const buffers = sizes.map((size) => pool.take(size));
  expect(buffers.map((buffer) => buffer.byteLength)).toEqual(sizes);
  expect(buffers.every((buffer) => buffer.byteOffset % 4096 === 0)).toBe(true);
  buffers.forEach((buffer, index) => buffer.fill(index));
  expect(buffers.every((buffer, index) => buffer.every((byte) => byte === index))).toBe(true);
  expect(pool.statistics.usedBytes).toBe(4096 + 4096 + 8192 + 131_072 + (1 << 20));
  pool.checkInvariants();
});

test("everything can be taken, and all of it comes back as one block", () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const buffers = Array.from({ length: 1024 }, () => pool.take(4096));
  expect(pool.tryTake(1)).toBeNull();
  expect(() => pool.take(4096)).toThrow(/NO_MEMORY.*4194304 of 4194304 bytes are taken/);
  for (const buffer of buffers.toReversed()) pool.give(buffer);
  pool.assertNoLeak();
  expect(pool.take(bufferBytesMax).byteOffset).toBe(0);
  expect(pool.statistics).toMatchObject({ usedBytesMax: bufferBytesMax, exhaustedCount: 2 });
});

test("low addresses are used again before fresh memory is", () => {
  const pool = BufferPool.onHeap(4 * bufferBytesMax);
  for (let round = 0; round < 100; round++) {
    const buffer = pool.take(4096 << (round % 11));
    expect(buffer.byteOffset).toBeLessThan(bufferBytesMax);
    pool.give(buffer);
  }
});

test("takeZeroed clears what the last owner left; take does not promise it", () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const dirty = pool.take(8192).fill(7);
  pool.give(dirty);
  expect(pool.takeZeroed(8192).every((byte) => byte === 0)).toBe(true);
});

test("waiters are served first come first served, and nobody overtakes them", async () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const halves = [pool.take(bufferBytesMax / 2), pool.take(bufferBytesMax / 2)];
  const order: string[] = [];
  const large = pool.takeOrWait(bufferBytesMax).then((buffer) => (order.push("large"), buffer));
  const small = pool.takeOrWait(4096).then((buffer) => (order.push("small"), buffer));
  pool.give(halves[0] as Uint8Array);
  expect(pool.tryTake(4096)).toBeNull();
  pool.give(halves[1] as Uint8Array);
  pool.give(await large);
  pool.give(await small);
  expect(order).toEqual(["large", "small"]);
  pool.assertNoLeak();
});

test("a caller that gives up leaves the queue and lets the next one in", async () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const half = pool.take(bufferBytesMax / 2);
  const abort = new AbortController();
  const large = pool.takeOrWait(bufferBytesMax, abort.signal);
  const small = pool.takeOrWait(4096);
  abort.abort(new Error("enough"));
  await expect(large).rejects.toThrow("enough");
  pool.give(await small);
  pool.give(half);
  await expect(pool.takeOrWait(4096, AbortSignal.abort(new Error("before")))).resolves.toBeInstanceOf(Uint8Array);
  expect(pool.statistics.waiterCount).toBe(0);
});

test("the queue of waiters is bounded", async () => {
  const pool = new BufferPool(new ArrayBuffer(bufferBytesMax), { sizeBytes: bufferBytesMax, waitersMax: 1 });
  const all = pool.take(bufferBytesMax);
  const first = pool.takeOrWait(1);
  await expect(pool.takeOrWait(1)).rejects.toMatchObject({ code: "AGAIN" });
  pool.give(all);
  pool.give(await first);
});

test("giving twice, giving a part, and giving to a stranger are bugs", () => {
  const pool = BufferPool.onHeap(bufferBytesMax);
  const buffer = pool.take(8192);
  expect(() => pool.give(buffer.subarray(0, 4096))).toThrow(/given once, as the object that was taken/);
  expect(() => pool.give(new Uint8Array(4096))).toThrow(/the pool that it came from/);
  pool.give(buffer);
  expect(() => pool.give(buffer)).toThrow(/given once/);
  const next = pool.take(8192);
  expect(next.byteOffset).toBe(buffer.byteOffset);
  expect(() => pool.give(buffer)).toThrow(/given once/);
  expect(() => pool.assertNoLeak()).toThrow(/8192 bytes at 0/);
  expect(() => pool.take(0)).toThrow(/1 byte to 4 MiB/);
  expect(() => pool.take(bufferBytesMax + 1)).toThrow(/1 byte to 4 MiB/);
});
