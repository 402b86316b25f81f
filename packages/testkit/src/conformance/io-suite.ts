/**
 * What every Io must do: the list of behaviours that journal, segments and scrub rely on, run on each implementation.
 *
 * Use: ioSuite("MemoryIo", async () => ({ io, directory, dispose })). Every test gets its own fixture and ends with the
 * check that no pool buffer was leaked.
 */
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { blockBytes, openDurable, openPlain, seededRandom } from "@cfs/storage";
import type { Io, IoFile } from "@cfs/storage";

export interface IoFixture {
  readonly io: Io;
  /** An empty directory that exists. */
  readonly directory: string;
  /** Runs after `io.shutDown()`. */
  dispose(): Promise<void>;
}

interface Context {
  readonly fixture: IoFixture;
  path(name: string): string;
  /** A block-aligned pool buffer filled with one byte; given back after the test. */
  filled(sizeBytes: number, byte: number): Uint8Array;
  readBack(file: IoFile, sizeBytes: number, offsetBytes: number): Promise<{ count: number; bytes: Uint8Array }>;
}

const create = { ...openPlain, create: true };
const createDurable = { ...openDurable, create: true };

export function ioSuite(name: string, open: () => Promise<IoFixture>): void {
  describe(`${name} as an Io`, () => {
    let fixture: IoFixture;
    let taken: Uint8Array[] = [];
    const context: Context = {
      get fixture() {
        return fixture;
      },
      path: (file) => `${fixture.directory}/${file}`,
      filled: (sizeBytes, byte) => {
        const buffer = fixture.io.pool.take(sizeBytes).fill(byte);
        taken.push(buffer);
        return buffer;
      },
      readBack: async (file, sizeBytes, offsetBytes) => {
        const bytes = context.filled(sizeBytes, 0xee);
        return { count: await fixture.io.read(file, bytes, offsetBytes), bytes };
      },
    };
    beforeEach(async () => {
      fixture = await open();
    });
    afterEach(async () => {
      for (const buffer of taken) fixture.io.pool.give(buffer);
      taken = [];
      await fixture.io.shutDown();
      await fixture.io.shutDown();
      fixture.io.pool.assertNoLeak();
      fixture.io.pool.checkInvariants();
      await fixture.dispose();
    });
    bytesTests(context);
    loadTests(context);
    rangeTests(context);
    lifeCycleTests(context);
    nameTests(context);
    failureTests(context);
  });
}

function bytesTests(context: Context): void {
  const { path, filled, readBack } = context;

  test("durable direct writes are read back", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("direct"), createDurable);
    expect(file.sizeBytes).toBe(0);
    await io.write(file, [filled(8192, 1)], 4096);
    const { count, bytes } = await readBack(file, 16_384, 0);
    expect(count).toBe(12_288);
    expect([bytes[0], bytes[4095], bytes[4096], bytes[12_287]]).toEqual([0, 0, 1, 1]);
    await io.close(file);
    const again = await io.open(path("direct"), openDurable);
    expect(again.sizeBytes).toBe(12_288);
  });

  test("many views are written one after the other, neighbours and strangers", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("views"), createDurable);
    const large = filled(16_384, 0);
    const views = [0, 1, 3, 2].map((block) => large.subarray(block * 4096, (block + 1) * 4096).fill(block + 1));
    await io.write(file, [...views, large.subarray(0, 0), filled(4096, 9)], 0);
    const { count, bytes } = await readBack(file, 20_480, 0);
    expect(count).toBe(20_480);
    expect([0, 1, 2, 3, 4].map((block) => bytes[block * 4096 + 4095])).toEqual([1, 2, 4, 3, 9]);
  });

  test("buffered files take any memory, offset and length", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("buffered"), create);
    const text = new TextEncoder().encode("the quick brown fox");
    await io.write(file, [text.subarray(0, 3), new Uint8Array(0), text.subarray(3)], 7);
    await io.syncData(file);
    const target = new Uint8Array(100).fill(0xee);
    expect(await io.read(file, target, 11)).toBe(text.length - 4);
    expect(new TextDecoder().decode(target.subarray(0, text.length - 4))).toBe("quick brown fox");
    expect(target[text.length - 4]).toBe(0xee);
  });

  test("reads are short at the end and empty past it", async () => {
    const { io } = context.fixture;
    const buffered = await io.open(path("short"), create);
    await io.write(buffered, [new Uint8Array(5000).fill(3)], 0);
    await io.syncData(buffered);
    const direct = await io.open(path("short"), { ...openPlain, direct: true, readOnly: true });
    expect((await readBack(direct, 8192, 0)).count).toBe(5000);
    expect((await readBack(direct, 4096, 4096)).count).toBe(904);
    expect((await readBack(direct, 4096, 8192)).count).toBe(0);
    expect((await readBack(buffered, 4096, 4999)).count).toBe(1);
    expect((await readBack(buffered, 4096, 1 << 30)).count).toBe(0);
  });

  test("empty requests are nothing", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("empty"), create);
    await io.write(file, [], 0);
    await io.write(file, [new Uint8Array(0)], 100);
    expect(await io.read(file, new Uint8Array(0), 0)).toBe(0);
    await io.close(file);
    expect((await io.open(path("empty"), openPlain)).sizeBytes).toBe(0);
  });
}

function loadTests(context: Context): void {
  const { path, filled } = context;

  test("random requests agree with a plain array", async () => {
    const { io } = context.fixture;
    const random = seededRandom(7);
    const below = (count: number): number => Math.floor(random.next() * count);
    const blocks = 64;
    const model = new Uint8Array(blocks * blockBytes);
    const file = await io.open(path("random"), createDurable);
    await io.allocate(file, 0, model.length);
    const buffer = filled(model.length, 0);
    for (let round = 0; round < 300; round++) {
      const from = below(blocks);
      const count = 1 + below(blocks - from);
      const begin = from * blockBytes;
      const part = model.subarray(begin, begin + count * blockBytes);
      const action = below(4);
      if (action === 0) {
        part.fill(0);
        await io.punch(file, begin, part.length);
      } else if (action === 1) {
        const at = below(blocks - count + 1) * blockBytes;
        const source = buffer.subarray(at, at + blockBytes * count);
        for (let block = 0; block < count; block++) source.fill(below(256), block * blockBytes, (block + 1) * blockBytes);
        part.set(source);
        const cut = below(count + 1) * blockBytes;
        await io.write(file, [source.subarray(0, cut), source.subarray(cut)], begin);
      } else {
        const target = buffer.subarray(0, part.length);
        expect(await io.read(file, target, begin)).toBe(part.length);
        expect(Buffer.compare(target, part)).toBe(0);
      }
    }
  });

  test("a thousand concurrent requests each move their own bytes", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("many"), createDurable);
    const blocks = 1000;
    const source = filled(blocks * blockBytes, 0);
    for (let block = 0; block < blocks; block++) source.fill(block % 251, block * blockBytes, (block + 1) * blockBytes);
    const view = (bytes: Uint8Array, block: number): Uint8Array => bytes.subarray(block * blockBytes, (block + 1) * blockBytes);
    const order = Array.from({ length: blocks }, (_, index) => (index * 379) % blocks);
    await Promise.all(order.map((block) => io.write(file, [view(source, block)], block * blockBytes)));
    const target = filled(blocks * blockBytes, 0xee);
    const counts = await Promise.all(order.map((block) => io.read(file, view(target, block), block * blockBytes)));
    expect(new Set(counts)).toEqual(new Set([blockBytes]));
    expect(Buffer.compare(source, target)).toBe(0);
  });
}

function rangeTests(context: Context): void {
  const { path, filled, readBack } = context;

  test("allocate extends with zeros, punch makes zeros and keeps the size, truncate does both ways", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("ranges"), createDurable);
    await io.write(file, [filled(16_384, 7)], 0);
    await io.allocate(file, 0, 65_536);
    await io.punch(file, 4096, 8192);
    const { count, bytes } = await readBack(file, 131_072, 0);
    expect(count).toBe(65_536);
    expect([bytes[4095], bytes[4096], bytes[12_287], bytes[12_288], bytes[16_384]]).toEqual([7, 0, 0, 7, 0]);
    await io.truncate(file, 4096);
    await io.truncate(file, 12_288);
    const cut = await readBack(file, 65_536, 0);
    expect([cut.count, cut.bytes[4095], cut.bytes[4096], cut.bytes[12_287]]).toEqual([12_288, 7, 0, 0]);
  });

  test("an empty range to allocate or punch is INVALID", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("ranges"), create);
    await expect(io.allocate(file, 0, 0)).rejects.toMatchObject({ code: "INVALID" });
    await expect(io.punch(file, 4096, 0)).rejects.toMatchObject({ code: "INVALID" });
  });

  test("direct requests that are not made of blocks are bugs", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("misaligned"), createDurable);
    const buffer = filled(8192, 1);
    await expect(io.write(file, [buffer], 512)).rejects.toThrow(/assertion failed.*block/);
    await expect(io.write(file, [buffer.subarray(0, 100)], 0)).rejects.toThrow(/assertion failed.*block/);
    await expect(io.read(file, buffer.subarray(1, 4097), 0)).rejects.toThrow(/assertion failed.*block/);
    await expect(io.read(file, new Uint8Array(4096), 0)).rejects.toThrow(/assertion failed.*pool/);
    await expect(io.read(file, buffer, -4096)).rejects.toThrow(/assertion failed.*safe integers/);
  });
}

function lifeCycleTests(context: Context): void {
  const { path, filled } = context;

  test("close waits for requests, and nothing works afterwards", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("closing"), createDurable);
    const writes = Array.from({ length: 600 }, (_, index) => io.write(file, [filled(4096, index % 251)], index * 4096));
    await io.close(file);
    const again = await io.open(path("closing"), openDurable);
    expect(again.sizeBytes).toBe(600 * 4096);
    await Promise.all(writes);
    await expect(io.read(file, filled(4096, 0), 0)).rejects.toMatchObject({ code: "BAD_HANDLE" });
    await expect(io.syncData(file)).rejects.toMatchObject({ code: "BAD_HANDLE" });
    await expect(io.close(file)).rejects.toMatchObject({ code: "BAD_HANDLE" });
  });

  test("shutting down waits for a file that is being closed", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("being-closed"), createDurable);
    const writes = Array.from({ length: 600 }, (_, index) => io.write(file, [filled(4096, 1)], index * 4096));
    const closed = io.close(file);
    await io.shutDown();
    expect((await Promise.allSettled([closed, ...writes])).filter((outcome) => outcome.status === "rejected")).toEqual([]);
  });

  test("shutting down waits for requests and closes what is open", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("left-open"), createDurable);
    const writes = Array.from({ length: 600 }, (_, index) => io.write(file, [filled(4096, index % 251)], index * 4096));
    await io.shutDown();
    await Promise.all(writes); // One that was forgotten would be refused, or never settle.
    await expect(io.write(file, [filled(4096, 0)], 0)).rejects.toMatchObject({ code: "BAD_HANDLE" });
    await expect(io.open(path("later"), create)).rejects.toMatchObject({ code: "BAD_HANDLE" });
  });

  test("an open file outlives its name", async () => {
    const { io } = context.fixture;
    const file = await io.open(path("unlinked"), createDurable);
    await io.unlink(path("unlinked"));
    await io.write(file, [filled(4096, 4)], 0);
    expect((await context.readBack(file, 4096, 0)).count).toBe(4096);
    expect(await io.list(context.fixture.directory)).toEqual([]);
  });
}

function nameTests(context: Context): void {
  const { path } = context;

  test("directories, lists, renames and unlinks", async () => {
    const { io, directory } = context.fixture;
    await io.makeDirectory(path("sub"));
    await io.makeDirectory(path("sub"));
    for (const name of ["sub/b", "sub/a", "c"]) await io.close(await io.open(path(name), create));
    await io.syncDirectory(path("sub"));
    expect(await io.list(directory)).toEqual(["c", "sub"]);
    expect(await io.list(path("sub"))).toEqual(["a", "b"]);
    await io.rename(path("sub/b"), path("d"));
    await io.unlink(path("sub/a"));
    expect(await io.list(directory)).toEqual(["c", "d", "sub"]);
    expect(await io.list(path("sub"))).toEqual([]);
  });

  test("rename replaces the file that is there", async () => {
    const { io } = context.fixture;
    for (const name of ["old", "new"]) {
      const file = await io.open(path(name), create);
      await io.write(file, [new TextEncoder().encode(name)], 0);
      await io.syncData(file);
      await io.close(file);
    }
    await io.rename(path("new"), path("old"));
    const target = new Uint8Array(3);
    await io.read(await io.open(path("old"), openPlain), target, 0);
    expect(new TextDecoder().decode(target)).toBe("new");
    await expect(io.open(path("new"), openPlain)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("free space is a positive number", async () => {
    expect(await context.fixture.io.freeBytes(context.fixture.directory)).toBeGreaterThan(0);
  });
}

function failureTests(context: Context): void {
  const { path, filled } = context;

  test("missing and existing names say so and name the path", async () => {
    const { io } = context.fixture;
    const missing = path("missing");
    const failing = [
      () => io.open(missing, openPlain),
      () => io.unlink(missing),
      () => io.list(missing),
      () => io.rename(missing, path("to")),
      () => io.freeBytes(missing),
      () => io.syncDirectory(missing),
    ];
    for (const request of failing) {
      await expect(request()).rejects.toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining(missing) as string });
    }
    await expect(io.open(path("no/file"), create)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(io.makeDirectory(path("no/directory"))).rejects.toMatchObject({ code: "NOT_FOUND" });
    await io.close(await io.open(path("there"), { ...create, exclusive: true }));
    await expect(io.open(path("there"), { ...create, exclusive: true })).rejects.toMatchObject({ code: "EXISTS" });
    await expect(io.makeDirectory(path("there"))).rejects.toMatchObject({ code: "NOT_DIRECTORY" });
    await expect(io.list(path("there"))).rejects.toMatchObject({ code: "NOT_DIRECTORY" });
  });

  test("a file that is open for reading only refuses changes, naming path and offset", async () => {
    const { io } = context.fixture;
    await io.close(await io.open(path("read-only"), create));
    const file = await io.open(path("read-only"), { ...openPlain, direct: true, readOnly: true });
    const expected = { code: "BAD_HANDLE", message: expect.stringMatching(/read-only at 8192, 4096 bytes/) as string };
    await expect(io.write(file, [filled(4096, 1)], 8192)).rejects.toMatchObject(expected);
    await expect(io.allocate(file, 8192, 4096)).rejects.toMatchObject(expected);
    await expect(io.punch(file, 8192, 4096)).rejects.toMatchObject(expected);
    await expect(io.truncate(file, 0)).rejects.toMatchObject({ code: "INVALID" });
  });
}
