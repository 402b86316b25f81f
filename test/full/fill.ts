/** Fills a mount with files whose bytes are known, and waits for df to show what was deleted. */
import { open, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ClusterMount } from "@cfs/testkit";
import { expect } from "vitest";
import { contentOf } from "../crash/content.ts";

export const fileBytes: number = 8 << 20;
/** Sooner or later df must show what was deleted; the promise is 10 s, a noisy machine gets more, and the time is printed. */
const freedTimeoutMs = 60_000;
const filesMax = 1_000;

/** Writes files until one does not fit; resolves with those that were fsynced, and the error. */
export async function fill(directory: string, firstSeed: number): Promise<{ files: Map<string, number>; error: string }> {
  const files = new Map<string, number>();
  for (let count = 0; count < filesMax; count++) {
    const path = join(directory, `file${count}`);
    // Odd: these bytes cannot be compressed.
    const fileSeed = firstSeed + 4 * count + 1;
    try {
      await writeSynced(path, contentOf(fileSeed, fileBytes));
    } catch (reasonOfFailure) {
      return { files, error: (reasonOfFailure as NodeJS.ErrnoException).code ?? String(reasonOfFailure) };
    }
    files.set(path, fileSeed);
  }
  throw new Error(`${filesMax} files of ${fileBytes} bytes went onto small drives`);
}

export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, "w");
  await file.writeFile(bytes);
  await file.sync();
}

export async function expectFiles(files: ReadonlyMap<string, number>): Promise<void> {
  for (const [path, fileSeed] of files) {
    const isSame = (await readFile(path)).equals(contentOf(fileSeed, fileBytes));
    expect(`${path} ${isSame}`).toBe(`${path} true`);
  }
}

export async function availableBytes(mount: ClusterMount): Promise<number> {
  const { bavail, bsize } = await statfs(mount.path);
  return bavail * bsize;
}

/** Resolves with the milliseconds until df shows `bytes` more than `before`. */
export async function untilFreed(mount: ClusterMount, before: number, bytes: number): Promise<number> {
  const begin = performance.now();
  while ((await availableBytes(mount)) < before + bytes) {
    const ms = performance.now() - begin;
    if (ms > freedTimeoutMs)
      throw new Error(`df shows ${(await availableBytes(mount)) - before} of ${bytes} deleted bytes after ${Math.round(ms)} ms`);
    await setTimeout(100);
  }
  return performance.now() - begin;
}
