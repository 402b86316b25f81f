/**
 * The directory that a system test works in, on the file system under test.
 *
 * CFS_TEST_DIR=mount, the default, takes a mount of a testbed of its own: a server over six drives and a mount, real processes. CFS_TEST_DIR names a directory
 * on a mount that somebody else made. CFS_TEST_DIR=reference takes the machine's own disk, to show that the tests themselves are right;
 * so does a machine that cannot mount, aloud.
 */
import { chmodSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, whyNoMounts } from "../cluster/cluster.ts";

/** What tests may expect of the place: `reference` is a kernel file system with known gaps, `cfs` is a FUSE mount that has to do all. */
export type FileSystemKind = "reference" | "cfs";

export interface TestDirectory extends AsyncDisposable {
  /** Absolute, empty, may be searched by every user. */
  readonly path: string;
  readonly kind: FileSystemKind;
  /** The ends of the logs of the processes behind it; empty when they are not ours. */
  report(): string;
}

/** f_type of every FUSE mount; linux/magic.h. */
const fuseMagic = 0x65735546;

export function kindOf(path: string): FileSystemKind {
  return statfsSync(path).type === fuseMagic ? "cfs" : "reference";
}

/** Makes an empty directory below `base`, removed on dispose. */
export function openDirectoryBelow(base: string): TestDirectory {
  const path = mkdtempSync(join(base, "cfs-test-"));
  chmodSync(path, 0o755);
  const dispose = (): Promise<void> => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
    return Promise.resolve();
  };
  return { path, kind: kindOf(path), report: () => "", [Symbol.asyncDispose]: dispose };
}

/** On the machine's own disk. */
export function openReferenceDirectory(): TestDirectory {
  return openDirectoryBelow(tmpdir());
}

async function openClusterDirectory(): Promise<TestDirectory> {
  const cluster = await Cluster.start();
  try {
    // Ordinary users must pass: temporary directories are for root alone.
    chmodSync(cluster.base, 0o755);
    const mount = await cluster.mount();
    const directory = openDirectoryBelow(mount.path);
    const dispose = async (): Promise<void> => {
      const isAlive = mount.isMounted && cluster.isServerRunning;
      if (isAlive) await directory[Symbol.asyncDispose]();
      const report = cluster.report();
      await cluster.destroy();
      if (!isAlive) throw new Error(`the file system under test did not live to the end\n${report}`);
    };
    return { path: directory.path, kind: "cfs", report: () => cluster.report(), [Symbol.asyncDispose]: dispose };
  } catch (reason) {
    await cluster.destroy();
    throw reason;
  }
}

/** On the file system under test, as the environment says. */
export async function openTestDirectory(): Promise<TestDirectory> {
  const named = process.env["CFS_TEST_DIR"] ?? "mount";
  if (named === "reference") return openReferenceDirectory();
  if (named !== "mount") return openDirectoryBelow(named);
  const reason = whyNoMounts();
  if (reason === null) return await openClusterDirectory();
  console.warn(`tested on the machine's own disk, because mounts do not work here: ${reason}`);
  return openReferenceDirectory();
}
