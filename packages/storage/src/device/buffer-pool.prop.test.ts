/** BufferPool against a naive list of ranges: random takes and gives never overlap, never leak, and keep the buddy rules. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { BufferPool, bufferBytesMax } from "./buffer-pool.ts";

const step = fc.oneof(
  fc.record({ kind: fc.constant("take" as const), sizeBytes: fc.integer({ min: 1, max: 1 << 20 }) }),
  fc.record({ kind: fc.constant("give" as const), index: fc.nat() }),
);

test("random takes and gives keep all rules", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const pool = BufferPool.onHeap(2 * bufferBytesMax);
      const held: Uint8Array[] = [];
      for (const each of steps) {
        if (each.kind === "take") {
          const buffer = pool.tryTake(each.sizeBytes);
          if (buffer === null) continue;
          expect(
            held.some(
              (other) =>
                buffer.byteOffset < other.byteOffset + other.byteLength && other.byteOffset < buffer.byteOffset + buffer.byteLength,
            ),
          ).toBe(false);
          held.push(buffer);
        } else if (held.length > 0) {
          pool.give(held.splice(each.index % held.length, 1)[0] as Uint8Array);
        }
        pool.checkInvariants();
      }
      expect(pool.statistics.takenCount).toBe(held.length);
      for (const buffer of held) pool.give(buffer);
      pool.checkInvariants();
      pool.assertNoLeak();
      expect([pool.take(bufferBytesMax).byteLength, pool.take(bufferBytesMax).byteLength]).toEqual([bufferBytesMax, bufferBytesMax]);
    }),
    { numRuns: 100 },
  );
});
