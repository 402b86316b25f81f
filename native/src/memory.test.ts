/** Memory between living buffers, which malloc keeps, goes back to the kernel. */
import { expect, test } from "vitest";
import { crc32c } from "./pack.ts";
import { trimMemory } from "./memory.ts";

test("what was freed between living buffers is given back", async () => {
  const sizeBytes = 5_000;
  const buffers = Array.from({ length: 40_000 }, (_, index) => Buffer.alloc(sizeBytes, index));
  const whole = process.memoryUsage.rss();
  // One of sixteen lives on, so that no arena can shrink from its end.
  const kept = buffers.filter((_, index) => index % 16 === 0);
  buffers.length = 0;
  await expect
    .poll(
      async () => {
        void Array.from({ length: 2_000 }, () => new ArrayBuffer(100_000));
        await trimMemory();
        return whole - process.memoryUsage.rss();
      },
      { timeout: 20_000 },
    )
    .toBeGreaterThan(80 << 20);
  expect(
    kept.every((buffer, index) => buffer[0] === ((index * 16) & 255) && crc32c(buffer) === crc32c(Buffer.alloc(sizeBytes, index * 16))),
  ).toBe(true);
});
