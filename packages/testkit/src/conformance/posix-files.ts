/**
 * The calls of a program, by path, as the conformance cases need them: on a Vfs here, on a directory of the machine in node-files.ts.
 *
 * VfsFiles does what a kernel does between a program and a Vfs: walks paths by lookups, follows symlinks, counts references and gives
 * them back, keeps offsets out of it. Failures are errors with a positive errno in `errno`.
 */
import { CfsError, rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { Attributes, Caller, Entry, NewNode, Vfs } from "@cfs/vfs";

export interface FileStatus {
  readonly ino: number;
  readonly kind: string;
  readonly mode: number;
  readonly nlink: number;
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
}

export interface PosixFiles {
  mkdir(path: string, mode?: number): Promise<void>;
  rmdir(path: string): Promise<void>;
  /** O_CREAT with the flags given (2 = O_RDWR is added). */
  create(path: string, mode?: number, flags?: number): Promise<number>;
  open(path: string, flags: number): Promise<number>;
  close(file: number): Promise<void>;
  write(file: number, offset: number, data: Uint8Array): Promise<number>;
  read(file: number, offset: number, length: number): Promise<Buffer>;
  sync(file: number): Promise<void>;
  ftruncate(file: number, size: number): Promise<void>;
  fstat(file: number): Promise<FileStatus>;
  lstat(path: string): Promise<FileStatus>;
  link(path: string, newPath: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  rename(path: string, newPath: string): Promise<void>;
  unlink(path: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  utimes(path: string, atimeSec: number, mtimeSec: number): Promise<void>;
  /** Without "." and "..". */
  list(path: string): Promise<string[]>;
}

export const flags = { readOnly: 0, readWrite: 2, create: 0o100, exclusive: 0o200, truncate: 0o1000, append: 0o2000 } as const;

const caller: Caller = { uid: 0, gid: 0, pid: 1, groups: null };
const symlinksMax = 40;

function status({ ino, kind, mode, nlink, sizeBytes, allocatedBytes, atime, mtime, ctime }: Attributes): FileStatus {
  const ms = (time: { sec: number; nsec: number }): number => time.sec * 1000 + time.nsec / 1e6;
  return { ino, kind, mode, nlink, sizeBytes, allocatedBytes, atimeMs: ms(atime), mtimeMs: ms(mtime), ctimeMs: ms(ctime) };
}

interface Place {
  readonly parent: InodeNumber;
  readonly name: Name;
}

export class VfsFiles implements PosixFiles {
  readonly #vfs: Vfs;
  readonly #inoOf: Map<number, InodeNumber> = new Map();

  constructor(vfs: Vfs) {
    this.#vfs = vfs;
  }

  async mkdir(path: string, mode = 0o755): Promise<void> {
    await this.#make(path, { kind: "directory", mode, umask: 0, rdev: 0, target: null });
  }

  async rmdir(path: string): Promise<void> {
    const { parent, name } = await this.#place(path);
    await this.#vfs.removeDirectory(parent, name, caller);
  }

  async create(path: string, mode = 0o644, openFlags = 0): Promise<number> {
    const { parent, name } = await this.#place(path);
    const node: NewNode = { kind: "file", mode, umask: 0, rdev: 0, target: null };
    const { entry, file } = await this.#vfs.create(parent, name, node, openFlags | flags.create | flags.readWrite, caller);
    this.#opened(file.handle, entry);
    return file.handle;
  }

  async open(path: string, openFlags: number): Promise<number> {
    const entry = await this.#resolve(path, true);
    try {
      const { handle } = await this.#vfs.open(entry.attributes.ino, openFlags, caller);
      this.#inoOf.set(handle, entry.attributes.ino);
      return handle;
    } finally {
      this.#forget(entry);
    }
  }

  async close(file: number): Promise<void> {
    await this.#vfs.flush(file);
    await this.#vfs.release(file);
    this.#inoOf.delete(file);
  }

  async write(file: number, offset: number, data: Uint8Array): Promise<number> {
    return this.#vfs.write(file, offset, data, { killSetId: false, fromPageCache: false });
  }

  async read(file: number, offset: number, length: number): Promise<Buffer> {
    const result = await this.#vfs.read(file, offset, length);
    const bytes = Buffer.concat(result.parts);
    result.release();
    return bytes;
  }

  async sync(file: number): Promise<void> {
    await this.#vfs.sync(file, false);
  }

  async ftruncate(file: number, size: number): Promise<void> {
    await this.#vfs.setAttributes(this.#ino(file), { sizeBytes: size }, caller);
  }

  async fstat(file: number): Promise<FileStatus> {
    return status((await this.#vfs.getAttributes(this.#ino(file))).attributes);
  }

  async lstat(path: string): Promise<FileStatus> {
    const entry = await this.#resolve(path, false);
    try {
      return status((await this.#vfs.getAttributes(entry.attributes.ino)).attributes);
    } finally {
      this.#forget(entry);
    }
  }

  async link(path: string, newPath: string): Promise<void> {
    const entry = await this.#resolve(path, false);
    try {
      const { parent, name } = await this.#place(newPath);
      this.#forget(await this.#vfs.link(entry.attributes.ino, parent, name, caller));
    } finally {
      this.#forget(entry);
    }
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.#make(path, { kind: "symlink", mode: 0o777, umask: 0, rdev: 0, target: Buffer.from(target) });
  }

  async readlink(path: string): Promise<string> {
    const entry = await this.#resolve(path, false);
    try {
      return Buffer.from(await this.#vfs.readSymlink(entry.attributes.ino)).toString();
    } finally {
      this.#forget(entry);
    }
  }

  async rename(path: string, newPath: string): Promise<void> {
    const from = await this.#place(path);
    const to = await this.#place(newPath);
    await this.#vfs.rename(from.parent, from.name, to.parent, to.name, 0, caller);
  }

  async unlink(path: string): Promise<void> {
    const { parent, name } = await this.#place(path);
    await this.#vfs.unlink(parent, name, caller);
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#change(path, { mode });
  }

  async utimes(path: string, atimeSec: number, mtimeSec: number): Promise<void> {
    await this.#change(path, { atime: { sec: atimeSec, nsec: 0 }, mtime: { sec: mtimeSec, nsec: 0 } });
  }

  async list(path: string): Promise<string[]> {
    const entry = await this.#resolve(path, true);
    const { handle } = await this.#vfs.openDirectory(entry.attributes.ino, 0, caller);
    const names: string[] = [];
    await this.#vfs.readDirectory(handle, 0, false, ({ name }) => names.push(name) > 0);
    this.#vfs.releaseDirectory(handle);
    this.#forget(entry);
    return names.filter((name) => name !== "." && name !== "..");
  }

  #ino(file: number): InodeNumber {
    const ino = this.#inoOf.get(file);
    if (ino === undefined) throw new CfsError("BAD_HANDLE", `file ${file} is not open`);
    return ino;
  }

  #opened(handle: number, entry: Entry): void {
    this.#inoOf.set(handle, entry.attributes.ino);
    this.#forget(entry);
  }

  #forget(entry: Entry): void {
    if (entry.attributes.ino !== rootInode) this.#vfs.forget(entry.attributes.ino, 1);
  }

  async #make(path: string, node: NewNode): Promise<void> {
    const { parent, name } = await this.#place(path);
    this.#forget(await this.#vfs.makeNode(parent, name, node, caller));
  }

  async #change(path: string, change: Parameters<Vfs["setAttributes"]>[1]): Promise<void> {
    const entry = await this.#resolve(path, true);
    try {
      await this.#vfs.setAttributes(entry.attributes.ino, change, caller);
    } finally {
      this.#forget(entry);
    }
  }

  /** The directory and the last name of a path. */
  async #place(path: string): Promise<Place> {
    const at = path.lastIndexOf("/");
    const name = path.slice(at + 1) as Name;
    if (at < 0) return { parent: rootInode, name };
    const entry = await this.#resolve(path.slice(0, at), true);
    this.#forget(entry);
    if (entry.attributes.kind !== "directory") throw new CfsError("NOT_DIRECTORY", path);
    return { parent: entry.attributes.ino, name };
  }

  /** The caller gives the entry back. */
  async #resolve(path: string, isFollowing: boolean, depth = 0): Promise<Entry> {
    if (path === "") return this.#vfs.getAttributes(rootInode);
    if (depth > symlinksMax) throw new CfsError("SYMLINK_LOOP", path);
    const { parent, name } = await this.#place(path);
    const entry = await this.#vfs.lookup(parent, name, caller);
    if (!isFollowing || entry.attributes.kind !== "symlink") return entry;
    const target = Buffer.from(await this.#vfs.readSymlink(entry.attributes.ino)).toString();
    this.#forget(entry);
    const directory = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : "";
    return this.#resolve(directory + target, true, depth + 1);
  }
}
