/** Segments by name: what a publish, a write into a segment, a move and a drop accept, and when two sources are one. */
import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, SegmentId } from "@cfs/core";
import { encodeCommand } from "../command-format.ts";
import type { NewSegment, Write } from "../commands.ts";
import { locate } from "../queries.ts";
import type { ExtentSource } from "../records.ts";
import { listCandidates } from "../state-scans.ts";
import { Shell } from "../testing/shell.ts";
import { root } from "../testing/world.ts";
import { isSourceAt } from "./extents.ts";

const id = 1 as SegmentId;
const chunk = { storedOffsetBytes: 0, storedBytes: 50, rawBytes: 100, codec: 1 };
const places = [0, 1, 2].map((drive) => ({ drive, container: 7, offsetBytes: 8192 }));
const segment: NewSegment = {
  id,
  k: 2,
  m: 1,
  fragmentBytes: 4096,
  segmentBytes: 100,
  places,
  chunks: [chunk, { ...chunk, storedOffsetBytes: 50 }],
};
const record: ExtentSource = { kind: "journal", fileId: 1, recordOffsetBytes: 4096, payloadOffsetBytes: 0 };

function inChunk(chunkIndex: number, rawOffsetBytes = 0): ExtentSource & { kind: "chunk" } {
  return { kind: "chunk", segment: id, chunkIndex, rawOffsetBytes };
}

/** A file whose first 100 bytes are in the journal. */
function written(): { shell: Shell; ino: InodeNumber } {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  shell.world.must(writeOf(shell, ino, { kind: "payload" }), { fileId: 1, recordOffsetBytes: 4096 });
  return { shell, ino };
}

function writeOf(shell: Shell, ino: InodeNumber, source: Write["source"]): Write {
  return {
    type: "write",
    ino,
    offsetBytes: 0,
    lengthBytes: 100,
    source,
    setTimes: true,
    killSetId: false,
    spill: false,
    caller: root,
    time: shell.world.time(),
  };
}

test.each<[ExtentSource, number, ExtentSource, boolean]>([
  [record, 0, record, true],
  [record, 10, { ...record, payloadOffsetBytes: 10 }, true],
  [record, 10, { ...record, payloadOffsetBytes: 11 }, false],
  [record, 0, { ...record, recordOffsetBytes: 8192 }, false],
  [record, 0, { ...record, fileId: 2 }, false],
  [record, 0, inChunk(0), false],
  [inChunk(0), 5, inChunk(0, 5), true],
  [inChunk(0), 5, inChunk(1, 5), false],
  [inChunk(0), 5, { ...inChunk(0, 5), segment: 2 as SegmentId }, false],
  [{ kind: "reserved" }, 5, { kind: "reserved" }, true],
  [{ kind: "reserved" }, 0, record, false],
])("%j goes on after %i bytes with %j: %j", (a, delta, b, isSame) => {
  expect(isSourceAt(a, delta, b)).toBe(isSame);
});

describe("a segment that is refused", () => {
  test.each<[string, Partial<NewSegment>, number]>([
    ["as it should be", {}, 0],
    ["fewer places than fragments", { places: places.slice(1) }, 22],
    ["a drive that does not exist", { places: places.map((place) => ({ ...place, drive: place.drive + 1 })) }, 22],
    ["no data fragments", { k: 0, m: 3 }, 22],
    ["more bytes than fragments hold", { segmentBytes: 8193 }, 22],
    ["a chunk past the end", { segmentBytes: 99 }, 22],
    ["a chunk too few", { chunks: [] }, 22],
  ])("%s", (_what, change, errno) => {
    const { shell, ino } = written();
    const swap = { ino, offsetBytes: 0, lengthBytes: 100, from: record, to: inChunk(1) };
    const before = shell.world.server.usage().segments;
    expect(shell.run({ type: "publish", segment: { ...segment, ...change }, swaps: [swap] })).toBe(errno);
    expect(shell.world.server.usage().segments).toBe(before + (errno === 0 ? 1 : 0));
  });

  test("a number that is in use; a swap past its chunk, of nothing, or of reserved bytes", () => {
    const { shell, ino } = written();
    const swap = { ino, offsetBytes: 0, lengthBytes: 100, from: record, to: inChunk(0) };
    for (const bad of [{ to: inChunk(0, 1) }, { lengthBytes: 0 }, { from: { kind: "reserved" } as const }, { to: inChunk(2) }]) {
      expect(shell.run({ type: "publish", segment, swaps: [swap, { ...swap, ...bad }] })).toBe(22);
    }
    expect(shell.world.server.segment(id)).toBeNull();
    expect(shell.run({ type: "publish", segment, swaps: [swap] })).toBe(0);
    expect(shell.run({ type: "publish", segment, swaps: [swap] })).toBe(17);
  });
});

test("a fragment between units of 4096 cannot even be written down", () => {
  const between = { ...segment, places: places.map((place) => ({ ...place, offsetBytes: 100 })) };
  expect(() => encodeCommand({ type: "publish", segment: between, swaps: [] })).toThrow("multiple of 4096");
});

test("only what still comes from the packed bytes is swapped", async () => {
  const { shell, ino } = written();
  shell.world.must(
    { ...writeOf(shell, ino, { kind: "payload" }), offsetBytes: 40, lengthBytes: 20 },
    { fileId: 1, recordOffsetBytes: 9000 },
  );
  shell.world.must({ type: "publish", segment, swaps: [{ ino, offsetBytes: 0, lengthBytes: 100, from: record, to: inChunk(0) }] });
  const pieces = locate(shell.world.server, shell.world.inode(ino), 0, 100);
  expect(pieces.map((piece) => [piece.offsetBytes, piece.lengthBytes, piece.source.kind])).toEqual([
    [0, 40, "chunk"],
    [40, 20, "journal"],
    [60, 40, "chunk"],
  ]);
  expect(shell.world.server.segment(id)?.chunks.map((known) => known.refs)).toEqual([2, 0]);
  await shell.world.check();
});

test("writes into a segment: all of them, but for files that are gone", async () => {
  const { shell, ino } = written();
  const gone = shell.make("g", "file", 0o644);
  shell.unlink("g");
  shell.run({ type: "reap", ino: gone });
  const writes = [gone, ino].map((target, index) =>
    writeOf(shell, target, { kind: "extents", extents: [{ lengthBytes: 100, source: inChunk(index) }] }),
  );
  expect(shell.run({ type: "writeSegment", segment, writes: writes.map((write) => ({ ...write, lengthBytes: 99 })) })).toBe(22);
  expect(
    shell.run({
      type: "writeSegment",
      segment,
      writes: [writeOf(shell, rootInode, { kind: "extents", extents: [{ lengthBytes: 100, source: inChunk(0) }] })],
    }),
  ).toBe(21);
  expect(shell.run({ type: "writeSegment", segment, writes })).toBe(0);
  expect(shell.world.server.segment(id)?.chunks.map((known) => known.refs)).toEqual([0, 1]);
  await shell.world.check();
});

test("a fragment moves only from where it is", () => {
  const { shell } = written();
  shell.world.must({ type: "publish", segment, swaps: [] });
  const from = { drive: 1, container: 7, offsetBytes: 8192 };
  const to = { drive: 1, container: 8, offsetBytes: 4096 };
  // Drive 2 has another fragment of the segment.
  expect(shell.run({ type: "relocate", segment: id, fragment: 1, from, to: { ...to, drive: 2 } })).toBe(16);
  expect(shell.run({ type: "relocate", segment: id, fragment: 1, from: { ...from, container: 8 }, to })).toBe(116);
  expect(shell.run({ type: "relocate", segment: id, fragment: 1, from, to: { ...to, drive: 3 } })).toBe(22);
  expect(shell.run({ type: "relocate", segment: id, fragment: 3, from, to })).toBe(22);
  expect(shell.run({ type: "relocate", segment: 9 as SegmentId, fragment: 1, from, to })).toBe(2);
  expect(shell.run({ type: "relocate", segment: id, fragment: 1, from, to })).toBe(0);
  expect(shell.world.server.segment(id)?.places[1]).toEqual(to);
});

test("a segment without references is a candidate, and goes once it has none", async () => {
  const { shell, ino } = written();
  shell.world.must({ type: "publish", segment, swaps: [{ ino, offsetBytes: 0, lengthBytes: 100, from: record, to: inChunk(0) }] });
  // Half of its bytes live: not thin yet.
  expect(await listCandidates(shell.world.server, 0, 10)).toEqual([]);
  expect(shell.run({ type: "dropSegment", segment: id })).toBe(16);
  shell.set(ino, { sizeBytes: 0 });
  expect(await listCandidates(shell.world.server, 0, 10)).toEqual([id]);
  expect(shell.run({ type: "dropSegment", segment: id })).toBe(0);
  expect(shell.run({ type: "dropSegment", segment: id })).toBe(2);
  expect(await listCandidates(shell.world.server, 0, 10)).toEqual([]);
  expect(shell.world.server.usage()).toMatchObject({ segments: 0, segmentStoredBytes: 0, segmentLiveBytes: 0, fragmentBytes: 0 });
  // Its number is never given out again.
  expect(shell.world.server.superblock()?.nextSegment).toBe(2);
  await shell.world.check();
});
