/** Names of directories that are new are known without the store, until some of them are forgotten. */
import type { InodeNumber, Name } from "@cfs/core";
import { expect, test } from "vitest";
import { MemoryKv } from "../kv/memory-kv.ts";
import type { KvKey, KvWrite } from "../kv/ordered-kv.ts";
import { DirentCache } from "./dirent-cache.ts";

class CountingKv extends MemoryKv {
  reads = 0;

  override get(key: KvKey): Uint8Array | null {
    this.reads++;
    return super.get(key);
  }
}

const name = (text: string): Name => text as Name;

test("the store is not asked for names of a new directory, but for all once one was forgotten", () => {
  const kv = new CountingKv();
  const cache = new DirentCache(kv, 8);
  const [made, known] = [7, 8] as [InodeNumber, InodeNumber];
  const drain = (): void => {
    const batch: KvWrite[] = [];
    cache.drain(batch);
    kv.write(batch);
  };
  cache.made(made);
  expect(cache.get(made, name("a"))).toBeNull();
  cache.set(made, name("a"), { ino: 100 as InodeNumber, kind: "file" });
  drain();
  expect(cache.get(made, name("b"))).toBeNull();
  expect(cache.get(made, name("a"))).toEqual({ ino: 100, kind: "file" });
  expect(kv.reads).toBe(0);
  expect(cache.get(known, name("a"))).toBeNull();
  expect(kv.reads).toBe(1);
  // Two generations of four names of another directory: "a" is only in the store now.
  for (let index = 0; index < 12; index++) cache.set(known, name(`n${index}`), { ino: (200 + index) as InodeNumber, kind: "file" });
  drain();
  expect(cache.get(made, name("a"))).toEqual({ ino: 100, kind: "file" });
  expect(cache.get(made, name("b"))).toBeNull();
  expect(kv.reads).toBe(3);
});
