/**
 * Names, directories and descriptors by node:fs, for Io implementations on a real file system. Rare operations: a promise
 * of libuv's pool (26 to 43 µs) is good enough. Every failure is a CfsError that names the path.
 */
import { close, constants, fstat, ftruncate, open } from "node:fs";
import { mkdir, open as openHandle, readdir, rename, statfs, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

import type { OpenOptions } from "./io.ts";
import { fromNodeError } from "./node-error.ts";

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);
const statDescriptor = promisify(fstat);
const truncateDescriptor = promisify(ftruncate);

const fileMode = 0o600;
const directoryMode = 0o700;

async function named<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    throw fromNodeError(reason, what);
  }
}

function flagsOf(options: OpenOptions): number {
  let flags = options.readOnly ? constants.O_RDONLY : constants.O_RDWR;
  if (options.direct) flags |= constants.O_DIRECT;
  if (options.dataSync) flags |= constants.O_DSYNC;
  if (options.create) flags |= constants.O_CREAT;
  if (options.exclusive) flags |= constants.O_EXCL;
  return flags;
}

/** An open descriptor (close-on-exec, as all of Node's) and the size of the file. */
export async function openPath(path: string, options: OpenOptions): Promise<{ fd: number; sizeBytes: number }> {
  return named(`open ${path}${options.direct ? " with O_DIRECT" : ""}`, async () => {
    const fd = await openDescriptor(path, flagsOf(options), fileMode);
    try {
      return { fd, sizeBytes: (await statDescriptor(fd)).size };
    } catch (reason) {
      await closeDescriptor(fd);
      throw reason;
    }
  });
}

export async function closePath(path: string, fd: number): Promise<void> {
  await named(`close ${path}`, () => closeDescriptor(fd));
}

export async function truncatePath(path: string, fd: number, sizeBytes: number): Promise<void> {
  await named(`truncate ${path} to ${sizeBytes} bytes`, () => truncateDescriptor(fd, sizeBytes));
}

export async function unlinkPath(path: string): Promise<void> {
  await named(`unlink ${path}`, () => unlink(path));
}

export async function syncDirectoryPath(path: string): Promise<void> {
  await named(`sync directory ${path}`, async () => {
    const handle = await openHandle(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  });
}

export async function renamePath(from: string, to: string): Promise<void> {
  await named(`rename ${from} to ${to}`, () => rename(from, to));
  await syncDirectoryPath(dirname(to));
  if (dirname(from) !== dirname(to)) await syncDirectoryPath(dirname(from));
}

export async function listPath(path: string): Promise<string[]> {
  return named(`list ${path}`, async () => (await readdir(path)).sort());
}

export async function makeDirectoryPath(path: string): Promise<void> {
  await named(`make directory ${path}`, async () => {
    try {
      await mkdir(path, { mode: directoryMode });
    } catch (reason) {
      const isThere = reason instanceof Error && "code" in reason && reason.code === "EEXIST";
      if (!isThere) throw reason;
      const handle = await openHandle(path, constants.O_RDONLY | constants.O_DIRECTORY); // A file of that name is an error.
      await handle.close();
    }
  });
}

export async function freeBytesOf(path: string): Promise<number> {
  return named(`statfs ${path}`, async () => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  });
}
