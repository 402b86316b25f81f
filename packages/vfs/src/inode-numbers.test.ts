import { expect, test } from "vitest";
import { inodeNumber, rootInode, silentLogger, slotOf } from "@cfs/core";
import { InodeNumbers } from "./inode-numbers.ts";
import type { Remote } from "./remote.ts";

function source(size: number): { readonly remote: Remote; readonly asked: () => number } {
  let next = 10;
  let asked = 0;
  const takeGrant = async (): Promise<{ begin: number; end: number }> => {
    asked++;
    next += size;
    return { begin: next - size, end: next };
  };
  return { remote: { takeGrant } as unknown as Remote, asked: () => asked };
}

test("gives every number once, asks early for more, and never runs dry while the server answers", async () => {
  const { remote, asked } = source(10);
  const numbers = new InodeNumbers({ remote, logger: silentLogger });
  expect(numbers.isEmpty).toBe(true);
  await numbers.refill();
  const seen = new Set<number>();
  for (let at = 0; at < 100; at++) {
    expect(numbers.isEmpty, `number ${at}`).toBe(false);
    seen.add(numbers.peek("file", rootInode));
    numbers.take();
    await Promise.resolve();
    await Promise.resolve();
  }
  expect(seen.size).toBe(100);
  expect(asked()).toBeGreaterThan(9);
});

test("a file gets the slot of its parent, directories spread", async () => {
  const numbers = new InodeNumbers({ remote: source(1000).remote, logger: silentLogger });
  await numbers.refill();
  expect(slotOf(numbers.peek("file", inodeNumber(5, 77)))).toBe(77);
  const slots = new Set<number>();
  for (let at = 0; at < 400; at++) {
    slots.add(slotOf(numbers.peek("directory", rootInode)));
    numbers.take();
  }
  expect(slots.size).toBeGreaterThan(390);
});

test("a lost session voids its ranges, also one that is on its way", async () => {
  const numbers = new InodeNumbers({ remote: source(10).remote, logger: silentLogger });
  const coming = numbers.refill();
  numbers.reset();
  await coming;
  expect(numbers.isEmpty).toBe(true);
  await numbers.refill();
  expect(numbers.isEmpty).toBe(false);
});
