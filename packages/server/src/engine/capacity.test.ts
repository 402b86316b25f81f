import { silentLogger, systemClock } from "@cfs/core";
import { expect, test } from "vitest";
import { Capacity, computeCapacity, journalFileBytes, reserveOf } from "./capacity.ts";

const gib = 1 << 30;
const space = (drive: number, device: number, total: number, free: number, prepared = 0) => ({
  drive,
  device,
  totalBytes: total * gib,
  freeBytes: free * gib,
  preparedBytes: prepared * gib,
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

test("what is prepared on a drive counts as free there, and once where drives share a file system", () => {
  const apart = computeCapacity([0, 1, 2, 3, 4, 5].map((drive) => space(drive, drive, 1000, 30, drive === 0 ? 10 : 40)));
  expect(apart.availableBytes).toBe(4 * 20 * gib);
  expect(apart.preparedBytes).toBe(210 * gib);
  const shared = computeCapacity([0, 1, 2, 3, 4, 5].map((drive) => space(drive, 7, 1000, 120, 10)));
  expect(shared.rawFreeBytes).toBe(180 * gib);
  expect(Math.abs(shared.availableBytes - (160 * gib * 4) / 6)).toBeLessThan(16);
});

test("journal files are a thirty-second part of the smallest drive, from 4 to 64 MiB", () => {
  const mib = 2 ** -10;
  expect(journalFileBytes([space(0, 0, 100, 1), space(1, 1, 300 * mib, 0)])).toBe(8 << 20);
  expect(journalFileBytes([0, 1, 2, 3, 4, 5].map((drive) => space(drive, 7, 3, 1)))).toBe(16 << 20);
  expect(journalFileBytes([space(0, 0, 128 * mib, 0)])).toBe(4 << 20);
  expect(journalFileBytes([space(0, 0, 1000, 1)])).toBe(64 << 20);
  expect(journalFileBytes([])).toBe(64 << 20);
});

test("what is written is taken off until the drives are measured again, and what is prepared there is adjusted", async () => {
  let freeBytes = 4 * gib;
  let promised = 0;
  const given: unknown[] = [];
  const prepared = { bytes: () => 0, adjust: async (...room: readonly unknown[]) => void given.push(room) };
  const measure = async () => [{ drive: 3, device: 1, totalBytes: 10 * gib, freeBytes }];
  const capacity = await Capacity.open(
    { measure, prepared, promisedBytes: () => promised, clock: systemClock(), logger: silentLogger },
    1 << 30,
  );
  expect(capacity.availableBytes).toBe(3 * gib);
  promised = gib;
  expect(capacity.availableBytes).toBe(2 * gib - gib / 32);
  promised = 3 * gib;
  expect(capacity.availableBytes).toBe(0);
  promised = 0;
  capacity.spend(gib);
  expect([capacity.availableBytes, capacity.isVague]).toEqual([2 * gib, false]);
  capacity.spend(gib);
  expect([capacity.availableBytes, capacity.isVague]).toEqual([gib, true]);
  expect(given).toEqual([]);
  freeBytes = gib / 2;
  await capacity.refresh();
  expect([capacity.availableBytes, capacity.isVague]).toEqual([0, false]);
  expect(given).toEqual([[3, gib / 2, gib, true]]);
  await capacity.close();
});

test("of the drives on one file system the first keeps the ballast", async () => {
  const keepers = new Map<number, boolean>();
  const prepared = {
    bytes: () => 0,
    adjust: async (drive: number, _free: number, _reserve: number, keeps: boolean) => void keepers.set(drive, keeps),
  };
  const spaces = [space(4, 7, 10, 5), space(2, 7, 10, 5), space(3, 8, 10, 5), space(5, 7, 10, 5)];
  const parts = { measure: async () => spaces, prepared, promisedBytes: () => 0, clock: systemClock(), logger: silentLogger };
  const capacity = await Capacity.open(parts, 1 << 30);
  await capacity.refresh();
  await capacity.close();
  expect(Object.fromEntries(keepers)).toEqual({ 2: false, 3: true, 4: true, 5: false });
});
