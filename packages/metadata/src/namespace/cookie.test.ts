/** Name hashes are on disk: fixed values must never change. Also: they spread, and stay in range. */
import { expect, test } from "vitest";
import type { Name } from "@cfs/core";
import { firstNameCookie, hashAfterCookie, nameCookie, nameHash, nameHashMax } from "./cookie.ts";

test("the hash of a known name stays", () => {
  const known = ["a", "file1", "\u00ff\u0080", "x".repeat(255)];
  expect(known.map((name) => nameHash(name as Name).toString(16))).toMatchInlineSnapshot(`
    [
      "fe718563bcc3e",
      "65917e2225eb0",
      "48ce5fa15c684",
      "6dd1372c6d368",
    ]
  `);
});

test("names that people make do not collide", () => {
  const names = new Set<string>();
  const seen = new Set<number>();
  const add = (name: string): void => {
    const hash = nameHash(name as Name);
    if (!Number.isSafeInteger(hash) || hash < 0 || hash > nameHashMax) throw new Error(`${name} has the hash ${hash}`);
    names.add(name);
    seen.add(hash);
  };
  for (let index = 0; index < 50_000; index++) {
    add(`file${index}`);
    add(`${index}.jpg`);
    add(`IMG_${String(index).padStart(8, "0")}`);
    add(`${"a".repeat(index % 200)}-${index}`);
  }
  for (let a = 0; a < 256; a++) for (let b = 0; b < 256; b++) add(String.fromCharCode(a, b));
  expect(seen.size).toBe(names.size);
});

test("hashes fill their range evenly, in the high and in the low bits", () => {
  const high = new Uint32Array(64);
  const low = new Uint32Array(64);
  const count = 64_000;
  for (let index = 0; index < count; index++) {
    const hash = nameHash(`f${index}` as Name);
    high[Math.floor(hash / 2 ** 46)] = (high[Math.floor(hash / 2 ** 46)] as number) + 1;
    low[hash % 64] = (low[hash % 64] as number) + 1;
  }
  // 1000 expected in each; six standard deviations.
  for (const bucket of [...high, ...low]) expect(Math.abs(bucket - 1000)).toBeLessThan(190);
});

test("a listing goes on after the cookie of a name", () => {
  expect(hashAfterCookie(0)).toBe(0);
  expect(hashAfterCookie(2)).toBe(0);
  const cookie = nameCookie("a" as Name);
  expect(cookie).toBe(nameHash("a" as Name) + firstNameCookie);
  expect(hashAfterCookie(cookie)).toBe(nameHash("a" as Name) + 1);
});
