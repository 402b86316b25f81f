/** The border of the ring: use after close, malformed batches, words in and out. */
import { expect, test } from "vitest";

import { openRing, ringHeaderWords } from "./ring.ts";
import type { Ring } from "./ring.ts";

function open(onCompletions: (count: number) => void = () => {}): Ring {
  return openRing({ engine: "automatic", slots: 4, poolBytes: 1, submissionWords: 64, threadCount: 1 }, onCompletions);
}

test("memory is one buffer: whole regions of pool, then the words of both directions", () => {
  const ring = open();
  expect(ring.poolBytes).toBe(4 << 20);
  expect(ring.submissions.byteOffset).toBe(ring.poolBytes);
  expect(ring.completions.length).toBe(8);
  expect(ring.memory.byteLength).toBe(ring.poolBytes + (64 + 8) * 8);
  ring.close();
});

test("use after close is an error, a second close is not, and the memory stays", () => {
  const ring = open();
  new Uint8Array(ring.memory)[0] = 1;
  ring.close();
  ring.close();
  expect(() => ring.submit(0, null)).toThrow(/the ring is closed/);
  expect(ring.description).toBe("the ring is closed");
  expect(new Uint8Array(ring.memory)[0]).toBe(1);
});

test("malformed batches are refused and named", () => {
  const ring = open();
  expect(() => ring.submit(65, null)).toThrow(/65 words are more than 64/);
  expect(() => ring.submit(3, null)).toThrow(/ends past word 3/);
  ring.submissions.set([4, 0, 0, 0, 0, 0, 0]);
  expect(() => ring.submit(ringHeaderWords, null)).toThrow(/slot 4 does not exist/);
  ring.submissions.set([0, 0, 0, 0, 8, 0, 1, -1, 8]);
  expect(() => ring.submit(9, null)).toThrow(/foreign view 0 of 0/);
  expect(() => ring.submit(9, [new Uint8Array(4)])).toThrow(/has 4 bytes, not 8/);
  expect(() => ring.submit(9, ["text" as unknown as Uint8Array])).toThrow();
  ring.close();
});

test("a request is reported with its slot and -errno", async () => {
  const count = await new Promise<number>((resolve) => {
    const ring = open((reported) => {
      expect([ring.completions[0], ring.completions[1]]).toEqual([2, -9]);
      ring.close();
      resolve(reported);
    });
    ring.submissions.set([2, 2, 1_000_000, 0, 0, 0, 0]);
    ring.submit(ringHeaderWords, null);
  });
  expect(count).toBe(1);
});
