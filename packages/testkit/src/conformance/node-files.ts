/** The conformance calls on a directory of this machine, through node:fs: to run the cases on real mounts, and to check the cases. */
import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { join } from "node:path";
import type { FileStatus, PosixFiles } from "./posix-files.ts";

interface NodeError {
  readonly errno?: number;
}

/** node:fs reports -errno; the cases know errno. */
async function positive<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (reason) {
    const { errno } = reason as NodeError;
    if (errno === undefined) throw reason;
    throw Object.assign(new Error((reason as Error).message, { cause: reason }), { errno: Math.abs(errno) });
  }
}

function kindOf(mode: number): string {
  const kinds: Readonly<Record<number, string>> = {
    [constants.S_IFREG]: "file",
    [constants.S_IFDIR]: "directory",
    [constants.S_IFLNK]: "symlink",
  };
  return kinds[mode & constants.S_IFMT] ?? "other";
}

function status(found: Awaited<ReturnType<typeof fs.lstat>>): FileStatus {
  const { ino, nlink, size, blocks, atimeMs, mtimeMs, ctimeMs } = found;
  const numbers = { ino: Number(ino), nlink: Number(nlink), sizeBytes: Number(size), allocatedBytes: Number(blocks) * 512 };
  return {
    ...numbers,
    kind: kindOf(Number(found.mode)),
    mode: Number(found.mode) & 0o7777,
    atimeMs: Number(atimeMs),
    mtimeMs: Number(mtimeMs),
    ctimeMs: Number(ctimeMs),
  };
}

export class NodeFiles implements PosixFiles {
  readonly #root: string;
  readonly #open: Map<number, fs.FileHandle> = new Map();

  constructor(root: string) {
    this.#root = root;
  }

  #at(path: string): string {
    return path === "" ? this.#root : join(this.#root, path);
  }

  #handle(file: number): fs.FileHandle {
    const handle = this.#open.get(file);
    if (handle === undefined) throw Object.assign(new Error(`file ${file} is not open`), { errno: 9 });
    return handle;
  }

  async mkdir(path: string, mode = 0o755): Promise<void> {
    await positive(fs.mkdir(this.#at(path), mode));
  }

  async rmdir(path: string): Promise<void> {
    await positive(fs.rmdir(this.#at(path)));
  }

  async create(path: string, mode = 0o644, openFlags = 0): Promise<number> {
    return this.#opened(await positive(fs.open(this.#at(path), openFlags | constants.O_CREAT | constants.O_RDWR, mode)));
  }

  async open(path: string, openFlags: number): Promise<number> {
    return this.#opened(await positive(fs.open(this.#at(path), openFlags)));
  }

  #opened(handle: fs.FileHandle): number {
    this.#open.set(handle.fd, handle);
    return handle.fd;
  }

  async close(file: number): Promise<void> {
    await positive(this.#handle(file).close());
    this.#open.delete(file);
  }

  async write(file: number, offset: number, data: Uint8Array): Promise<number> {
    return (await positive(this.#handle(file).write(data, 0, data.length, offset))).bytesWritten;
  }

  async read(file: number, offset: number, length: number): Promise<Buffer> {
    const { buffer, bytesRead } = await positive(this.#handle(file).read(Buffer.alloc(length), 0, length, offset));
    return buffer.subarray(0, bytesRead);
  }

  async sync(file: number): Promise<void> {
    await positive(this.#handle(file).sync());
  }

  async ftruncate(file: number, size: number): Promise<void> {
    await positive(this.#handle(file).truncate(size));
  }

  async fstat(file: number): Promise<FileStatus> {
    return status(await positive(this.#handle(file).stat()));
  }

  async lstat(path: string): Promise<FileStatus> {
    return status(await positive(fs.lstat(this.#at(path))));
  }

  async link(path: string, newPath: string): Promise<void> {
    await positive(fs.link(this.#at(path), this.#at(newPath)));
  }

  async symlink(target: string, path: string): Promise<void> {
    await positive(fs.symlink(target, this.#at(path)));
  }

  async readlink(path: string): Promise<string> {
    return positive(fs.readlink(this.#at(path)));
  }

  async rename(path: string, newPath: string): Promise<void> {
    await positive(fs.rename(this.#at(path), this.#at(newPath)));
  }

  async unlink(path: string): Promise<void> {
    await positive(fs.unlink(this.#at(path)));
  }

  async chmod(path: string, mode: number): Promise<void> {
    await positive(fs.chmod(this.#at(path), mode));
  }

  async utimes(path: string, atimeSec: number, mtimeSec: number): Promise<void> {
    await positive(fs.utimes(this.#at(path), atimeSec, mtimeSec));
  }

  async list(path: string): Promise<string[]> {
    return positive(fs.readdir(this.#at(path)));
  }
}
