/** The session against a kernel in memory, answers at once: one behaviour per test. */
import { CfsError, errnoByCode, silentLogger, systemClock, type ErrorCode } from "@cfs/core";
import { afterEach, describe, expect, test } from "vitest";
import { openReply, opcode, setattrValid } from "./protocol.ts";
import { FuseSession } from "./session.ts";
import { body, decodeAttributes, decodeDirectory, decodeEntry, MemoryKernel } from "./testing/kernel.ts";
import { begin, create, endAll, endLater, logged, readBody, type Started, turn, writeBody } from "./testing/started.ts";
import { TreeVfs } from "./testing/tree-vfs.ts";

afterEach(endAll);

describe("INIT", () => {
  test("answers only what was offered, with the sizes of the device", async () => {
    const kernel = new MemoryKernel();
    const session = new FuseSession({ vfs: new TreeVfs(), device: kernel, clock: systemClock(), logger: silentLogger });
    endLater(session);
    session.start();
    kernel.send({ opcode: opcode.init, unique: 2, nodeid: 0, body: body([4, 7], [4, 31], [4, 131_072], [4, 0x8]) });
    const { error, body: reply } = kernel.reply(2);
    expect(error).toBe(0);
    expect(reply.length).toBe(64);
    expect([reply.readUInt32LE(0), reply.readUInt32LE(4), reply.readUInt32LE(8), reply.readUInt32LE(12)]).toEqual([7, 31, 131_072, 0x8]);
    expect([reply.readUInt16LE(16), reply.readUInt16LE(18), reply.readUInt32LE(20), reply.readUInt16LE(28)]).toEqual([128, 96, 65_536, 16]);
    expect((await session.ready).flags).toEqual(["atomicTruncate"]);
  });

  test("never asks for locks, and for writeback only when wished", () => {
    const plain = begin();
    expect(plain.session.negotiated?.flags).not.toContain("writebackCache");
    expect(begin({ writebackCache: true }).session.negotiated?.flags).toContain("writebackCache");
  });

  test("refuses a kernel that is too old", () => {
    const kernel = new MemoryKernel();
    const session = new FuseSession({ vfs: new TreeVfs(), device: kernel, clock: systemClock(), logger: silentLogger });
    endLater(session);
    session.start();
    kernel.send({ opcode: opcode.init, unique: 2, body: body([4, 7], [4, 30], [4, 0], [4, 0]) });
    expect(kernel.reply(2).error).toBe(-errnoByCode.NOT_SUPPORTED);
    kernel.send({ opcode: opcode.getattr, unique: 4, body: Buffer.alloc(16) });
    expect(kernel.reply(4).error).toBe(-errnoByCode.NOT_IMPLEMENTED);
  });

  test("a session that takes over serves at once and asks for a resend", async () => {
    const first = begin();
    const kernel = new MemoryKernel();
    const session = new FuseSession({ vfs: new TreeVfs(), device: kernel, clock: systemClock(), logger: silentLogger });
    endLater(session);
    session.start(first.session.negotiated);
    kernel.send({ opcode: opcode.getattr, unique: 4, body: Buffer.alloc(16) });
    expect(kernel.reply(4).error).toBe(0);
    await turn();
    expect(kernel.notifications.map((message) => message.readUInt32LE(4))).toEqual([7]);
  });
});

describe("names and attributes", () => {
  test("the root is node 1 below and inode 65536 above", () => {
    const { call } = begin();
    const reply = call(opcode.getattr, 1, Buffer.alloc(16));
    expect(decodeAttributes(reply.body, 16)).toMatchObject({ ino: 65_536n, mode: 0o040755, nlink: 2 });
  });

  test("a created node belongs to the caller and is found again", () => {
    const bench = begin();
    const { nodeid } = create(bench, "file");
    const entry = decodeEntry(bench.call(opcode.lookup, 1, body("file")).body);
    expect(entry).toMatchObject({ nodeid, generation: 1n, entryValid: [1n, 0], attributesValid: [1n, 0] });
    expect(entry.attributes).toMatchObject({ mode: 0o100644, uid: 7, gid: 8 });
    expect(bench.vfs.nodes.get(Number(nodeid) as never)?.lookups).toBe(2);
    bench.kernel.send({ opcode: opcode.forget, unique: 1, nodeid, body: body([8, 2]) });
    expect(bench.vfs.nodes.get(Number(nodeid) as never)?.lookups).toBe(0);
    expect(bench.kernel.replies).toEqual([]);
  });

  test("errors are the errno of the code", () => {
    const { call } = begin();
    expect(call(opcode.lookup, 1, body("none")).error).toBe(-2);
    expect(call(opcode.lookup, 1, body("x".repeat(256))).error).toBe(-errnoByCode.NAME_TOO_LONG);
    expect(call(opcode.getattr, 99n, Buffer.alloc(16)).error).toBe(-errnoByCode.STALE_HANDLE);
    expect(call(opcode.getattr, 1n << 60n, Buffer.alloc(16)).error).toBe(-errnoByCode.STALE_HANDLE);
    expect(call(opcode.ioctl).error).toBe(-38);
    expect(call(4000).error).toBe(-38);
  });

  test("every code of CfsError reaches the kernel as its errno; what is no CfsError is EIO and logged", () => {
    const bench = begin();
    for (const code of Object.keys(errnoByCode) as ErrorCode[]) {
      bench.vfs.getAttributes = () => {
        throw new CfsError(code, "test");
      };
      expect(bench.call(opcode.getattr, 1, Buffer.alloc(16)).error).toBe(-errnoByCode[code]);
    }
    expect(logged).toEqual([]);
    bench.vfs.getAttributes = () => Promise.reject(new TypeError("defect"));
    bench.kernel.send({ opcode: opcode.getattr, unique: 5, body: Buffer.alloc(16) });
    return turn().then(() => {
      expect(bench.kernel.reply(5).error).toBe(-5);
      expect(logged).toHaveLength(1);
    });
  });

  test("SETATTR changes what its bits name, times before 1970 included", () => {
    const bench = begin();
    const { nodeid } = create(bench, "file");
    const { mode, atime, mtimeNow, size } = setattrValid;
    const change = body(
      [4, mode | atime | mtimeNow | size],
      [4, 0],
      [8, 0],
      [8, 5000],
      [8, 0],
      [8, -2],
      [8, 0],
      [8, 0],
      [4, 5],
      [4, 0],
      [4, 0],
      [4, 0o104755],
      [4, 0],
      [4, 1],
      [4, 2],
      [4, 0],
    );
    const reply = bench.call(opcode.setattr, nodeid, change);
    expect(decodeAttributes(reply.body, 16)).toMatchObject({ size: 5000n, mode: 0o104755, atime: [-2n, 5], uid: 7, gid: 8 });
  });

  test("STATX carries the basic statistics", () => {
    const bench = begin();
    const { nodeid } = create(bench, "file");
    const reply = bench.call(opcode.statx, nodeid, Buffer.alloc(24));
    expect(reply.body.length).toBe(288);
    expect(reply.body.readUInt32LE(32)).toBe(0x7ff);
    expect(reply.body.readUInt16LE(32 + 28)).toBe(0o100644);
    expect(reply.body.readBigUInt64LE(32 + 32)).toBe(nodeid);
  });

  test("rename, link, symlink, unlink", () => {
    const bench = begin();
    const { nodeid } = create(bench, "a");
    expect(bench.call(opcode.rename2, 1, body([8, 1], [4, 0], [4, 0], "a", "b")).error).toBe(0);
    expect(bench.call(opcode.link, 1, body([8, nodeid], "c")).error).toBe(0);
    const symlink = decodeEntry(bench.call(opcode.symlink, 1, body("s", "b")).body).nodeid;
    expect(bench.call(opcode.readlink, symlink).body.toString()).toBe("b");
    expect(bench.call(opcode.rename2, 1, body([8, 1], [4, 1], [4, 0], "c", "b")).error).toBe(-17);
    expect(bench.call(opcode.rename, 1, body([8, 1], "c", "d")).error).toBe(0);
    expect(bench.call(opcode.unlink, 1, body("d")).error).toBe(0);
    expect(bench.call(opcode.lookup, 1, body("c")).error).toBe(-2);
  });

  test("extended attributes: size first, then the value; too small a buffer is ERANGE", () => {
    const bench = begin();
    const value = Buffer.from([1, 0, 2, 0]);
    expect(bench.call(opcode.setxattr, 1, body([4, 4], [4, 0], [4, 0], [4, 0], "user.n", value)).error).toBe(0);
    expect(bench.call(opcode.getxattr, 1, body([4, 0], [4, 0], "user.n")).body.readUInt32LE(0)).toBe(4);
    expect(bench.call(opcode.getxattr, 1, body([4, 9], [4, 0], "user.n")).body).toEqual(value);
    expect(bench.call(opcode.getxattr, 1, body([4, 3], [4, 0], "user.n")).error).toBe(-34);
    expect(bench.call(opcode.listxattr, 1, body([4, 99], [4, 0])).body.toString()).toBe("user.n\0");
    expect(bench.call(opcode.removexattr, 1, body("user.n")).error).toBe(0);
    expect(bench.call(opcode.getxattr, 1, body([4, 9], [4, 0], "user.n")).error).toBe(-61);
  });

  test("a kernel without SETXATTR_EXT sends a shorter head", () => {
    const vfs = new TreeVfs();
    const kernel = new MemoryKernel();
    const session = new FuseSession({ vfs, device: kernel, clock: systemClock(), logger: silentLogger });
    endLater(session);
    session.start();
    kernel.send({ opcode: opcode.init, unique: 2, body: body([4, 7], [4, 31], [4, 0], [4, 0]) });
    kernel.send({ opcode: opcode.setxattr, unique: 4, body: body([4, 2], [4, 0], "user.n", Buffer.from("hi")) });
    kernel.send({ opcode: opcode.getxattr, unique: 6, body: body([4, 9], [4, 0], "user.n") });
    expect([kernel.reply(4).error, kernel.reply(6).body.toString()]).toEqual([0, "hi"]);
  });

  test("an extension after the body is no part of the name", () => {
    const bench = begin();
    const name = body([4, 0o755], [4, 0], "dir");
    bench.kernel.send({ opcode: opcode.mkdir, unique: 3, body: name, extension: Buffer.alloc(16, 1) });
    expect(bench.kernel.reply(3).error).toBe(0);
    expect(bench.call(opcode.lookup, 1, body("dir")).error).toBe(0);
  });
});

describe("files", () => {
  test("what is written is read, across batches that reuse the slots", () => {
    const bench = begin();
    const { handle } = create(bench, "file");
    const data = Buffer.alloc(50_000, "abc");
    expect(bench.call(opcode.write, 1, writeBody(handle, 100, data)).body.readUInt32LE(0)).toBe(50_000);
    expect(bench.call(opcode.read, 1, readBody(handle, 100, 65_536)).body).toEqual(data);
    expect(bench.call(opcode.read, 1, readBody(handle, 60_000, 10)).body.length).toBe(0);
  });

  test("offsets past 2^53 are EFBIG, lengths past what was negotiated EINVAL", () => {
    const bench = begin();
    const { handle } = create(bench, "file");
    expect(bench.call(opcode.read, 1, readBody(handle, 1n << 53n, 10)).error).toBe(-27);
    expect(bench.call(opcode.read, 1, readBody(handle, 0, 65_537)).error).toBe(-22);
    expect(bench.call(opcode.write, 1, body([8, handle], [8, 0], [4, 100], [4, 0], [8, 0], [4, 0], [4, 0], "short")).error).toBe(
      -errnoByCode.CORRUPT,
    );
  });

  test("read buffers go back only after the flush that sent them", () => {
    const bench = begin();
    const { handle } = create(bench, "file");
    const events: string[] = [];
    const flush = bench.kernel.flush.bind(bench.kernel);
    bench.kernel.flush = (count, parts) => {
      events.push("flush");
      return flush(count, parts);
    };
    bench.vfs.read = () => ({ lengthBytes: 5, parts: [Buffer.from("ab"), Buffer.from("cde")], release: () => void events.push("release") });
    expect(bench.call(opcode.read, 1, readBody(handle, 0, 10)).body.toString()).toBe("abcde");
    expect(events).toEqual(["flush", "release"]);
  });

  test("a read of more than was asked for is a defect: EIO, and the buffer still goes back", () => {
    const bench = begin();
    const { handle } = create(bench, "file");
    let released = 0;
    bench.vfs.read = () => ({ lengthBytes: 11, parts: [Buffer.alloc(11)], release: () => void released++ });
    expect(bench.call(opcode.read, 1, readBody(handle, 0, 10)).error).toBe(-5);
    expect([released, logged.length]).toEqual([1, 1]);
  });

  test("a read-only open needs no FLUSH, unless pages are written back", () => {
    const open = (bench: Started, flags: number): number =>
      bench.call(opcode.open, create(bench, `f${flags}`).nodeid, body([4, flags], [4, 0])).body.readUInt32LE(8);
    const bench = begin();
    expect(open(bench, 0) & openReply.noFlush).toBe(openReply.noFlush);
    expect(open(bench, 1) & openReply.noFlush).toBe(0);
    expect(open(begin({ writebackCache: true }), 0) & openReply.noFlush).toBe(0);
  });

  test("with writeback cache the kernel is told to leave FLUSH out: it writes back by itself before", () => {
    const flushed = (bench: Started): number => {
      const { handle } = create(bench, "file");
      return bench.call(opcode.flush, 1, body([8, handle], [8, 0], [8, 0])).error;
    };
    expect(flushed(begin())).toBe(0);
    expect(flushed(begin({ writebackCache: true }))).toBe(-38);
  });

  test("with writeback cache the Vfs gets a readable file whose reads are nobody's, and no O_APPEND", () => {
    const bench = begin({ writebackCache: true });
    const { nodeid } = create(bench, "file");
    let seen = -1;
    const open = bench.vfs.open.bind(bench.vfs);
    bench.vfs.open = (ino, flags) => {
      seen = flags;
      return open(ino, flags);
    };
    bench.call(opcode.open, nodeid, body([4, 0o2001], [4, 0]));
    expect(seen).toBe(0o1000002);
  });

  test("copy, seek, allocate", () => {
    const bench = begin();
    const source = create(bench, "s");
    const target = create(bench, "t");
    bench.call(opcode.write, 1, writeBody(source.handle, 0, Buffer.from("hello")));
    const copy = body([8, source.handle], [8, 1], [8, target.nodeid], [8, target.handle], [8, 2], [8, (1n << 64n) - 1n], [8, 0]);
    expect(bench.call(opcode.copyFileRange64, 1, copy).body.readBigUInt64LE(0)).toBe(4n);
    expect(bench.call(opcode.read, 1, readBody(target.handle, 0, 10)).body.toString()).toBe("\0\0ello");
    bench.vfs.isOpenForWriting = () => false;
    expect(bench.call(opcode.lseek, 1, body([8, source.handle], [8, 0], [4, 4], [4, 0])).body.readBigUInt64LE(0)).toBe(5n);
    expect(bench.call(opcode.lseek, 1, body([8, source.handle], [8, 9], [4, 4], [4, 0])).error).toBe(-6);
    expect(bench.call(opcode.fallocate, 1, body([8, source.handle], [8, 0], [8, 99], [4, 0], [4, 0])).error).toBe(0);
  });

  test("a read-only session refuses every change before the Vfs sees it", () => {
    const vfs = new TreeVfs();
    const writable = begin({}, vfs);
    const { nodeid } = create(writable, "file");
    const bench = begin({ readOnly: true }, vfs);
    expect(bench.call(opcode.mkdir, 1, body([4, 0], [4, 0], "d")).error).toBe(-30);
    expect(bench.call(opcode.open, nodeid, body([4, 1], [4, 0])).error).toBe(-30);
    expect(bench.call(opcode.open, nodeid, body([4, 0o1000], [4, 0])).error).toBe(-30);
    expect(bench.call(opcode.open, nodeid, body([4, 0], [4, 0])).error).toBe(0);
  });

  test.each([
    [
      { uid: 70, gid: 80 },
      { uid: 70, gid: 80 },
    ],
    [
      { uid: null, gid: 80 },
      { uid: 7, gid: 80 },
    ],
  ])("files of presented owners %j are shown and stored as theirs", (presented, owners) => {
    const bench = begin({ presented });
    const { nodeid } = create(bench, "file");
    expect(bench.vfs.nodes.get(Number(nodeid) as never)?.attributes).toMatchObject(owners);
    expect(decodeEntry(bench.call(opcode.lookup, 1, body("file")).body).attributes).toMatchObject(owners);
  });
});

describe("directories", () => {
  test("pages go on at the cookie and hold whole entries", () => {
    const bench = begin();
    const names = Array.from({ length: 40 }, (_, index) => `name${"x".repeat(index)}`);
    for (const name of names) create(bench, name);
    const handle = bench.call(opcode.opendir, 1, body([4, 0], [4, 0])).body.readBigUInt64LE(0);
    for (const withAttributes of [false, true]) {
      const seen: string[] = [];
      for (let cookie = 0n; ;) {
        const page = bench.call(withAttributes ? opcode.readdirplus : opcode.readdir, 1, readBody(handle, cookie, 600)).body;
        expect(page.length).toBeLessThanOrEqual(600);
        const entries = decodeDirectory(page, withAttributes);
        if (entries.length === 0) break;
        for (const { name, entry } of entries) {
          seen.push(name);
          expect(entry === null || (entry.nodeid === 0n) === (name === "." || name === "..")).toBe(true);
        }
        cookie = entries.at(-1)?.cookie ?? 0n;
      }
      expect(seen).toEqual([".", "..", ...names]);
    }
    // One lookup from CREATE, one from READDIRPLUS.
    expect([...bench.vfs.nodes.values()].map((node) => node.lookups)).toEqual([0, ...names.map(() => 2)]);
  });

  test("a listing that fails halfway gives its lookups back", async () => {
    const bench = begin();
    create(bench, "a");
    const list = bench.vfs.readDirectory.bind(bench.vfs);
    bench.vfs.readDirectory = async (handle, cookie, withAttributes, take) => {
      await list(handle, cookie, withAttributes, take);
      throw new CfsError("TIMED_OUT", "test");
    };
    const handle = bench.call(opcode.opendir, 1, body([4, 0], [4, 0])).body.readBigUInt64LE(0);
    bench.kernel.send({ opcode: opcode.readdirplus, unique: 3, body: readBody(handle, 0, 4096) });
    await turn();
    expect(bench.kernel.reply(3).error).toBe(-110);
    expect([...bench.vfs.nodes.values()].map((node) => node.lookups)).toEqual([0, 1]);
  });
});
