/** Lookups, listings and reads: how few round trips they take, and access times. */
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { Mounted, newDirectory, newFile, root, turn } from "./fixture.ts";

async function filled(count: number, bytes = 0): Promise<Mounted> {
  const at = new Mounted();
  const directory = await at.make("dir", newDirectory);
  for (let index = 0; index < count; index++) {
    const { file } = await at.vfs.create(directory, `file-${index}` as Name, newFile, 2, root);
    if (bytes > 0) await at.write(file.handle, 0, Buffer.alloc(bytes, index));
    at.vfs.release(file.handle);
  }
  return at.again();
}

describe("lookups", () => {
  test("stat of many files in name order takes a few pages, not a round trip each", async () => {
    const at = await filled(3000);
    const directory = (await at.lookup("dir")).attributes.ino;
    for (let index = 0; index < 3000; index++) expect((await at.lookup(`file-${index}`, directory)).attributes.kind).toBe("file");
    expect(at.remote.callCount).toBeLessThan(60);
    expect(at.vfs.holdings.lookedUpInodes).toBe(3001);
    await expect((async () => at.vfs.lookup(directory, "absent" as Name, root))()).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(at.vfs.lookup(directory, "file-7" as Name, root), "everything is known now").not.toBeInstanceOf(Promise);
  });

  test("many at once ask once for the same", async () => {
    const at = await filled(3);
    const directory = (await at.lookup("dir")).attributes.ino;
    const before = at.remote.callCount;
    await Promise.all([1, 2, 3, 4].map(() => at.lookup("file-1", directory)));
    expect(at.remote.callCount - before).toBeLessThanOrEqual(1);
  });

  test("a directory known to be empty answers without the server", async () => {
    const at = new Mounted();
    await at.attributes(rootInode);
    expect(() => at.vfs.lookup(rootInode, "nothing" as Name, root)).toThrow("NOT_FOUND");
    expect(at.calls("fetchDirent")).toBe(0);
  });

  test("dot, dotdot, not a directory, too long a name", async () => {
    const at = new Mounted();
    const directory = await at.make("dir", newDirectory);
    const file = await at.make("file", newFile, directory);
    expect((await at.lookup(".", directory)).attributes.ino).toBe(directory);
    expect((await at.lookup("..", directory)).attributes.ino).toBe(rootInode);
    expect((await at.lookup("..", rootInode)).attributes.ino).toBe(rootInode);
    await expect(at.lookup("x", file)).rejects.toMatchObject({ code: "NOT_DIRECTORY" });
    await expect(at.lookup("n".repeat(256))).rejects.toMatchObject({ code: "NAME_TOO_LONG" });
  });
});

describe("listings", () => {
  test("are complete, in cookie order, with attributes, from pages and from memory", async () => {
    const at = await filled(2500);
    const directory = (await at.lookup("dir")).attributes.ino;
    for (const round of ["pages", "memory"]) {
      const entries = await at.list(directory, true, 170);
      expect(
        entries.slice(0, 2).map(({ name, cookie, ino }) => [name, cookie, ino]),
        round,
      ).toEqual([
        [".", 1, directory],
        ["..", 2, rootInode],
      ]);
      expect(new Set(entries.map((entry) => entry.name)).size).toBe(2502);
      expect(entries.slice(2).every((entry) => entry.entry?.attributes.ino === entry.ino)).toBe(true);
      const cookies = entries.map((entry) => entry.cookie);
      expect(cookies).toEqual(cookies.toSorted((a, b) => a - b));
    }
    expect(at.calls("fetchDirectory")).toBeLessThanOrEqual(3);
    expect(at.vfs.holdings.lookedUpInodes).toBe(2501);
  });

  test("a large directory is listed with two pages in memory", async () => {
    const at = await filled(300);
    const small = await at.again({ cache: { inodes: 50, names: 50, namesPerDirectory: 20 } });
    const directory = (await small.lookup("dir")).attributes.ino;
    expect((await small.list(directory, true, 7)).length).toBe(302);
    expect(small.vfs.holdings.inodes).toBeLessThan(150);
  });

  test("names removed since a page was read are not shown; removed directories are empty", async () => {
    const at = await filled(20);
    const directory = (await at.lookup("dir")).attributes.ino;
    const { handle } = await at.vfs.openDirectory(directory, 0, root);
    const seen: string[] = [];
    let cookie = 0;
    await at.vfs.readDirectory(handle, 0, false, (entry) => {
      if (seen.length === 5) return false;
      seen.push(entry.name);
      cookie = entry.cookie;
      return true;
    });
    for (let index = 0; index < 20; index++) await at.vfs.unlink(directory, `file-${index}` as Name, root);
    const rest: string[] = [];
    await at.vfs.readDirectory(handle, cookie, true, (entry) => rest.push(entry.name) > 0);
    expect(rest).toEqual([]);
    await at.vfs.removeDirectory(rootInode, "dir" as Name, root);
    await at.vfs.readDirectory(handle, 0, false, (entry) => rest.push(entry.name) > 0);
    expect(rest).toEqual([]);
  });
});

describe("reads", () => {
  test("small files of a directory come in pages with their data", async () => {
    const at = await filled(1000, 100);
    const directory = (await at.lookup("dir")).attributes.ino;
    for (let index = 0; index < 1000; index++) {
      const handle = await at.open((await at.lookup(`file-${index}`, directory)).attributes.ino, 0);
      expect((await at.read(handle, 0, 200)).equals(Buffer.alloc(100, index))).toBe(true);
      at.vfs.release(handle);
    }
    expect(at.remote.callCount).toBeLessThan(60);
  });

  test("never go past the size, and holes are zeros", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.change(ino, { sizeBytes: 300_000 });
    expect((await at.read(handle, 0, 1 << 20)).equals(Buffer.alloc(300_000))).toBe(true);
    await at.write(handle, 100_000, "x");
    expect((await at.read(handle, 99_999, 3)).equals(Buffer.from("\0x\0"))).toBe(true);
    const reading = at.read(handle, 0, 1 << 20);
    await at.change(ino, { sizeBytes: 10 });
    expect((await reading).length).toBe(10);
    expect((await at.read(handle, 10, 5)).length).toBe(0);
  });
});

describe("allocated bytes", () => {
  test("are asked for when only the server knows them, once", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.write(handle, 1 << 20, Buffer.alloc(8192));
    await at.write(handle, (1 << 20) + 4096, Buffer.alloc(8192));
    expect((await at.attributes(ino)).allocatedBytes).toBe(12_288);
    const asked = at.calls("fetchInode");
    expect((await at.attributes(ino)).allocatedBytes).toBe(12_288);
    expect(at.calls("fetchInode")).toBe(asked);
    await at.write(handle, 0, Buffer.alloc(1));
    expect((await at.lookup("file")).validity.attributesMs, "until then the kernel must not believe them").toBe(0);
  });
});

describe("access times", () => {
  const dayMs = 86_400_000;

  async function atimeMs(at: Mounted, ino: InodeNumber): Promise<number> {
    const { sec, nsec } = (await at.attributes(ino)).atime;
    return sec * 1000 + nsec / 1e6;
  }

  test("relatime: after a change, or a day later, and then only once", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.write(handle, 0, "text");
    const { ctime } = await at.attributes(ino);
    const before = await atimeMs(at, ino);
    expect((await at.vfs.open(ino, 0, root)).keepCache, "the read must reach us").toBe(false);
    await at.read(handle, 0, 10);
    const first = await atimeMs(at, ino);
    expect(first).toBeGreaterThan(before);
    expect((await at.attributes(ino)).ctime, "reading is no change").toEqual(ctime);
    expect((await at.vfs.open(ino, 0, root)).keepCache).toBe(true);
    await at.read(handle, 0, 10);
    expect(await atimeMs(at, ino)).toBe(first);
    at.clock.advance(dayMs + 1000);
    await at.read(handle, 0, 10);
    expect(await atimeMs(at, ino)).toBeGreaterThanOrEqual(first + dayMs);
    const again = await at.again();
    expect(await atimeMs(again, ino)).toBeGreaterThanOrEqual(first + dayMs);
  });

  test.each([
    ["noatime", false],
    ["strict", true],
  ] as const)("%s", async (atime, isChanged) => {
    const at = new Mounted({ settings: { atime } });
    const directory = await at.make("dir", newDirectory);
    await at.list(directory);
    const first = await atimeMs(at, directory);
    await at.list(directory);
    expect((await atimeMs(at, directory)) > first).toBe(isChanged);
  });

  test("O_NOATIME, and a read-only mount, leave them", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    await at.write(await at.open(ino), 0, "text");
    const before = await atimeMs(at, ino);
    await at.read(await at.open(ino, 0o1000000), 0, 10);
    expect(await atimeMs(at, ino)).toBe(before);
    const readOnly = await at.again({ isReadOnly: true });
    await readOnly.read(await readOnly.open(ino, 0), 0, 10);
    expect(await atimeMs(readOnly, ino)).toBe(before);
    expect(() => readOnly.vfs.unlink(rootInode, "file" as Name, root)).toThrow("READ_ONLY");
    expect(() => readOnly.vfs.open(ino, 1, root)).toThrow("READ_ONLY");
    await turn();
  });

  describe("of a file that is being written, with a write-back cache", () => {
    const settings = { kernelOwnsTimes: true };
    const told = (at: Mounted): string[] => {
      const list: string[] = [];
      at.vfs.onInvalidate = (what, done) => {
        list.push(what.kind);
        done?.();
      };
      return list;
    };

    test("are never none: what the kernel holds is not known", async () => {
      const at = new Mounted({ settings });
      const { entry, file } = await at.vfs.create(rootInode, "file" as Name, newFile, 2, root);
      expect(entry.attributes).toMatchObject({ sizeBytes: 0, allocatedBytes: 4096 });
      at.vfs.release(file.handle);
      expect((await at.attributes(entry.attributes.ino)).allocatedBytes).toBe(0);
    });

    test("are forgotten by the kernel when somebody begins to write an empty file", async () => {
      const at = new Mounted({ settings });
      const ino = await at.make("file");
      const list = told(at);
      await at.open(ino, 0);
      expect(list).toEqual([]);
      await at.open(ino, 1);
      expect(list).toEqual(["attributes"]);
    });

    test("are forgotten by the kernel after a sync of a file that has grown, and not after others", async () => {
      const at = new Mounted({ settings });
      const ino = await at.make("file");
      const handle = await at.open(ino);
      const list = told(at);
      await at.write(handle, 0, Buffer.alloc(1 << 20));
      await at.vfs.sync(handle, false);
      expect(list).toEqual(["attributes"]);
      await at.write(handle, 0, Buffer.alloc(1 << 20));
      await at.write(handle, 1 << 20, Buffer.alloc(4096));
      await at.vfs.sync(handle, false);
      expect(list, "an eighth is not reached").toEqual(["attributes"]);
      await at.write(handle, 1 << 20, Buffer.alloc(1 << 18));
      await at.vfs.sync(handle, true);
      expect(list).toEqual(["attributes", "attributes"]);
    });
  });
});

test("who has a file open for writing is known until the last handle is gone", async () => {
  const at = new Mounted();
  const ino = await at.make("file");
  const handles = [await at.open(ino, 0), await at.open(ino, 1), await at.open(ino, 2)];
  expect(at.vfs.isOpenForWriting(ino)).toBe(true);
  for (const handle of handles.slice(0, 2)) at.vfs.release(handle);
  expect(at.vfs.isOpenForWriting(ino)).toBe(true);
  at.vfs.release(handles[2] ?? 0);
  expect(at.vfs.isOpenForWriting(ino)).toBe(false);
});

test("an inode of any kind is found by its number, as an export of file handles asks for it", async () => {
  const at = new Mounted();
  const ino = await at.make("file");
  expect((await at.vfs.lookup(ino, "." as Name, root)).attributes.ino).toBe(ino);
  expect(() => at.vfs.lookup(ino, ".." as Name, root)).toThrow("NOT_DIRECTORY");
});
