/** What is taken at a time: whole batches, in order, and no more than the copies of the engine should hold in memory. */
import { expect, test } from "vitest";
import { PendingWrites } from "./pending-writes.ts";

const mebibyte = 1024 * 1024;

test("whole batches are taken until they are large, and a large one alone", () => {
  const pending = new PendingWrites(0, true);
  const sizes = [1.5, 1.5, 0.5, 5, 0.5];
  sizes.forEach((size, at) => pending.write([{ key: `k${at}`, value: new Uint8Array(size * mebibyte) }], at + 1));
  pending.openGate(sizes.length);
  const taken: string[][] = [];
  for (let one = pending.take(); one !== null; one = pending.take()) {
    taken.push([...one.values.keys()]);
    expect(one.index).toBe(one.sequence);
    pending.done(one);
  }
  expect(taken).toEqual([["k0", "k1"], ["k2", "k3"], ["k4"]]);
  expect(pending.sizeBytes).toBe(0);
  expect(pending.entryCount).toBe(0);
});
