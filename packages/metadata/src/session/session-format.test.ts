import type { InodeNumber, Name } from "@cfs/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Inode } from "../namespace/records.ts";
import {
  decodeClientMessage,
  decodeDirectoryReply,
  decodeServerMessage,
  decodeXattrReply,
  encodeClientMessage,
  encodeDirectoryReply,
  encodeServerMessage,
  encodeXattrReply,
} from "./session-format.ts";
import type { ClientMessage, Request, ServerMessage } from "./session-format.ts";

const ino = fc.integer({ min: 65_536, max: Number.MAX_SAFE_INTEGER }) as unknown as fc.Arbitrary<InodeNumber>;
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const name = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 255,
}) as unknown as fc.Arbitrary<Name>;
const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ kind: fc.constant("inode" as const), ino, withInline: fc.boolean() }),
  fc.record({ kind: fc.constant("dirent" as const), parent: ino, name, withInline: fc.boolean() }),
  fc.record({
    kind: fc.constant("directory" as const),
    parent: ino,
    cookie: count,
    limit: fc.integer({ min: 1, max: 4096 }),
    withInline: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("xattr" as const), ino, name: fc.string() }),
  fc.record({ kind: fc.constant("read" as const), ino, offsetBytes: count, lengthBytes: count }),
  fc.record({ kind: fc.constant("seek" as const), ino, offsetBytes: count, whence: fc.integer({ min: 0, max: 255 }) }),
  fc.record({ kind: fc.constant("promised" as const), ino, offsetBytes: count, lengthBytes: count }),
  fc.record({ kind: fc.constant("statistics" as const) }),
  fc.record({ kind: fc.constant("grant" as const) }),
);
const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
  fc.record({
    type: fc.constant("hello" as const),
    version: fc.integer({ min: 0, max: 65_535 }),
    clientId: fc.constant("0123456789abcdef0123456789abcdef" as never),
    durableSeq: count,
    isReturning: fc.boolean(),
    host: fc.string(),
    mountpoint: fc.string(),
  }),
  fc.record({ type: fc.constant("request" as const), id: count, request }),
  fc.record({ type: fc.constant("goodbye" as const) }),
);
const errno = fc.integer({ min: 0, max: 65_535 });
const serverMessage: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({ type: fc.constant("welcome" as const), version: errno, clusterId: fc.constant("ab"), seq: count, availableBytes: count }),
  fc.record({ type: fc.constant("progress" as const), durableSeq: count, availableBytes: count }),
  fc.record({ type: fc.constant("rejected" as const), seq: count, errno, ino: count, message: fc.string() }),
  fc.record({ type: fc.constant("reply" as const), id: count, errno, body: fc.uint8Array() }),
);

test("messages of the client come back as they were", () => {
  fc.assert(
    fc.property(clientMessage, (message) => {
      expect(decodeClientMessage(encodeClientMessage(message))).toEqual(message);
    }),
  );
});

test("messages of the server come back as they were", () => {
  fc.assert(
    fc.property(serverMessage, (message) => {
      const decoded = decodeServerMessage(encodeServerMessage(message));
      if (decoded.type === "reply") expect({ ...decoded, body: Uint8Array.from(decoded.body) }).toEqual(message);
      else expect(decoded).toEqual(message);
    }),
  );
});

test("random bytes are refused with CORRUPT and nothing else", () => {
  const refuse = (decode: () => unknown): void => {
    try {
      decode();
    } catch (reason) {
      expect(reason).toMatchObject({ name: "CfsError" });
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      refuse(() => decodeClientMessage(bytes));
      refuse(() => decodeServerMessage(bytes));
      refuse(() => decodeDirectoryReply(bytes));
    }),
    { numRuns: 5000 },
  );
});

test("a directory page keeps its entries, with and without inline data", () => {
  const inode: Inode = {
    ino: 131_072 as InodeNumber,
    generation: 1,
    kind: "file",
    mode: 0o644,
    uid: 1,
    gid: 2,
    nlink: 1,
    rdev: 0,
    sizeBytes: 3,
    allocatedBytes: 3,
    isAllocatedStale: false,
    atimeSec: 1,
    atimeNsec: 2,
    mtimeSec: -3,
    mtimeNsec: 4,
    ctimeSec: 5,
    ctimeNsec: 6,
    birthSec: 7,
    birthNsec: 8,
    parent: 0,
    entryCount: 0,
    target: null,
    inlineBytes: 3,
    inline: Uint8Array.of(1, 2, 3),
    hasExtents: false,
    xattrNames: ["user.a"],
  };
  const entry = { dirent: { name: "\xff\x01a" as Name, cookie: 77, ino: inode.ino, kind: "file" as const }, inode };
  const [full] = decodeDirectoryReply(encodeDirectoryReply([entry], true, true)).entries;
  expect(full?.dirent).toEqual(entry.dirent);
  expect(Uint8Array.from(full?.inode.inline ?? [])).toEqual(inode.inline);
  const [bare] = decodeDirectoryReply(encodeDirectoryReply([entry], false, false)).entries;
  expect(bare?.inode).toEqual({ ...inode, inline: null });
});

test("an absent attribute is told from an empty one", () => {
  expect(decodeXattrReply(encodeXattrReply(null))).toBeNull();
  expect(decodeXattrReply(encodeXattrReply(new Uint8Array(0)))?.length).toBe(0);
});
