/**
 * Whether directories can be drives: none inside a cfs mount, and what a new file system needs, looked at before a byte is written to any of them.
 *
 * Invariant: what is refused here is as it was before.
 */
import { access, constants, stat, statfs } from "node:fs/promises";
import { CfsError, placeOf } from "@cfs/core";
import type { MountEntry } from "@cfs/core";

/** Room for a container, a journal file and the state, twice over. */
export const driveBytesMin: number = 128 << 20;

/** A drive inside a mount of cfs would wait for a server that waits for the drive. Says so without touching the mount. */
export function mustBeOutsideCfs(paths: readonly string[], mounts?: readonly MountEntry[]): void {
  for (const path of paths) {
    const { mount } = placeOf(path, mounts);
    if (mount === null) continue;
    throw new CfsError("INVALID", `${path} is inside the cfs mount at ${mount.mountpoint}; a drive is a directory of a local file system`);
  }
}

/** `paths` exist and hold no identity. Throws INVALID for one directory under two names, READ_ONLY, ACCESS_DENIED, NO_SPACE for one that is too small. */
export async function mustBeFit(paths: readonly string[]): Promise<void> {
  const pathByInode = new Map<string, string>();
  for (const path of paths) {
    const { dev, ino } = await stat(path);
    const other = pathByInode.get(`${dev}:${ino}`);
    if (other !== undefined) throw new CfsError("INVALID", `${path} is the same directory as ${other}; a drive is named once with --data`);
    pathByInode.set(`${dev}:${ino}`, path);
    await mustBeWritable(path);
    const { bsize, blocks } = await statfs(path);
    if (bsize * blocks >= driveBytesMin) continue;
    const [has, needs] = [bsize * blocks, driveBytesMin].map((bytes) => Math.floor(bytes / (1 << 20)));
    throw new CfsError("NO_SPACE", `${path} is on a file system of ${has} MiB; a drive needs ${needs} MiB at least`);
  }
}

async function mustBeWritable(path: string): Promise<void> {
  try {
    await access(path, constants.W_OK | constants.X_OK);
  } catch (reason) {
    const isReadOnly = (reason as NodeJS.ErrnoException).code === "EROFS";
    if (isReadOnly) throw new CfsError("READ_ONLY", `${path} is on a read-only file system; mount it for writing`, { cause: reason });
    throw new CfsError("ACCESS_DENIED", `${path} cannot be written by this user`, { cause: reason });
  }
}
