/** Numbers that need no look at the store, and those that do. */
import { inodeNumber } from "@cfs/core";
import { expect, test } from "vitest";
import { FreshInodes } from "./fresh-inodes.ts";

test("rising numbers of a range granted meanwhile are fresh, once; all others are asked for", () => {
  const fresh = new FreshInodes();
  expect(fresh.take(inodeNumber(5, 0))).toBe(false);
  fresh.granted(10, 20);
  fresh.granted(30, 40);
  expect(fresh.take(inodeNumber(9, 65_535))).toBe(false);
  expect(fresh.take(inodeNumber(10, 0))).toBe(true);
  expect(fresh.take(inodeNumber(10, 0))).toBe(false);
  expect(fresh.take(inodeNumber(12, 7))).toBe(true);
  expect(fresh.take(inodeNumber(11, 0))).toBe(false);
  expect(fresh.take(inodeNumber(12, 8))).toBe(true);
  expect(fresh.take(inodeNumber(39, 0))).toBe(true);
  expect(fresh.take(inodeNumber(20, 0))).toBe(false);
});
