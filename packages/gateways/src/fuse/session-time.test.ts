/** The session over time: promised answers, interrupts, refused replies, the end, and invalidation. */
import { afterEach, describe, expect, test } from "vitest";
import { opcode } from "./protocol.ts";
import { MemoryKernel, body } from "./testing/kernel.ts";
import { begin, create, endAll, logged, readBody, turn, writeBody } from "./testing/started.ts";
import { TreeVfs } from "./testing/tree-vfs.ts";

afterEach(endAll);

describe("time", () => {
  test("promised answers that settle together go out in one flush", async () => {
    const bench = begin();
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    bench.vfs.delay = () => gate;
    for (const number of [1, 3, 5]) bench.kernel.send({ opcode: opcode.getattr, unique: number, body: Buffer.alloc(16) });
    const before = bench.kernel.flushes;
    expect(bench.session.statistics().pending).toBe(3);
    settle();
    await turn();
    expect(bench.kernel.flushes).toBe(before + 1);
    expect([1, 3, 5].map((number) => bench.kernel.reply(number).error)).toEqual([0, 0, 0]);
  });

  test("the read of a caller that dies is answered EINTR at once, and its late buffer goes back", async () => {
    const bench = begin({ isDying: () => true });
    const { handle } = create(bench, "file");
    let settle = (): void => undefined;
    let released = 0;
    let aborted = false;
    bench.vfs.read = (_handle, _offset, _length, wait) => {
      if (wait !== undefined) wait.onInterrupt = () => (aborted = true);
      return new Promise((resolve) => (settle = () => resolve({ lengthBytes: 0, parts: [], release: () => void released++ })));
    };
    bench.kernel.send({ opcode: opcode.read, unique: 2, body: readBody(handle, 0, 10) });
    bench.kernel.send(
      { opcode: opcode.interrupt, unique: 3, body: body([8, 2]) },
      { opcode: opcode.interrupt, unique: 5, body: body([8, 4]) },
    );
    expect(aborted).toBe(true);
    expect(bench.kernel.reply(2).error).toBe(-4);
    settle();
    await turn();
    expect(released).toBe(1);
    expect(bench.kernel.replies).toEqual([]);
  });

  test("the lookup of a caller that dies gives its reference back; its mkdir is waited for", async () => {
    const bench = begin({ isDying: () => true });
    create(bench, "file");
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    bench.vfs.delay = () => gate;
    bench.kernel.send(
      { opcode: opcode.lookup, unique: 2, body: body("file") },
      { opcode: opcode.mkdir, unique: 4, body: body([4, 0], [4, 0], "d") },
    );
    bench.kernel.send(
      { opcode: opcode.interrupt, unique: 3, body: body([8, 2]) },
      { opcode: opcode.interrupt, unique: 5, body: body([8, 4]) },
    );
    expect(bench.kernel.reply(2).error).toBe(-4);
    expect(bench.kernel.replies).toEqual([]);
    settle();
    await turn();
    expect(bench.kernel.reply(4).error).toBe(0);
    expect([...bench.vfs.nodes.values()].map((node) => node.lookups)).toEqual([0, 1, 1]);
  });

  test("a caller whom a signal does not kill waits on and has its answer", async () => {
    const bench = begin({ isDying: (threadId) => threadId !== 41 });
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    bench.vfs.delay = () => gate;
    bench.kernel.send({ opcode: opcode.getattr, unique: 2, body: Buffer.alloc(16), pid: 41 });
    bench.kernel.send({ opcode: opcode.interrupt, unique: 3, body: body([8, 2]) });
    expect(bench.kernel.replies).toEqual([]);
    settle();
    await turn();
    expect(bench.kernel.reply(2).error).toBe(0);
  });

  test("too many promised answers pause the device until half are there", async () => {
    const bench = begin({ pendingMax: 4 });
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    bench.vfs.delay = () => gate;
    for (const number of [1, 3, 5, 7]) bench.kernel.send({ opcode: opcode.getattr, unique: number, body: Buffer.alloc(16) });
    expect(bench.kernel.isPaused).toBe(true);
    settle();
    await turn();
    expect(bench.kernel.isPaused).toBe(false);
  });

  test("an open or entry that nobody takes is given back", () => {
    const bench = begin();
    const { nodeid } = create(bench, "file");
    const handles = bench.vfs.handles.size;
    bench.kernel.refusals.set(2, 2).set(4, 2);
    bench.kernel.send(
      { opcode: opcode.open, unique: 2, nodeid, body: body([4, 0], [4, 0]) },
      { opcode: opcode.lookup, unique: 4, body: body("file") },
    );
    expect(bench.vfs.handles.size).toBe(handles);
    expect(bench.vfs.nodes.get(Number(nodeid) as never)?.lookups).toBe(1);
    expect(logged).toEqual([]);
  });

  test("a reply that the kernel calls invalid becomes EIO, so that nobody hangs", async () => {
    const bench = begin();
    bench.kernel.refusals.set(2, 22);
    bench.kernel.send({ opcode: opcode.getattr, unique: 2, body: Buffer.alloc(16) });
    await turn();
    expect(bench.kernel.reply(2).error).toBe(-5);
    expect(bench.session.statistics().refused).toBe(1);
  });

  test("close answers what is pending, once, and ends quietly", async () => {
    const bench = begin();
    let settle = (): void => undefined;
    const gate = new Promise<void>((resolve) => (settle = resolve));
    bench.vfs.delay = () => gate;
    bench.kernel.send({ opcode: opcode.mkdir, unique: 2, body: body([4, 0], [4, 0], "d") });
    bench.session.close();
    bench.session.close();
    expect(bench.kernel.reply(2).error).toBe(-5);
    settle();
    await turn();
    expect([bench.kernel.replies, bench.kernel.isClosed, await bench.session.ended]).toEqual([[], true, 0]);
  });

  test("a hand-over leaves pending requests to the next process", () => {
    const bench = begin();
    bench.vfs.delay = () => new Promise(() => undefined);
    bench.kernel.send({ opcode: opcode.getattr, unique: 2, body: Buffer.alloc(16) });
    bench.session.close(true);
    expect(bench.kernel.replies).toEqual([]);
  });

  test("an unmount ends the session", async () => {
    const bench = begin();
    bench.kernel.end(19);
    expect(await bench.session.ended).toBe(19);
    expect(bench.vfs.onInvalidate).toBe(null);
  });

  test("more replies than the arena holds go out in several flushes", () => {
    const bench = begin({}, new TreeVfs(), new MemoryKernel(8, 1 << 16, 4, 4096));
    const before = bench.kernel.flushes;
    bench.kernel.send(
      ...Array.from({ length: 8 }, (_, index) => ({ opcode: opcode.getattr, unique: index * 2 + 2, body: Buffer.alloc(16) })),
    );
    expect(bench.kernel.replies.map((reply) => reply.error)).toEqual(Array.from({ length: 8 }, () => 0));
    expect(bench.kernel.flushes).toBe(before + 2);
  });
});

describe("invalidation", () => {
  const seek = (handle: bigint): Buffer => body([8, handle], [8, 4096], [4, 3], [4, 0]);

  test.each([true, false])(
    "SEEK_DATA in a file that is being written waits for the kernel's dirty pages, writeback cache: %s",
    async (writebackCache) => {
      const bench = begin({ writebackCache });
      const { nodeid, handle } = create(bench, "file");
      bench.call(opcode.write, nodeid, writeBody(handle, 0, Buffer.alloc(8192)));
      let open = (): void => undefined;
      bench.kernel.holdNotify = new Promise((resolve) => (open = resolve));
      bench.kernel.send({ opcode: opcode.lseek, unique: 50, nodeid, body: seek(handle) });
      await turn();
      expect(bench.kernel.replies.filter(({ unique }) => unique === 50)).toEqual([]);
      open();
      await turn();
      await turn();
      expect(bench.kernel.reply(50).body.readBigUInt64LE(0)).toBe(4096n);
      const [message] = bench.kernel.notifications;
      expect([message?.readUInt32LE(4), message?.readBigUInt64LE(16), message?.readBigUInt64LE(24)]).toEqual([2, nodeid, 4096n]);
    },
  );

  test("SEEK_DATA is answered at once when nobody writes the file", () => {
    const bench = begin({ writebackCache: true });
    const { nodeid, handle } = create(bench, "file");
    bench.call(opcode.write, nodeid, writeBody(handle, 0, Buffer.alloc(8192)));
    bench.vfs.isOpenForWriting = () => false;
    expect(bench.call(opcode.lseek, nodeid, seek(handle)).body.readBigUInt64LE(0)).toBe(4096n);
    expect(bench.call(opcode.lseek, nodeid, body([8, handle], [8, -1n & 0xffff_ffff_ffff_ffffn], [4, 3], [4, 0])).error).toBe(-6);
    expect(bench.kernel.notifyCalls).toBe(0);
  });

  test("attributes alone, and pages from an offset on", async () => {
    const bench = begin();
    const ino = 65_536 as never;
    await Promise.all([
      bench.session.invalidate({ kind: "attributes", ino }),
      bench.session.invalidate({ kind: "pages", ino, offsetBytes: 5 }),
    ]);
    expect(bench.kernel.notifications.map((message) => message.readBigInt64LE(24))).toEqual([-1n, 5n]);
  });

  test("what is asked for while a batch is written goes in the next one, once", async () => {
    const bench = begin();
    let open = (): void => undefined;
    bench.kernel.holdNotify = new Promise((resolve) => (open = resolve));
    const inode = { kind: "inode", ino: 65_536 as never } as const;
    const entry = { kind: "entry", parent: 131_072 as never, name: "näme" as never } as const;
    const first = bench.session.invalidate(inode);
    await turn();
    const rest = [bench.session.invalidate(entry), bench.session.invalidate(inode), bench.session.invalidate(entry)];
    expect(bench.kernel.notifications).toEqual([]);
    open();
    let openAgain = (): void => undefined;
    bench.kernel.holdNotify = new Promise((resolve) => (openAgain = resolve));
    await first;
    await turn();
    const stillWaiting = await Promise.all(rest.map((promise) => Promise.race([promise.then(() => false), turn().then(() => true)])));
    expect(stillWaiting).toEqual([true, true, true]);
    openAgain();
    await Promise.all(rest);
    expect(bench.kernel.notifyCalls).toBe(2);
    expect(bench.kernel.notifications.map((message) => message.readUInt32LE(4))).toEqual([2, 3, 2]);
    const [forInode, forEntry] = bench.kernel.notifications;
    expect(forInode?.readBigUInt64LE(16)).toBe(1n);
    expect(forEntry?.subarray(32).toString("latin1")).toBe("näme\0");
    await bench.session.invalidate(inode);
    expect(bench.kernel.notifications).toHaveLength(4);
  });
});
