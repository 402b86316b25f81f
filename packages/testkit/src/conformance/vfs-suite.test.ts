/** The conformance cases on the cached vfs with several budgets, and on a directory of this machine: the cases must hold there too. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { silentLogger } from "@cfs/core";
import { CachedVfs } from "@cfs/vfs";
import type { CachedVfsSettings } from "@cfs/vfs";
import { ManualClock } from "../manual-clock.ts";
import { MemoryServer } from "../memory-server.ts";
import { NodeFiles } from "./node-files.ts";
import { VfsFiles } from "./posix-files.ts";
import { vfsSuite } from "./vfs-suite.ts";
import type { VfsUnderTest } from "./vfs-suite.ts";

const tiny: CachedVfsSettings = { cache: { inodes: 8, names: 8, namesPerDirectory: 4, inlineBytes: 5000, xattrBytes: 100 } };

function inMemory(settings: CachedVfsSettings): () => Promise<VfsUnderTest> {
  return async () => {
    const server = new MemoryServer();
    const remote = server.connect();
    const vfs = new CachedVfs({ remote, clock: new ManualClock({ tickMs: 1 }), logger: silentLogger }, settings);
    const close = async (): Promise<void> => {
      await vfs.close();
      expect(vfs.holdings.lookedUpInodes, "every reference was given back").toBe(0);
      await remote.close();
      expect(server.divergences).toEqual([]);
    };
    return { files: new VfsFiles(vfs), close };
  };
}

async function onThisMachine(): Promise<VfsUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "cfs-cases-"));
  return { files: new NodeFiles(directory), close: () => rm(directory, { recursive: true }) };
}

describe("POSIX cases", () => {
  describe.each([
    ["the cached vfs", inMemory({})],
    ["the cached vfs with nearly no cache", inMemory(tiny)],
    ["a directory of this machine", onThisMachine],
  ])("%s", (_title, open) => {
    test.each(vfsSuite(open))("%s", async (_name, run) => {
      await expect(run()).resolves.toBeUndefined();
    });
  });
});
