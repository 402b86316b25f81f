import { describe, expect, test } from "vitest";
import { PayloadPool } from "./payload-pool.ts";

const bytes = (length: number, value = 1): Uint8Array => new Uint8Array(length).fill(value);

describe("PayloadPool", () => {
  test("copies, so that the caller's bytes may change", () => {
    const pool = new PayloadPool({ bytesMax: 1 << 20 });
    const data = bytes(1000, 3);
    const { parts } = pool.copy(data);
    data.fill(0);
    expect(parts).toEqual([Buffer.alloc(1000, 3)]);
  });

  test("uses a buffer again after its release, and never before", () => {
    const pool = new PayloadPool({ bytesMax: 1 << 20 });
    const first = pool.copy(bytes(4096));
    const second = pool.copy(bytes(4096, 2));
    expect(first.parts[0]?.[0]).toBe(1);
    second.release();
    const third = pool.copy(bytes(4096, 3));
    expect(third.parts[0]?.byteOffset).toBe(second.parts[0]?.byteOffset);
    expect(pool.buffersInUse).toBe(2);
  });

  test.each([1, 256, 257, 4096, 4097, 65_537, 1 << 20])("counts at least the %i bytes it holds", (length) => {
    const pool = new PayloadPool({ bytesMax: 8 << 20 });
    const payload = pool.copy(bytes(length));
    expect(payload.parts.reduce((sum, part) => sum + part.length, 0)).toBe(length);
    expect(payload.memoryBytes).toBeGreaterThanOrEqual(length);
    expect(payload.memoryBytes).toBeLessThan(Math.max(512, length * 2));
  });

  test("cuts large payloads into pieces of 1 MiB", () => {
    const pool = new PayloadPool({ bytesMax: 8 << 20 });
    const payload = pool.copy(bytes((2 << 20) + 5));
    expect(payload.parts.map((part) => part.length)).toEqual([1 << 20, 1 << 20, 5]);
    payload.release();
    expect(pool.buffersInUse).toBe(0);
  });

  test("stays inside its bound: past it, memory is not pooled", () => {
    const pool = new PayloadPool({ bytesMax: 1 << 20 });
    const held = [1, 2, 3].map(() => pool.copy(bytes(1 << 20)));
    expect(pool.slabBytes).toBe(1 << 20);
    expect(pool.buffersInUse).toBe(1);
    for (const payload of held) payload.release();
    expect(pool.buffersInUse).toBe(0);
  });

  test("a second release is a bug", () => {
    const payload = new PayloadPool({ bytesMax: 1 << 20 }).copy(bytes(10));
    payload.release();
    expect(() => payload.release()).toThrow("released once");
  });
});
