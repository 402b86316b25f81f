import fc from "fast-check";
import { expect, test } from "vitest";
import { formatBytes, formatCount, formatDuration, formatLatency, formatThroughput } from "./format.ts";
import { parseSize } from "./parse.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [12.34 * 1024 * 1024, "12.3 MiB"],
  [1023.6 * 1024, "1.00 MiB"],
  [512 * 1024 ** 3, "512 GiB"],
])("%d bytes", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test("a formatted size reads back within the three digits that it shows", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
      const back = parseSize(formatBytes(bytes));
      expect(Math.abs(back - bytes)).toBeLessThanOrEqual(Math.max(0.5, bytes * 0.005));
    }),
  );
});

test("durations show their two largest units", () => {
  expect([0, 59.4, 61, 3_661, 90_000].map(formatDuration)).toEqual(["0 s", "59 s", "1 min 01 s", "1 h 01 min", "1 d 1 h"]);
});

test("rates, latencies and counts", () => {
  expect(formatThroughput(1_234_000_000)).toBe("1,234 MB/s");
  expect(formatThroughput(5_000_000)).toBe("5.00 MB/s");
  expect([2.5, 850, 12_300, 4_200_000].map(formatLatency)).toEqual(["2.50 µs", "850 µs", "12.3 ms", "4.20 s"]);
  expect(formatCount(1_234_567)).toBe("1,234,567");
});
