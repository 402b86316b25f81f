import { expect, test } from "vitest";
import { chooseDrives, layoutFor } from "./placement.ts";

test("the layout follows the number of healthy drives", () => {
  expect([0, 1, 2, 3, 5, 6, 20].map((count) => layoutFor(count))).toEqual([
    null,
    { k: 1, m: 0 },
    { k: 1, m: 1 },
    { k: 2, m: 1 },
    { k: 2, m: 1 },
    { k: 4, m: 2 },
    { k: 4, m: 2 },
  ]);
});

test("a segment gets different drives, or none when there are too few", () => {
  for (let segment = 1; segment < 200; segment++) {
    const chosen = chooseDrives([0, 1, 2, 3, 4, 5, 6, 7], 6, segment);
    expect(new Set(chosen).size).toBe(6);
  }
  expect(chooseDrives([0, 1, 2], 6, 1)).toBeNull();
});

test("drives share the load, and one that goes moves only what was on it", () => {
  const drives = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const load = new Map<number, number>();
  let moved = 0;
  for (let segment = 1; segment <= 2000; segment++) {
    const before = chooseDrives(drives, 6, segment) ?? [];
    for (const drive of before) load.set(drive, (load.get(drive) ?? 0) + 1);
    const after =
      chooseDrives(
        drives.filter((drive) => drive !== 3),
        6,
        segment,
      ) ?? [];
    moved += after.filter((drive) => !before.includes(drive)).length;
    if (!before.includes(3)) expect(after).toEqual(before);
  }
  for (const count of load.values()) expect(count).toBeGreaterThan(1050);
  expect(moved).toBe(load.get(3));
});

test("a node of six drives keeps two fragments to spare while drives are missing", () => {
  expect([6, 5, 4, 3].map((count) => layoutFor(count, 6))).toEqual([
    { k: 4, m: 2 },
    { k: 3, m: 2 },
    { k: 2, m: 2 },
    { k: 2, m: 1 },
  ]);
  expect([5, 4, 3].map((count) => layoutFor(count, 5))).toEqual([
    { k: 2, m: 1 },
    { k: 2, m: 1 },
    { k: 2, m: 1 },
  ]);
});
