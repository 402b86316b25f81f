/**
 * What every cfs file system must do as POSIX says, as a list of cases on the calls of a program (posix-files.ts).
 *
 * Each case gets an empty directory as its root. The same list runs on a vfs in memory, on mounts, and (to check the cases
 * themselves) on a directory of the machine. Cases assert with node:assert, so that any runner can run them.
 */
import assert from "node:assert/strict";
import { errnoByCode } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";
import { flags } from "./posix-files.ts";
import type { PosixFiles } from "./posix-files.ts";

export interface VfsCase {
  readonly name: string;
  readonly run: (files: PosixFiles) => Promise<void>;
}

async function fails(code: ErrorCode, call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (reason: unknown) => {
    assert.equal((reason as { errno?: number }).errno, errnoByCode[code], `${code} expected, got ${String(reason)}`);
    return true;
  });
}

async function put(files: PosixFiles, path: string, content = "", mode = 0o644): Promise<void> {
  const file = await files.create(path, mode);
  if (content !== "") await files.write(file, 0, Buffer.from(content));
  await files.close(file);
}

async function get(files: PosixFiles, path: string): Promise<string> {
  const file = await files.open(path, flags.readOnly);
  const bytes = await files.read(file, 0, 1 << 16);
  await files.close(file);
  return bytes.toString();
}

const names: readonly VfsCase[] = [
  {
    name: "mkdir, list, rmdir",
    run: async (files) => {
      await files.mkdir("a", 0o750);
      await files.mkdir("a/b");
      await put(files, "a/c");
      assert.deepEqual((await files.list("a")).toSorted(), ["b", "c"]);
      assert.equal((await files.lstat("a")).mode, 0o750);
      await fails("NOT_EMPTY", files.rmdir("a"));
      await files.rmdir("a/b");
      await files.unlink("a/c");
      await files.rmdir("a");
      await fails("NOT_FOUND", files.lstat("a"));
    },
  },
  {
    name: "making what exists fails",
    run: async (files) => {
      await put(files, "file");
      await files.mkdir("dir");
      await fails("EXISTS", files.mkdir("file"));
      await fails("EXISTS", files.mkdir("dir"));
      await fails("EXISTS", files.symlink("x", "file"));
      await fails("EXISTS", files.link("file", "dir"));
      await fails("EXISTS", files.create("file", 0o644, flags.exclusive));
    },
  },
  {
    name: "a path through a file, or through nothing, fails",
    run: async (files) => {
      await put(files, "file");
      await fails("NOT_DIRECTORY", files.lstat("file/x"));
      await fails("NOT_DIRECTORY", files.mkdir("file/x"));
      await fails("NOT_FOUND", files.lstat("nothing/x"));
      await fails("NAME_TOO_LONG", files.mkdir("n".repeat(256)));
      await files.mkdir("n".repeat(255));
    },
  },
  {
    name: "unlink and rmdir know their kinds",
    run: async (files) => {
      await put(files, "file");
      await files.mkdir("dir");
      await fails("NOT_DIRECTORY", files.rmdir("file"));
      await fails("IS_DIRECTORY", files.unlink("dir"));
      await fails("NOT_FOUND", files.unlink("nothing"));
    },
  },
  {
    name: "many names come and go",
    run: async (files) => {
      const all = Array.from({ length: 300 }, (_, at) => `name-${at}`);
      for (const name of all) await put(files, name);
      assert.deepEqual((await files.list("")).toSorted(), all.toSorted());
      for (const name of all.slice(0, 150)) await files.unlink(name);
      assert.deepEqual((await files.list("")).toSorted(), all.slice(150).toSorted());
    },
  },
];

const renames: readonly VfsCase[] = [
  {
    name: "rename replaces a file at once",
    run: async (files) => {
      await put(files, "old", "1");
      await put(files, "new", "2");
      const { ino } = await files.lstat("old");
      await files.rename("old", "new");
      assert.equal(await get(files, "new"), "1");
      assert.equal((await files.lstat("new")).ino, ino);
      await fails("NOT_FOUND", files.lstat("old"));
    },
  },
  {
    name: "rename of directories keeps the tree a tree",
    run: async (files) => {
      await files.mkdir("a");
      await files.mkdir("a/b");
      await files.mkdir("full");
      await put(files, "full/x");
      await put(files, "file");
      await fails("INVALID", files.rename("a", "a/b/c"));
      await fails("NOT_EMPTY", files.rename("a", "full"));
      await fails("NOT_DIRECTORY", files.rename("a", "file"));
      await fails("IS_DIRECTORY", files.rename("file", "a"));
      await files.mkdir("empty");
      await files.rename("full", "empty");
      assert.deepEqual(await files.list("empty"), ["x"]);
      await files.rename("empty", "a/b/moved");
      assert.deepEqual(await files.list("a/b/moved"), ["x"]);
    },
  },
  {
    name: "rename between two names of one file does nothing",
    run: async (files) => {
      await put(files, "a", "text");
      await files.link("a", "b");
      await files.rename("a", "b");
      assert.equal((await files.lstat("a")).nlink, 2);
      assert.equal(await get(files, "b"), "text");
    },
  },
  {
    name: "link counts of directories follow their subdirectories",
    run: async (files) => {
      await files.mkdir("a");
      await files.mkdir("b");
      await files.mkdir("a/x");
      assert.equal((await files.lstat("a")).nlink, 3);
      await files.rename("a/x", "b/x");
      assert.equal((await files.lstat("a")).nlink, 2);
      assert.equal((await files.lstat("b")).nlink, 3);
      await files.rmdir("b/x");
      assert.equal((await files.lstat("b")).nlink, 2);
    },
  },
];

const links: readonly VfsCase[] = [
  {
    name: "hard links are one file",
    run: async (files) => {
      await put(files, "a", "text");
      await files.link("a", "b");
      await files.chmod("b", 0o600);
      const [a, b] = [await files.lstat("a"), await files.lstat("b")];
      assert.equal(a.ino, b.ino);
      assert.equal(a.mode, 0o600);
      assert.equal(a.nlink, 2);
      await files.unlink("a");
      assert.equal((await files.lstat("b")).nlink, 1);
      assert.equal(await get(files, "b"), "text");
      await files.mkdir("dir");
      await fails("NOT_PERMITTED", files.link("dir", "other"));
    },
  },
  {
    name: "symlinks hold their target, are followed, and may loop",
    run: async (files) => {
      await files.mkdir("dir");
      await put(files, "dir/file", "text");
      await files.symlink("dir", "to-dir");
      await files.symlink("loop", "loop");
      await files.symlink("nowhere", "dangling");
      assert.equal(await files.readlink("to-dir"), "dir");
      assert.equal((await files.lstat("to-dir")).sizeBytes, 3);
      assert.equal(await get(files, "to-dir/file"), "text");
      await fails("SYMLINK_LOOP", files.open("loop", flags.readOnly));
      await fails("NOT_FOUND", files.open("dangling", flags.readOnly));
      await fails("INVALID", files.readlink("dir"));
    },
  },
  {
    name: "an unlinked file lives while it is open",
    run: async (files) => {
      const file = await files.create("file");
      await files.write(file, 0, Buffer.from("before"));
      await files.unlink("file");
      assert.equal((await files.fstat(file)).nlink, 0);
      await files.write(file, 6, Buffer.alloc(10_000, "x"));
      assert.equal((await files.read(file, 0, 20_000)).length, 10_006);
      await put(files, "file", "other");
      assert.equal((await files.read(file, 0, 6)).toString(), "before");
      await files.close(file);
      assert.equal(await get(files, "file"), "other");
    },
  },
  {
    name: "a file that another replaces lives while it is open",
    run: async (files) => {
      const file = await files.create("old");
      await files.write(file, 0, Buffer.from("old"));
      await put(files, "new", "new");
      await files.rename("new", "old");
      assert.equal((await files.read(file, 0, 10)).toString(), "old");
      assert.equal(await get(files, "old"), "new");
      await files.close(file);
    },
  },
];

const contents: readonly VfsCase[] = [
  {
    name: "bytes come back, small and large, at any offset",
    run: async (files) => {
      const file = await files.create("file");
      const expected = Buffer.alloc(1_200_000);
      for (const [offset, length] of [
        [0, 10],
        [4090, 20],
        [4096, 1],
        [100_000, 70_000],
        [(1 << 20) - 5, 10],
        [5, 4000],
      ] as const) {
        const data = Buffer.alloc(length, offset % 251);
        assert.equal(await files.write(file, offset, data), length);
        data.copy(expected, offset);
      }
      const size = (1 << 20) + 5;
      assert.equal((await files.fstat(file)).sizeBytes, size);
      assert.ok((await files.read(file, 0, 2_000_000)).equals(expected.subarray(0, size)));
      await files.sync(file);
      assert.ok((await files.read(file, 4000, 200)).equals(expected.subarray(4000, 4200)));
      await files.close(file);
    },
  },
  {
    name: "a file ends where its size says",
    run: async (files) => {
      const file = await files.create("file");
      await files.write(file, 0, Buffer.from("0123456789"));
      assert.equal((await files.read(file, 8, 10)).toString(), "89");
      assert.equal((await files.read(file, 10, 10)).length, 0);
      assert.equal((await files.read(file, 1000, 10)).length, 0);
      await files.close(file);
    },
  },
  {
    name: "truncation cuts, and what grows again is zeros",
    run: async (files) => {
      for (const size of [100, 10_000, 1_100_000]) {
        const file = await files.create(`file-${size}`);
        await files.write(file, 0, Buffer.alloc(size, 1));
        await files.ftruncate(file, size / 2);
        await files.ftruncate(file, size);
        const bytes = await files.read(file, 0, size * 2);
        assert.ok(bytes.equals(Buffer.concat([Buffer.alloc(size / 2, 1), Buffer.alloc(size / 2)])), `size ${size}`);
        await files.ftruncate(file, 0);
        assert.equal((await files.fstat(file)).allocatedBytes, 0);
        await files.close(file);
      }
    },
  },
  {
    name: "holes take no space and read as zeros",
    run: async (files) => {
      const file = await files.create("file");
      await files.write(file, 10 << 20, Buffer.from("end"));
      await files.sync(file);
      const { sizeBytes, allocatedBytes } = await files.fstat(file);
      assert.equal(sizeBytes, (10 << 20) + 3);
      assert.ok(allocatedBytes < 1 << 20, `${allocatedBytes} bytes for three`);
      assert.ok((await files.read(file, 5 << 20, 5000)).equals(Buffer.alloc(5000)));
      await files.close(file);
    },
  },
  {
    name: "open truncates and appends as asked",
    run: async (files) => {
      await put(files, "file", "0123456789");
      const appending = await files.open("file", flags.readWrite | flags.append);
      await files.write(appending, 0, Buffer.from("ab"));
      assert.equal(await get(files, "file"), "0123456789ab");
      await files.close(appending);
      await files.close(await files.open("file", flags.readWrite | flags.truncate));
      assert.equal((await files.lstat("file")).sizeBytes, 0);
      await fails("IS_DIRECTORY", files.open("", flags.readWrite));
    },
  },
  {
    name: "two handles see one content",
    run: async (files) => {
      const a = await files.create("file");
      const b = await files.open("file", flags.readWrite);
      await files.write(a, 0, Buffer.alloc(5000, "a"));
      await files.write(b, 2500, Buffer.alloc(5000, "b"));
      assert.ok((await files.read(a, 0, 10_000)).equals(Buffer.concat([Buffer.alloc(2500, "a"), Buffer.alloc(5000, "b")])));
      await files.close(a);
      await files.close(b);
    },
  },
  {
    name: "a closed handle and a handle for reading refuse writes",
    run: async (files) => {
      await put(files, "file", "x");
      const file = await files.open("file", flags.readOnly);
      await fails("BAD_HANDLE", files.write(file, 0, Buffer.from("y")));
      await files.close(file);
      await fails(
        "BAD_HANDLE",
        Promise.resolve().then(() => files.read(file, 0, 1)),
      );
    },
  },
];

const times: readonly VfsCase[] = [
  {
    name: "changes of names change the directory's times, and the file's ctime",
    run: async (files) => {
      await files.mkdir("dir");
      await put(files, "dir/a");
      await files.utimes("dir", 1000, 1000);
      await files.utimes("dir/a", 1000, 1000);
      assert.equal((await files.lstat("dir")).mtimeMs, 1_000_000);
      const before = (await files.lstat("dir/a")).ctimeMs;
      await files.rename("dir/a", "dir/b");
      assert.ok((await files.lstat("dir")).mtimeMs > 1_000_000);
      const after = await files.lstat("dir/b");
      assert.equal(after.mtimeMs, 1_000_000);
      assert.ok(after.ctimeMs >= before);
    },
  },
  {
    name: "writing changes mtime, reading does not, chmod changes ctime only",
    run: async (files) => {
      await put(files, "file", "text");
      await files.utimes("file", 2000, 1000);
      await get(files, "file");
      assert.equal((await files.lstat("file")).mtimeMs, 1_000_000);
      await files.chmod("file", 0o600);
      const { mtimeMs, ctimeMs } = await files.lstat("file");
      assert.equal(mtimeMs, 1_000_000);
      assert.ok(ctimeMs > 2_000_000);
      const file = await files.open("file", flags.readWrite);
      await files.write(file, 0, Buffer.from("new"));
      assert.ok((await files.fstat(file)).mtimeMs > 1_000_000);
      await files.close(file);
    },
  },
];

/** All cases, in no particular order. */
export const vfsCases: readonly VfsCase[] = [...names, ...renames, ...links, ...contents, ...times];

export interface VfsUnderTest {
  readonly files: PosixFiles;
  readonly close: () => Promise<void>;
}

/** Every case with an empty file system of its own from `open`, as (name, run) for `test.each` or any other runner. */
export function vfsSuite(open: () => Promise<VfsUnderTest>): readonly (readonly [string, () => Promise<void>])[] {
  return vfsCases.map(({ name, run }) => [
    name,
    async () => {
      const { files, close } = await open();
      try {
        await run(files);
      } finally {
        await close();
      }
    },
  ]);
}
