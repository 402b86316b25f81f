/** Round trips of every binary form, and decoders on damaged and random bytes: a record, or CORRUPT, and nothing else. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, CfsError } from "@cfs/core";
import { decodeCommand, encodeCommand } from "./command-format.ts";
import * as content from "./content-format.ts";
import * as record from "./record-format.ts";
import * as system from "./system-format.ts";
import * as arbitrary from "./testing/arbitraries.ts";
import { runs } from "./testing/runs.ts";

interface Form {
  readonly values: fc.Arbitrary<unknown>;
  readonly encode: (value: never) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

const counts = fc.maxSafeNat();
const forms: Readonly<Record<string, Form>> = {
  inode: { values: arbitrary.inodes, encode: record.encodeInode, decode: record.decodeInode },
  dirent: {
    values: fc.record({ ino: arbitrary.inodeNumbers, kind: fc.constantFrom("file", "socket") }),
    encode: record.encodeDirent,
    decode: record.decodeDirent,
  },
  orphan: { values: arbitrary.clientIds, encode: record.encodeOrphan, decode: record.decodeOrphan },
  region: { values: arbitrary.regions, encode: content.encodeRegion, decode: content.decodeRegion },
  runs: { values: arbitrary.regionRuns, encode: content.encodeRuns, decode: content.decodeRuns },
  segment: { values: arbitrary.segments, encode: content.encodeSegment, decode: content.decodeSegment },
  journalFile: {
    values: fc.record({ fileId: counts, liveExtents: counts, liveBytes: counts }),
    encode: content.encodeJournalFile,
    decode: content.decodeJournalFile,
  },
  session: { values: arbitrary.sessions, encode: system.encodeSession, decode: system.decodeSession },
  superblock: { values: arbitrary.superblocks, encode: system.encodeSuperblock, decode: system.decodeSuperblock },
  usage: {
    values: fc.record({
      inodes: counts,
      allocatedBytes: counts,
      segmentLiveBytes: counts,
      segmentStoredBytes: counts,
      fragmentBytes: counts,
      segments: counts,
      journalLiveBytes: counts,
      reservedBytes: counts,
    }),
    encode: system.encodeUsage,
    decode: system.decodeUsage,
  },
  command: { values: arbitrary.commands, encode: encodeCommand, decode: decodeCommand },
};

/** Views of Buffers and plain arrays compare as the same bytes. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      part instanceof Uint8Array
        ? `hex:${Buffer.from(part).toString("hex")}`
        : isBufferJson(part)
          ? `hex:${Buffer.from(part.data).toString("hex")}`
          : part,
    ),
  );
}

function isBufferJson(part: unknown): part is { readonly data: readonly number[] } {
  return typeof part === "object" && part !== null && "type" in part && part.type === "Buffer" && "data" in part;
}

function decodesOrIsCorrupt(form: Form, bytes: Uint8Array): void {
  let value: unknown;
  try {
    value = form.decode(bytes);
  } catch (reason) {
    expect(reason).toBeInstanceOf(CfsError);
    expect((reason as CfsError).code).toBe("CORRUPT");
    return;
  }
  // What was understood can be said again.
  expect(plain(form.decode(form.encode(value as never)))).toEqual(plain(value));
}

describe.each(Object.entries(forms))("the binary form of a %s", (_name, form) => {
  test("gives back what went in", () => {
    fc.assert(
      fc.property(form.values, (value) => {
        expect(plain(form.decode(form.encode(value as never)))).toEqual(plain(value));
      }),
      { numRuns: runs(200) },
    );
  });

  test("refuses every cut and every addition", () => {
    fc.assert(
      fc.property(form.values, fc.nat(), (value, draw) => {
        const bytes = form.encode(value as never);
        expect(() => form.decode(bytes.subarray(0, draw % bytes.length))).toThrow("CORRUPT");
        expect(() => form.decode(Buffer.concat([bytes, Buffer.from([draw & 255])]))).toThrow("CORRUPT");
      }),
      { numRuns: runs(100) },
    );
  });

  // oxlint-disable-next-line vitest/expect-expect -- decodesOrIsCorrupt expects
  test("survives damage and noise", () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(form.values, damage, (value, places) => {
        const bytes = Uint8Array.from(form.encode(value as never));
        for (const [at, byte] of places) bytes[at % bytes.length] = byte;
        decodesOrIsCorrupt(form, bytes);
      }),
      { numRuns: runs(300) },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(64), (bytes, first) => decodesOrIsCorrupt(form, Uint8Array.of(first, ...bytes))),
      { numRuns: runs(500) },
    );
  });
});

test("a count of 2^53 costs nothing but an error", () => {
  const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
  for (const decode of [content.decodeRegion, content.decodeRuns]) expect(() => decode(Uint8Array.of(1, ...huge, 1, 1))).toThrow("CORRUPT");
});

test("an inode travels with or without its inline bytes", () => {
  fc.assert(
    fc.property(arbitrary.inodes, fc.boolean(), (inode, withInline) => {
      const writer = new ByteWriter();
      record.writeInode(writer, inode, withInline);
      const read = record.readInode(new ByteReader(writer.take(), "test"));
      expect(plain(read)).toEqual(plain({ ...inode, inline: withInline ? inode.inline : null }));
    }),
  );
});

test("the layouts on disk stay as they are", () => {
  const inode = record.encodeInode({
    ino: 65_536 as never,
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
    mtimeSec: 3,
    mtimeNsec: 4,
    ctimeSec: 5,
    ctimeNsec: 6,
    birthSec: -1,
    birthNsec: 8,
    parent: 0,
    entryCount: 0,
    target: null,
    inlineBytes: 3,
    inline: Uint8Array.of(1, 2, 3),
    hasExtents: false,
    xattrNames: ["user.a"],
  });
  expect(Buffer.from(inode).toString("hex")).toMatchInlineSnapshot(
    `"01000280800401a401010201030303010000000000000002000000030000000000000004000000050000000000000006000000ffffffffffffffff080000000106757365722e61010203"`,
  );
  const reap = encodeCommand({
    type: "unlink",
    parent: 65_536 as never,
    name: "a" as never,
    directory: true,
    caller: { uid: 1, gid: 2, groups: [3] },
    time: { sec: 4, nsec: 5 },
  });
  expect(Buffer.from(reap).toString("hex")).toMatchInlineSnapshot(`"0301808004016101020203040000000000000005000000"`);
  const region = content.encodeRegion({
    extents: [
      { offsetBytes: 1, lengthBytes: 2, source: { kind: "journal", fileId: 3, recordOffsetBytes: 4096, payloadOffsetBytes: 5 } },
      { offsetBytes: 3, lengthBytes: 300, source: { kind: "chunk", segment: 7 as never, chunkIndex: 8, rawOffsetBytes: 9 } },
      { offsetBytes: 400, lengthBytes: 1, source: { kind: "reserved" } },
    ],
  });
  expect(Buffer.from(region).toString("hex")).toMatchInlineSnapshot(`"01030102000380200500ac0201070809610102"`);
});
