/**
 * The directory that a system test works in, on the file system under test.
 *
 * CFS_TEST_DIR names a directory on a mount that somebody else made; without it, a temporary directory on the machine's own disk shows
 * that the tests themselves are right. A cluster harness takes the place of this file by handing out the same interface over its mount.
 */
import { mkdtempSync, chmodSync, rmSync, statfsSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What tests may expect of the place: `reference` is a kernel file system with known gaps, `cfs` is a FUSE mount that has to do all. */
export type FileSystemKind = "reference" | "cfs";

export interface TestDirectory extends AsyncDisposable {
  /** Absolute, empty, may be searched by every user. */
  readonly path: string;
  readonly kind: FileSystemKind;
}

/** f_type of every FUSE mount; linux/magic.h. */
const fuseMagic = 0x65735546;

export function kindOf(path: string): FileSystemKind {
  return statfsSync(path).type === fuseMagic ? "cfs" : "reference";
}

/** Makes a directory below `base` for one test file and removes it on dispose. */
export function openTestDirectory(base: string = process.env["CFS_TEST_DIR"] ?? tmpdir()): TestDirectory {
  if (!statSync(base).isDirectory()) throw new Error(`CFS_TEST_DIR is not a directory: ${base}`);
  const path = mkdtempSync(join(base, "cfs-test-"));
  chmodSync(path, 0o755);
  const dispose = (): Promise<void> => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    return Promise.resolve();
  };
  return { path, kind: kindOf(path), [Symbol.asyncDispose]: dispose };
}
