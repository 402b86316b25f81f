import { describe, expect, test } from "vitest";
import { CfsError } from "@cfs/core";
import { Durability } from "./durability.ts";

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => (settled = true),
    () => (settled = true),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

describe("Durability", () => {
  test("releases waiters in order, as progress covers them", async () => {
    const durability = new Durability({ memoryBytesMax: 1 << 20 });
    durability.submit(0, 0);
    const first = durability.whenDurable();
    durability.submit(0, 0);
    const second = durability.whenDurable();
    expect(durability.isAllDurable).toBe(false);
    durability.progress({ durableSeq: 1, availableBytes: 0 });
    expect(await isSettled(first)).toBe(true);
    expect(await isSettled(second)).toBe(false);
    durability.progress({ durableSeq: 2, availableBytes: 0 });
    expect(await isSettled(second)).toBe(true);
    expect(durability.isAllDurable).toBe(true);
  });

  test("subtracts what is on its way from the space that the server has", () => {
    const durability = new Durability({ memoryBytesMax: 1 << 20 });
    durability.submit(100, 100);
    durability.submit(50, 50);
    durability.progress({ durableSeq: 1, availableBytes: 1000 });
    expect(durability.spaceLeftBytes).toBe(950);
    durability.progress({ durableSeq: 2, availableBytes: 940 });
    expect(durability.spaceLeftBytes).toBe(940);
  });

  test("has no room past its memory, counting commands without payload too, and has it again after progress", async () => {
    const durability = new Durability({ memoryBytesMax: 10_000 });
    for (let at = 0; at < 10; at++) durability.submit(0, 0);
    expect(durability.hasRoom).toBe(false);
    const room = durability.whenRoom();
    expect(await isSettled(room)).toBe(false);
    durability.progress({ durableSeq: 5, availableBytes: 0 });
    expect(durability.hasRoom).toBe(true);
    expect(await isSettled(room)).toBe(true);
  });

  test("keeps exact sums over many commands", () => {
    const durability = new Durability({ memoryBytesMax: 1 << 30 });
    for (let at = 1; at <= 10_000; at++) {
      durability.submit(at, at);
      if (at % 7 === 0) durability.progress({ durableSeq: at - 3, availableBytes: 0 });
    }
    durability.progress({ durableSeq: 10_000, availableBytes: 77 });
    expect(durability.memoryBytes).toBe(0);
    expect(durability.spaceLeftBytes).toBe(77);
  });

  test("a lost session rejects every waiter and numbers from 1 again", async () => {
    const durability = new Durability({ memoryBytesMax: 100 });
    durability.submit(1000, 0);
    const waiting = [durability.whenDurable(), durability.whenRoom()];
    durability.reset(new CfsError("IO", "lost"));
    for (const one of waiting) await expect(one).rejects.toThrow("lost");
    expect(durability.isAllDurable).toBe(true);
    expect(durability.submit(0, 0)).toBe(1);
    expect(durability.epoch).toBe(1);
  });

  test("progress about what was never submitted is a bug", () => {
    expect(() => new Durability({ memoryBytesMax: 1 }).progress({ durableSeq: 1, availableBytes: 0 })).toThrow("submitted");
  });
});
