/** When memory is given back: after growth, one trim at a time, nothing once closed. */
import { expect, test } from "vitest";
import { MemoryTrim } from "./memory-trim.ts";

function bed(): { grow(mebibytes: number): void; pass(): void; trims: (() => void)[]; trim: MemoryTrim } {
  let resident = 100;
  let pending: (() => void) | null = null;
  const trims: (() => void)[] = [];
  const trim = new MemoryTrim({
    clock: {
      after: (_delayMs, callback) => {
        pending = callback;
        return () => (pending = null);
      },
    },
    residentBytes: () => resident * 2 ** 20,
    trim: () => new Promise<void>((resolve) => trims.push(resolve)),
  });
  const pass = (): void => {
    const callback = pending;
    pending = null;
    callback?.();
  };
  return { grow: (mebibytes) => (resident += mebibytes), pass, trims, trim };
}

test("a process that has grown is trimmed once, and again when it grows from there", async () => {
  const { grow, pass, trims } = bed();
  grow(15);
  pass();
  expect(trims).toHaveLength(0);
  grow(1);
  pass();
  expect(trims).toHaveLength(1);
  // While a trim runs nobody looks.
  grow(100);
  pass();
  expect(trims).toHaveLength(1);
  trims[0]?.();
  await Promise.resolve();
  pass();
  expect(trims).toHaveLength(1);
  grow(16);
  pass();
  expect(trims).toHaveLength(2);
});

test("growth counts from the smallest size", () => {
  const { grow, pass, trims } = bed();
  grow(-50);
  pass();
  grow(20);
  pass();
  expect(trims).toHaveLength(1);
});

test("nothing happens once it is closed", async () => {
  const { grow, pass, trims, trim } = bed();
  grow(50);
  pass();
  trim.close();
  trims[0]?.();
  await Promise.resolve();
  grow(50);
  pass();
  expect(trims).toHaveLength(1);
});
