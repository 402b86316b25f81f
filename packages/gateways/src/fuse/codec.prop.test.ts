/** The codec against the kernel's side written apart from it (testing/kernel.ts): round trips, and bytes that no kernel would send. */
import { CfsError, type InodeNumber, type Name, silentLogger, systemClock } from "@cfs/core";
import type { Attributes, Entry, FileKind, Vfs } from "@cfs/vfs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DirectoryPage, PagePool } from "./direntries.ts";
import { encodeAttributes, encodeEntry, encodeStatx } from "./encode.ts";
import { decodeSetattr } from "./operations/attributes.ts";
import { opcode, setattrValid, typeBitsByKind } from "./protocol.ts";
import { Request } from "./request.ts";
import { FuseSession } from "./session.ts";
import { body, decodeAttributes, decodeDirectory, decodeEntry, encodeRequest, initBody, MemoryKernel } from "./testing/kernel.ts";

const inode = fc.integer({ min: 65_537, max: Number.MAX_SAFE_INTEGER }).map((value) => value as InodeNumber);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const safe = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const name = fc
  .uint8Array({ minLength: 1, maxLength: 255 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 47 ? 65 : byte))).toString("latin1") as Name);
const time = fc.record({ sec: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nsec: fc.integer({ min: 0, max: 999_999_999 }) });
const kind = fc.constantFrom(...(Object.keys(typeBitsByKind) as FileKind[]));
const attributes: fc.Arbitrary<Attributes> = fc.record({
  ino: inode,
  generation: safe,
  kind,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  sizeBytes: safe,
  allocatedBytes: fc.integer({ min: 0, max: 2 ** 50 }),
  atime: time,
  mtime: time,
  ctime: time,
});
const entry: fc.Arbitrary<Entry> = fc.record({
  attributes,
  validity: fc.record({ attributesMs: fc.integer({ min: 0, max: 10 ** 7 }), entryMs: fc.integer({ min: 0, max: 10 ** 7 }) }),
});

function requestOf(message: Uint8Array): { request: Request; isWhole: boolean } {
  const memory = new ArrayBuffer(((message.length + 7) & ~7) + 4096);
  // What follows the request is not zero, as in a slot that was used before.
  new Uint8Array(memory).fill(0x41);
  new Uint8Array(memory).set(message, 16);
  const request = new Request(memory);
  return { request, isWhole: request.moveTo(16, message.length) };
}

/** The number read, or the code of the refusal. */
function attempt(read: () => number): bigint | string {
  try {
    return BigInt(read());
  } catch (reason) {
    return CfsError.from(reason).code;
  }
}

function written(bytes: number, write: (words: Uint32Array) => void): Buffer {
  const words = new Uint32Array(bytes / 4).fill(0xdead_beef);
  write(words);
  return Buffer.from(words.buffer);
}

describe("requests", () => {
  test("headers and names come back", () => {
    fc.assert(
      fc.property(u32, safe, inode, u32, name, name, fc.boolean(), (uid, unique, nodeid, pid, first, second, isExtended) => {
        const extension = isExtended ? Buffer.alloc(24, 0xff) : new Uint8Array();
        const message = encodeRequest({
          opcode: 45,
          unique,
          nodeid,
          uid,
          gid: 5,
          pid,
          body: body([8, 77_777], [8, 0], first, second),
          extension,
        });
        const { request, isWhole } = requestOf(message);
        expect(isWhole).toBe(true);
        expect([request.opcode, request.uniqueHigh * 2 ** 32 + request.uniqueLow, request.ino]).toEqual([45, unique, nodeid]);
        expect([request.uid, request.gid, request.pid, request.inode(0)]).toEqual([uid, 5, pid, 77_777]);
        expect(request.bodyBytes).toBe(18 + first.length + second.length);
        expect(request.name(16)).toBe(first);
        expect(request.name(request.next)).toBe(second);
        expect(() => request.name(request.next)).toThrow(CfsError);
      }),
    );
  });

  test("64-bit fields are exact or refused", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (value) => {
        const { request } = requestOf(encodeRequest({ opcode: 1, unique: 1, body: body([8, value]) }));
        const largest = BigInt(Number.MAX_SAFE_INTEGER);
        const signed = BigInt.asIntN(64, value);
        expect(attempt(() => request.u64(0))).toBe(value <= largest ? value : "INVALID");
        expect(attempt(() => request.offset64(0))).toBe(value <= largest ? value : "FILE_TOO_LARGE");
        expect(attempt(() => request.i64(0))).toBe(signed >= -largest && signed <= largest ? signed : "INVALID");
      }),
    );
  });

  test("a value after a name is exactly its bytes, whether or not it ends in NUL", () => {
    fc.assert(
      fc.property(name, fc.uint8Array({ maxLength: 100 }), (attribute, value) => {
        const { request } = requestOf(encodeRequest({ opcode: 21, unique: 1, body: body(attribute, value) }));
        expect(request.text(0)).toBe(attribute);
        expect(Buffer.from(request.copy(request.next, value.length))).toEqual(Buffer.from(value));
        expect(() => request.copy(request.next, value.length + 1)).toThrow(/CORRUPT/);
      }),
    );
  });

  test("SETATTR names exactly the changed fields", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xfff }), time, safe, u32, (valid, at, sizeBytes, id) => {
        const fields = body([4, valid], [4, 0], [8, 0], [8, sizeBytes], [8, 0], [8, at.sec], [8, at.sec], [8, at.sec]);
        const rest = body([4, at.nsec], [4, at.nsec], [4, at.nsec], [4, 0o104711], [4, 0], [4, id], [4, id], [4, 0]);
        const { request } = requestOf(encodeRequest({ opcode: 4, unique: 1, body: Buffer.concat([fields, rest]) }));
        const has = (bit: number): boolean => (valid & bit) !== 0;
        const pick = (own: number, now: number): typeof at | "now" | undefined => (has(now) ? "now" : has(own) ? at : undefined);
        const expected = {
          mode: has(setattrValid.mode) ? 0o4711 : undefined,
          uid: has(setattrValid.uid) ? id : undefined,
          gid: has(setattrValid.gid) ? id : undefined,
          sizeBytes: has(setattrValid.size) ? sizeBytes : undefined,
          atime: pick(setattrValid.atime, setattrValid.atimeNow),
          mtime: pick(setattrValid.mtime, setattrValid.mtimeNow),
          ctime: has(setattrValid.ctime) ? at : undefined,
          killSetId: has(setattrValid.killSetId) ? true : undefined,
        };
        expect({ ...decodeSetattr(request) }).toEqual(
          Object.fromEntries(Object.entries(expected).filter(([, value]) => value !== undefined)),
        );
      }),
    );
  });
});

describe("replies", () => {
  test("attributes and entries come back", () => {
    fc.assert(
      fc.property(entry, (value) => {
        const { attributes: told, validity } = value;
        const decoded = decodeEntry(written(128, (words) => encodeEntry(words, 0, value, null)));
        expect(decoded).toEqual({
          nodeid: BigInt(told.ino),
          generation: BigInt(told.generation),
          entryValid: [BigInt(Math.floor(validity.entryMs / 1000)), (validity.entryMs % 1000) * 1e6],
          attributesValid: [BigInt(Math.floor(validity.attributesMs / 1000)), (validity.attributesMs % 1000) * 1e6],
          attributes: {
            ino: BigInt(told.ino),
            size: BigInt(told.sizeBytes),
            blocks: BigInt(Math.ceil(told.allocatedBytes / 512)),
            atime: [BigInt(told.atime.sec), told.atime.nsec],
            mtime: [BigInt(told.mtime.sec), told.mtime.nsec],
            ctime: [BigInt(told.ctime.sec), told.ctime.nsec],
            mode: typeBitsByKind[told.kind] | told.mode,
            nlink: told.nlink,
            uid: told.uid,
            gid: told.gid,
            rdev: told.rdev,
          },
        });
        const presented = decodeAttributes(
          written(88, (words) => encodeAttributes(words, 0, told, { uid: 1, gid: 2 })),
          0,
        );
        expect([presented.uid, presented.gid]).toEqual([1, 2]);
      }),
    );
  });

  test("statx agrees with the plain attributes", () => {
    fc.assert(
      fc.property(entry, (value) => {
        const bytes = written(288, (words) => encodeStatx(words, 0, value, null));
        const told = value.attributes;
        expect(bytes.readUInt16LE(60)).toBe(typeBitsByKind[told.kind] | told.mode);
        expect([bytes.readBigUInt64LE(64), bytes.readBigUInt64LE(72)]).toEqual([BigInt(told.ino), BigInt(told.sizeBytes)]);
        expect([bytes.readBigInt64LE(96), bytes.readBigInt64LE(128), bytes.readBigInt64LE(144)]).toEqual(
          [told.atime.sec, told.ctime.sec, told.mtime.sec].map(BigInt),
        );
        // makedev(3) of the two halves gives the number back.
        const [major, minor] = [bytes.readUInt32LE(160), bytes.readUInt32LE(164)];
        expect(((major << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)) >>> 0).toBe(told.rdev);
        expect(bytes.includes(Buffer.from("efbeadde", "hex"))).toBe(false);
      }),
    );
  });

  test("a page holds what was taken, in order and whole", () => {
    const one = fc.record({ name, kind, cookie: safe, entry: fc.option(entry) });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 30 }), fc.integer({ min: 0, max: 5000 }), fc.boolean(), (entries, limit, withAttributes) => {
        const pool = new PagePool();
        const page = new DirectoryPage(pool, limit, withAttributes, null);
        const taken = entries.filter((value) => page.take({ ...value, ino: (value.entry?.attributes.ino ?? 65_536) as InodeNumber }));
        expect(page.bytes.length).toBeLessThanOrEqual(limit);
        const decoded = decodeDirectory(Buffer.from(page.bytes), withAttributes);
        expect(decoded.map((value) => [value.name, Number(value.cookie), value.type])).toEqual(
          taken.map((value) => [value.name, value.cookie, typeBitsByKind[value.kind] >>> 12]),
        );
        expect(page.inodes).toEqual(
          withAttributes ? taken.flatMap((value) => (value.entry === null ? [] : [value.entry.attributes.ino])) : [],
        );
        page.release();
        page.release();
        expect(page.take({ name: "late" as Name, ino: 65_536 as InodeNumber, kind: "file", cookie: 1, entry: null })).toBe(false);
      }),
    );
  });
});

/** A Vfs that agrees to everything, so that only the session can fail. */
function agreeableVfs(): Vfs {
  const now = { sec: 1, nsec: 1 };
  const told: Attributes = {
    ino: 65_536 as InodeNumber,
    generation: 1,
    kind: "file",
    mode: 0o644,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    sizeBytes: 1,
    allocatedBytes: 1,
    atime: now,
    mtime: now,
    ctime: now,
  };
  const anEntry: Entry = { attributes: told, validity: { attributesMs: 1, entryMs: 1 } };
  const file = { handle: 1, keepCache: false, direct: false };
  const results: Record<string, unknown> = {
    open: file,
    openDirectory: file,
    create: { entry: anEntry, file },
    createUnnamed: { entry: anEntry, file },
    read: { lengthBytes: 0, parts: [], release: () => undefined },
    ...Object.fromEntries(["write", "seek", "copyRange"].map((method) => [method, 1])),
    ...Object.fromEntries(["readSymlink", "getXattr"].map((method) => [method, new Uint8Array(3)])),
    listXattr: ["user.a"],
    statistics: { blockSizeBytes: 1, blocks: 1, blocksFree: 1, blocksAvailable: 1, files: 1, filesFree: 1, nameBytesMax: 1 },
    ...Object.fromEntries(["lookup", "getAttributes", "setAttributes", "makeNode", "link"].map((method) => [method, anEntry])),
  };
  return new Proxy({ onInvalidate: null } as Vfs, {
    get: (target, key) => (key in target ? Reflect.get(target, key) : () => results[String(key)]) as unknown,
  });
}

describe("bytes that no kernel sends", () => {
  const unanswered = new Set<number>([opcode.forget, opcode.batchForget, opcode.interrupt, opcode.notifyReply]);
  const fuzzed = fc.record({
    opcode: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 0, max: 60 }) }, { weight: 1, arbitrary: u32 }),
    nodeid: fc.oneof(fc.constant(1n), inode.map(BigInt), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.array(fc.constantFrom(0, 1, 65, 255), { maxLength: 120 }).map((bytes) => Uint8Array.from(bytes)),
    ),
    extensionWords: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff }) }),
    lengthError: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -60, max: 60 }) }),
    cut: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 60 }) }),
  });

  test("each is answered once or not at all, as its opcode says; nothing is thrown", async () => {
    const kernel = new MemoryKernel();
    const defects: string[] = [];
    const logger = {
      ...silentLogger,
      error: (message: string, fields?: unknown) => void defects.push(`${message} ${JSON.stringify(fields)}`),
    };
    const session = new FuseSession({ vfs: agreeableVfs(), device: kernel, clock: systemClock(), logger });
    session.start();
    kernel.send({ opcode: opcode.init, unique: 1, body: initBody });
    kernel.replies.length = 0;
    let unique = 2;
    await fc.assert(
      fc.asyncProperty(fc.array(fuzzed, { minLength: 1, maxLength: 8 }), async (requests) => {
        const first = unique;
        const messages = requests.map((request) => {
          const message = encodeRequest({ opcode: request.opcode, unique: unique++, nodeid: request.nodeid, body: request.body });
          message.writeUInt32LE(Math.max(0, message.length + request.lengthError), 0);
          message.writeUInt16LE(request.extensionWords, 36);
          return message.subarray(0, Math.max(0, message.length - request.cut));
        });
        kernel.deliver(messages);
        // OPEN with FUSE_OPEN_KILL_SUIDGID takes two calls and so a promise.
        await new Promise((resolve) => setImmediate(resolve));
        const answered = kernel.replies.splice(0).map((reply) => reply.unique);
        answered.sort((left, right) => left - right);
        const expected = requests.flatMap((request, index) =>
          unanswered.has(request.opcode) || (messages[index] as Uint8Array).length < 40 ? [] : [first + index],
        );
        expect(answered).toEqual(expected);
      }),
      { numRuns: 20_000 },
    );
    expect(defects).toEqual([]);
    session.close();
  });
});
