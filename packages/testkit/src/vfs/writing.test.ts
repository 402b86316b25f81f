/** Writes, sizes, times and ranges: what the kernel may send in which mode, and what must come of it. */
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { Time } from "@cfs/vfs";
import { ada, Mounted, newFile, root } from "./fixture.ts";

const append = 0o2000;

async function mtime(at: Mounted, ino: InodeNumber): Promise<Time> {
  return (await at.attributes(ino)).mtime;
}

describe("times of writes", () => {
  const then: Time = { sec: 1000, nsec: 5 };

  test.each([
    [false, false, true],
    [false, true, true],
    [true, false, true],
    [true, true, false],
  ])("a kernel that owns times: %s, a write from its pages: %s, sets mtime: %s", async (kernelOwnsTimes, fromPageCache, isSet) => {
    const at = new Mounted({ settings: { kernelOwnsTimes } });
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.change(ino, { mtime: then, ctime: then });
    await at.vfs.write(handle, 0, Buffer.alloc(10_000), { killSetId: false, fromPageCache });
    expect((await mtime(at, ino)).sec > then.sec).toBe(isSet);
    expect((await at.attributes(ino)).sizeBytes).toBe(10_000);
  });

  test("the kernel's own times are taken from anyone who may write; others only from the owner", async () => {
    const at = new Mounted();
    const ino = await at.make("file", { ...newFile, mode: 0o666 });
    await at.change(ino, { mtime: then, ctime: then }, { ...ada, groups: null });
    expect(await mtime(at, ino)).toEqual(then);
    await expect(at.change(ino, { mtime: then }, ada)).rejects.toMatchObject({ code: "NOT_PERMITTED" });
    await at.change(ino, { mtime: "now", atime: "now" }, ada);
    expect((await mtime(at, ino)).sec).toBeGreaterThan(then.sec);
    await expect(at.change(ino, { mtime: "now", atime: then }, ada)).rejects.toMatchObject({ code: "NOT_PERMITTED" });
  });

  test("O_TRUNC of an empty file changes its times", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const before = await mtime(at, ino);
    await at.open(ino, 0o1001);
    expect(await mtime(at, ino)).not.toEqual(before);
  });
});

describe("handles", () => {
  test("append goes to the end, wherever the caller thinks it is; pages of the kernel go where they belong", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino, 2 | append);
    await at.write(handle, 0, "one");
    await at.write(handle, 0, "two");
    await at.vfs.write(handle, 0, Buffer.from("O"), { killSetId: false, fromPageCache: true });
    expect((await at.read(handle, 0, 10)).toString()).toBe("Onetwo");
  });

  test("writing needs a handle for writing, and a handle that is open", async () => {
    const at = new Mounted();
    const handle = await at.open(await at.make("file"), 0);
    await expect(at.write(handle, 0, "x")).rejects.toMatchObject({ code: "BAD_HANDLE" });
    at.vfs.release(handle);
    await expect(at.read(handle, 0, 1)).rejects.toMatchObject({ code: "BAD_HANDLE" });
  });

  test("create of a name that exists opens it, unless O_EXCL was asked for", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    await at.write(await at.open(ino), 0, "text");
    const opened = await at.vfs.create(rootInode, "file" as Name, newFile, 2, root);
    expect(opened.entry.attributes).toMatchObject({ ino, sizeBytes: 4 });
    expect((await at.vfs.create(rootInode, "file" as Name, newFile, 0o1002, root)).entry.attributes.sizeBytes).toBe(0);
    expect(() => at.vfs.create(rootInode, "file" as Name, newFile, 0o202, root)).toThrow("EXISTS");
  });

  test("set-id bits go when the kernel says so", async () => {
    const at = new Mounted();
    const ino = await at.make("file", { ...newFile, mode: 0o6755 });
    await at.vfs.write(await at.open(ino), 0, Buffer.from("x"), { killSetId: true, fromPageCache: false });
    expect((await at.attributes(ino)).mode).toBe(0o755);
  });
});

test.each([
  [false, false],
  [true, true],
])("a program's capabilities after a write from the kernel's pages: %s, are still there: %s", async (fromPageCache, isKept) => {
  const at = new Mounted();
  const ino = await at.make("file");
  await at.vfs.setXattr(ino, "security.capability", Buffer.alloc(20), 0, false, root);
  await at.vfs.write(await at.open(ino), 0, Buffer.from("x"), { killSetId: false, fromPageCache });
  expect((await at.vfs.listXattr(ino, root)).length).toBe(isKept ? 1 : 0);
});

describe("large writes", () => {
  test("of several MiB in one call keep their bytes, and give the memory back", async () => {
    const at = new Mounted();
    const handle = await at.open(await at.make("file"));
    const data = Buffer.alloc((3 << 20) + 12_345);
    for (let index = 0; index < data.length; index += 1000) data[index] = index / 1000;
    const borrowed = Buffer.from(data);
    const writing = at.write(handle, 777, borrowed);
    borrowed.fill(0);
    expect(await writing).toBe(data.length);
    await at.vfs.sync(handle, false);
    expect(at.vfs.holdings.undurableBytes).toBe(0);
    expect((await at.read(handle, 777, data.length)).equals(data)).toBe(true);
  });

  test("past the end of the world are refused", async () => {
    const at = new Mounted();
    const handle = await at.open(await at.make("file"));
    await expect(at.write(handle, 2 ** 52, "x")).rejects.toMatchObject({ code: "FILE_TOO_LARGE" });
  });
});

describe("fallocate", () => {
  test("knows its modes, and needs a writable handle and a length", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    for (const mode of [2, 4, 8, 18, 19, 32])
      expect(() => at.vfs.allocate(handle, mode, 0, 10, root), `mode ${mode}`).toThrow("NOT_SUPPORTED");
    expect(() => at.vfs.allocate(handle, 0, 0, 0, root)).toThrow("INVALID");
    const readOnly = await at.open(ino, 0);
    expect(() => at.vfs.allocate(readOnly, 0, 0, 10, root)).toThrow("BAD_HANDLE");
    await at.vfs.allocate(handle, 0, 0, 1 << 20, root);
    expect(await at.attributes(ino)).toMatchObject({ sizeBytes: 1 << 20, allocatedBytes: 1 << 20 });
    await at.vfs.allocate(handle, 1, 1 << 20, 4096, root);
    expect((await at.attributes(ino)).sizeBytes).toBe(1 << 20);
  });

  test("is told early that there is no space", async () => {
    const at = new Mounted({ serverOptions: { capacityBytes: 1 << 20 } });
    const handle = await at.open(await at.make("file"));
    await at.write(handle, 0, "x");
    await at.vfs.sync(handle, false);
    await expect(Promise.resolve(at.vfs.allocate(handle, 0, 0, 2 << 20, root))).rejects.toMatchObject({ code: "NO_SPACE" });
  });
});

describe("seek", () => {
  test("finds data and holes, inline and in extents", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.write(handle, 0, "inline");
    await at.change(ino, { sizeBytes: 3000 });
    expect(at.vfs.seek(handle, 2, 3)).toBe(2);
    expect(at.vfs.seek(handle, 2, 4)).toBe(6);
    expect(at.vfs.seek(handle, 10, 4)).toBe(10);
    expect(() => at.vfs.seek(handle, 10, 3)).toThrow("NO_DEVICE");
    expect(() => at.vfs.seek(handle, 3000, 4)).toThrow("NO_DEVICE");
    expect(() => at.vfs.seek(handle, 0, 2)).toThrow("INVALID");
    await at.write(handle, 1 << 20, "far");
    expect(await at.vfs.seek(handle, 6, 3)).toBe(1 << 20);
    expect(await at.vfs.seek(handle, 1 << 20, 4)).toBe((1 << 20) + 3);
  });
});

describe("copy_file_range", () => {
  test("checks its handles and ranges as Linux does", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.write(handle, 0, "0123456789");
    const appending = await at.open(ino, 2 | append);
    const writeOnly = await at.open(ino, 1);
    expect(() => at.vfs.copyRange(handle, 0, appending, 0, 5, root)).toThrow("BAD_HANDLE");
    expect(() => at.vfs.copyRange(writeOnly, 0, handle, 0, 5, root)).toThrow("BAD_HANDLE");
    expect(() => at.vfs.copyRange(handle, 0, handle, 4, 5, root)).toThrow("INVALID");
    expect(await at.vfs.copyRange(handle, 5, handle, 10, 100, root)).toBe(5);
    expect(await at.vfs.copyRange(handle, 15, handle, 0, 5, root)).toBe(0);
    expect((await at.read(handle, 0, 100)).toString()).toBe("012345678956789");
  });

  test("copies a large hole without writing it", async () => {
    const at = new Mounted();
    const [source, target] = [await at.make("source"), await at.make("target")];
    const [from, to] = [await at.open(source), await at.open(target)];
    await at.write(from, 0, "head");
    await at.change(source, { sizeBytes: 1 << 30 });
    await at.write(to, 0, Buffer.alloc(100_000, 1));
    expect(await at.vfs.copyRange(from, 0, to, 0, 1 << 30, root)).toBe(1 << 30);
    expect((await at.read(to, 0, 200_000)).equals(Buffer.concat([Buffer.from("head"), Buffer.alloc(199_996)]))).toBe(true);
    expect(await at.attributes(target)).toMatchObject({ sizeBytes: 1 << 30 });
    expect((await at.attributes(target)).allocatedBytes).toBeLessThanOrEqual(8192);
  });
});

describe("access", () => {
  test("is judged here for callers with groups, and granted where the kernel has judged", async () => {
    const at = new Mounted();
    const ino = await at.make("secret", { ...newFile, mode: 0o600 });
    expect(() => at.vfs.access(ino, 4, ada)).toThrow("ACCESS_DENIED");
    expect(() => at.vfs.open(ino, 0, ada)).toThrow("ACCESS_DENIED");
    expect(() => at.vfs.makeNode(rootInode, "no" as Name, newFile, ada)).toThrow("ACCESS_DENIED");
    expect(at.vfs.access(ino, 4, { ...ada, groups: null })).toBeUndefined();
    expect(at.vfs.access(ino, 6, root)).toBeUndefined();
    expect(() => at.vfs.access(ino, 1, { ...root, groups: [] })).toThrow("ACCESS_DENIED");
  });
});

describe("extended attributes", () => {
  test("a name that the inode does not have is answered without the server", async () => {
    const at = await (async () => {
      const first = new Mounted();
      await first.vfs.setXattr(await first.make("file"), "user.a", Buffer.from("1"), 0, false, root);
      return first.again();
    })();
    const { ino } = (await at.lookup("file")).attributes;
    expect(() => at.vfs.getXattr(ino, "security.capability")).toThrow("NO_DATA");
    expect(at.calls("fetchXattr")).toBe(0);
    expect(Buffer.from(await at.vfs.getXattr(ino, "user.a")).toString()).toBe("1");
    expect(await at.vfs.listXattr(ino, root)).toEqual(["user.a"]);
    expect(() => at.vfs.setXattr(ino, "user.a", Buffer.from("2"), 1, false, root)).toThrow("EXISTS");
    expect(() => at.vfs.removeXattr(ino, "user.b", root)).toThrow("NO_DATA");
    expect(() => at.vfs.getXattr(ino, "foreign.a")).toThrow("NOT_SUPPORTED");
  });

  test("names of the namespace trusted are shown to root alone", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    for (const name of ["user.a", "trusted.b"]) await at.vfs.setXattr(ino, name, Buffer.from("1"), 0, false, root);
    expect(await at.vfs.listXattr(ino, root)).toEqual(["trusted.b", "user.a"]);
    expect(await at.vfs.listXattr(ino, { ...root, uid: 1000 })).toEqual(["user.a"]);
  });
});
