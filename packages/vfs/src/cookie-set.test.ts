import { expect, test } from "vitest";
import type { Name } from "@cfs/core";
import { nameCookie } from "@cfs/metadata";
import { CookieSet } from "./cookie-set.ts";

const cookie = (at: number): number => nameCookie(`name-${at}` as Name);

test("has what was added and nothing else, also after growing", () => {
  const set = CookieSet.of([cookie(0), cookie(1)], 2) as CookieSet;
  for (let at = 2; at < 50_000; at++) expect(set.add(cookie(at))).toBe(true);
  expect(set.add(cookie(7))).toBe(true);
  expect(set.size).toBe(50_000);
  for (let at = 0; at < 50_000; at++) expect(set.has(cookie(at))).toBe(true);
  for (let at = 50_000; at < 60_000; at++) expect(set.has(cookie(at))).toBe(false);
});

test("does not begin with more than it can hold, and says when it is full", () => {
  expect(CookieSet.of([], 4_000_000)).toBeNull();
  const set = CookieSet.of([], 2_000_000) as CookieSet;
  let at = 1;
  while (set.add(at * 1_000_003) && at < 4_000_000) at++;
  expect(at).toBeGreaterThan(3_000_000);
  expect(at).toBeLessThan(3_200_000);
});
