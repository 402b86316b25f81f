import { expect, test } from "vitest";
import { computeCapacity, reserveOf } from "./capacity.ts";

const gib = 1 << 30;
const space = (drive: number, device: number, total: number, free: number) => ({
  drive,
  device,
  totalBytes: total * gib,
  freeBytes: free * gib,
});

test("the reserve is 2 %, at least 1 GiB, and at most a tenth of a small drive", () => {
  expect(reserveOf(1000 * gib)).toBe(20 * gib);
  expect(reserveOf(20 * gib)).toBe(gib);
  expect(reserveOf(5 * gib)).toBe(gib / 2);
});

test("six drives of their own give four sixths of what is free above the reserve", () => {
  const report = computeCapacity([0, 1, 2, 3, 4, 5].map((drive) => space(drive, drive, 1000, 500)));
  expect(report.availableBytes).toBe(4 * 480 * gib);
  expect(report.rawTotalBytes).toBe(6000 * gib);
});

test("drives that share a file system count its free space once", () => {
  const report = computeCapacity([0, 1, 2, 3, 4, 5].map((drive) => space(drive, 7, 1000, 500)));
  expect(report.rawFreeBytes).toBe(500 * gib);
  // Rounded down, drive by drive.
  expect(Math.abs(report.availableBytes - (480 * gib * 4) / 6)).toBeLessThan(16);
});

test("with k+m drives the fullest one is the bound", () => {
  const report = computeCapacity([500, 500, 500, 500, 500, 30].map((free, drive) => space(drive, drive, 1000, free)));
  expect(report.availableBytes).toBe(4 * 10 * gib);
});

test("with more drives than k+m a full one is passed over", () => {
  const report = computeCapacity([500, 500, 500, 500, 500, 500, 20].map((free, drive) => space(drive, drive, 1000, free)));
  expect(report.availableBytes).toBe(4 * 480 * gib);
});

test("below the reserve nothing is available", () => {
  expect(computeCapacity([space(0, 0, 100, 1)]).availableBytes).toBe(0);
  expect(computeCapacity([]).availableBytes).toBe(0);
});
