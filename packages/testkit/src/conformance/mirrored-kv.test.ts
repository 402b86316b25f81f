/** The state store on LevelDB keeps the rules of every ordered key-value store, with one directory and with three. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { silentLogger } from "@cfs/core";
import { crc32cTable, MirroredKv } from "@cfs/storage";
import { afterAll, beforeAll } from "vitest";

import { kvSuite } from "./kv-suite.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cfs-kv-suite-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const clock = {
  wallTime: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs: number, callback: () => void) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Directories by store, for those that are opened again. */
const directoriesOf = new WeakMap<object, readonly string[]>();

async function openIn(directories: readonly string[]): Promise<MirroredKv> {
  const listener = { onMemberFailed: () => undefined, onResync: () => undefined };
  const options = { storeId: "suite", flushDelayMs: 1, writeBufferBytes: 64 * 1024 };
  const kv = await MirroredKv.open({ crc32c: crc32cTable, clock, log: silentLogger }, directories, listener, options);
  directoriesOf.set(kv, directories);
  return kv;
}

for (const count of [1, 3]) {
  kvSuite(`MirroredKv with ${count} directories`, {
    open: async () => {
      const parent = await mkdtemp(join(root, "store-"));
      return openIn(Array.from({ length: count }, (_, number) => join(parent, String(number))));
    },
    reopen: async (kv) => {
      await kv.close();
      return openIn(directoriesOf.get(kv) ?? []);
    },
  });
}
