/** What is answered early, what waits, and how trouble after an early answer is told. */
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { Name } from "@cfs/core";
import { Mounted, newFile, root, turn } from "./fixture.ts";

const noSpace = 28;
const lost = /session with the server is lost/;

async function isDone(promise: unknown): Promise<boolean> {
  let done = false;
  const finish = (): void => {
    done = true;
  };
  Promise.resolve(promise).then(finish, finish);
  await turn();
  await turn();
  return done;
}

describe("durability", () => {
  test("changes are answered at once, without the server", async () => {
    const at = new Mounted();
    await at.make("first");
    at.remote.pause();
    const made = at.vfs.create(rootInode, "second" as Name, newFile, 2, root);
    expect(made).not.toBeInstanceOf(Promise);
    if (made instanceof Promise) return;
    expect(at.vfs.write(made.file.handle, 0, Buffer.from("hello"), { killSetId: false, fromPageCache: false })).toBe(5);
    expect(at.vfs.rename(rootInode, "second" as Name, rootInode, "third" as Name, 0, root)).toBeUndefined();
    expect(at.vfs.lookup(rootInode, "third" as Name, root)).not.toBeInstanceOf(Promise);
    expect(() => at.vfs.lookup(rootInode, "second" as Name, root)).toThrow("NOT_FOUND");
  });

  test("sync waits until everything is durable, and is free when it is", async () => {
    const at = new Mounted({ serverOptions: { isDurableAtOnce: false } });
    const handle = await at.open(await at.make("file"));
    await at.write(handle, 0, "data");
    const syncing = at.vfs.sync(handle, false);
    expect(await isDone(syncing)).toBe(false);
    at.server.makeDurable();
    await syncing;
    expect(at.vfs.sync(handle, false)).toBeUndefined();
    expect(at.vfs.flush(handle)).toBeUndefined();
  });

  test("sync waits for what was done before it, also to other files", async () => {
    const at = new Mounted({ serverOptions: { isDurableAtOnce: false } });
    const quiet = await at.open(await at.make("quiet"));
    await turn();
    at.server.makeDurable();
    await at.write(await at.open(await at.make("busy")), 0, "data");
    const syncing = at.vfs.sync(quiet, false);
    expect(await isDone(syncing)).toBe(false);
    at.server.makeDurable();
    await syncing;
  });

  test("writers wait while too much is on its way", async () => {
    const at = new Mounted({ serverOptions: { isDurableAtOnce: false }, settings: { writeBytesMax: 1 << 20 } });
    const handle = await at.open(await at.make("file"));
    const writing = at.write(handle, 0, Buffer.alloc(1 << 20));
    expect(await isDone(writing)).toBe(false);
    at.server.makeDurable();
    expect(await writing).toBe(1 << 20);
    expect(at.vfs.holdings.undurableBytes).toBe(0);
  });

  test("a crash that loses what was not durable is not noticed", async () => {
    const at = new Mounted({ serverOptions: { isDurableAtOnce: false } });
    const handle = await at.open(await at.make("file"));
    await at.write(handle, 0, Buffer.alloc(10_000, 5));
    await turn();
    at.server.crash();
    expect((await at.read(handle, 0, 20_000)).equals(Buffer.alloc(10_000, 5))).toBe(true);
    const syncing = Promise.resolve(at.vfs.syncAll());
    await turn();
    at.server.makeDurable();
    await syncing;
    at.server.crash();
    expect((await at.read(handle, 0, 20_000)).length).toBe(10_000);
    expect(at.server.divergences).toEqual([]);
  });

  test("no space is told by the write while it can be", async () => {
    const at = new Mounted({ serverOptions: { capacityBytes: 100_000 } });
    const handle = await at.open(await at.make("file"));
    await at.write(handle, 0, Buffer.alloc(60_000));
    await expect(at.write(handle, 60_000, Buffer.alloc(60_000))).rejects.toMatchObject({ code: "NO_SPACE" });
    expect((await at.attributes(await at.lookup("file").then((entry) => entry.attributes.ino))).sizeBytes).toBe(60_000);
    await at.change((await at.lookup("file")).attributes.ino, { sizeBytes: 0 });
    expect(await at.write(handle, 0, Buffer.alloc(60_000))).toBe(60_000);
    await at.vfs.sync(handle, false);
  });

  test("what fallocate has set aside can be written when nothing else is left, and by nobody else", async () => {
    const at = new Mounted({ serverOptions: { capacityBytes: 200_000 } });
    const [promised, other] = [await at.open(await at.make("promised")), await at.open(await at.make("other"))];
    await at.vfs.allocate(promised, 0, 0, 100_000, root);
    await at.write(other, 0, Buffer.alloc(100_000));
    await expect(at.write(other, 100_000, Buffer.alloc(10_000))).rejects.toMatchObject({ code: "NO_SPACE" });
    expect(await at.write(promised, 50_000, Buffer.alloc(50_000))).toBe(50_000);
    expect(await at.write(promised, 0, Buffer.alloc(50_000))).toBe(50_000);
    await expect(at.write(promised, 99_000, Buffer.alloc(10_000))).rejects.toMatchObject({ code: "NO_SPACE" });
    await at.vfs.sync(promised, false);
    expect(at.server.divergences).toEqual([]);
  });

  test("space that is only on its way to being taken is counted, and waited for", async () => {
    const at = new Mounted({ serverOptions: { capacityBytes: 100_000, isDurableAtOnce: false } });
    at.server.makeDurable();
    const handle = await at.open(await at.make("file"));
    at.server.makeDurable();
    await at.write(handle, 0, Buffer.alloc(60_000));
    // Over the same bytes again: the server will need no more, but we cannot know before it has told.
    const writing = at.write(handle, 0, Buffer.alloc(60_000));
    expect(await isDone(writing)).toBe(false);
    at.server.makeDurable();
    await expect(writing).rejects.toMatchObject({ code: "NO_SPACE" });
  });

  test("a refused write is told to each open handle once, and the inode is what the server holds", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const [a, b] = [await at.open(ino), await at.open(ino)];
    await at.write(a, 0, "kept");
    await at.vfs.sync(a, false);
    at.server.refuse = (command) => (command.type === "write" ? noSpace : 0);
    await at.write(a, 4, "refused");
    await expect((async () => at.vfs.sync(a, false))()).rejects.toMatchObject({ code: "NO_SPACE" });
    expect((await at.attributes(ino)).sizeBytes).toBe(4);
    expect((await at.read(a, 0, 100)).toString()).toBe("kept");
    await at.vfs.sync(a, false);
    expect(() => at.vfs.flush(b)).toThrow("NO_SPACE");
    expect(at.vfs.flush(b)).toBeUndefined();
    await expect(at.vfs.syncAll()).rejects.toMatchObject({ code: "NO_SPACE" });
    await at.vfs.syncAll();
  });

  test("a refused create is forgotten", async () => {
    const at = new Mounted();
    await at.make("first");
    at.server.refuse = (command) => (command.type === "makeNode" ? noSpace : 0);
    const ino = await at.make("second");
    await expect(at.vfs.syncAll()).rejects.toMatchObject({ code: "NO_SPACE" });
    await expect(at.lookup("second")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(at.attributes(ino)).rejects.toMatchObject({ code: "STALE_HANDLE" });
  });

  test("a lost session: errors on open files, the kernel is told, and the file system is what was durable", async () => {
    const at = new Mounted({ serverOptions: { isDurableAtOnce: false } });
    const ino = await at.make("old");
    await turn();
    at.server.makeDurable();
    const handle = await at.open(ino);
    await at.lookup("old");
    at.remote.pause();
    await at.make("new");
    await at.write(handle, 0, "lost");
    const untouched = await at.make("closed");
    const syncing = Promise.resolve(at.vfs.sync(handle, false));
    const told: string[] = [];
    at.vfs.onInvalidate = (what) => void told.push(what.kind === "entry" ? `entry ${what.name}` : `${what.kind} ${what.ino}`);
    syncing.catch(() => {});
    await at.server.loseSession(at.remote, "fenced");
    await expect(syncing).rejects.toThrow(lost);
    at.remote.resume();
    expect(() => at.vfs.flush(handle)).not.toThrow();
    await expect(at.attributes(untouched)).rejects.toMatchObject({ code: "STALE_HANDLE" });
    expect((await at.read(handle, 0, 10)).length, "what was written is gone").toBe(0);
    expect(told).toContain("entry new");
    expect(told).toContain("entry old");
    expect(told).toContain(`inode ${ino}`);
    expect((await at.lookup("old")).attributes.ino).toBe(ino);
    await expect(at.lookup("new")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await at.make("new");
    const closing = at.vfs.syncAll();
    await turn();
    at.server.makeDurable();
    await expect(closing).rejects.toThrow(lost);
    expect(at.server.divergences).toEqual([]);
  });

  test("close reaps what was unlinked and only held open here, and everything is durable", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.vfs.unlink(rootInode, "file" as Name, root);
    await at.write(handle, 0, "still here");
    expect((await at.read(handle, 0, 100)).toString()).toBe("still here");
    expect(at.server.state.inode(ino)).not.toBeNull();
    await at.vfs.close();
    await at.vfs.close();
    expect(at.server.state.inode(ino)).toBeNull();
    expect(at.vfs.holdings.undurableBytes).toBe(0);
  });

  test("an unlinked inode goes with the last of its handles and lookups", async () => {
    const at = new Mounted();
    const ino = await at.make("file");
    const handle = await at.open(ino);
    await at.vfs.unlink(rootInode, "file" as Name, root);
    at.vfs.release(handle);
    await at.vfs.syncAll();
    expect(at.server.state.inode(ino)).not.toBeNull();
    at.vfs.forget(ino, 1);
    await at.vfs.syncAll();
    expect(at.server.state.inode(ino)).toBeNull();
  });
});
