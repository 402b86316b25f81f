/** Random records and commands for the tests of binary forms. Every field takes its whole range. */
import { usageNames } from "../mend.ts";
import type { MendItem } from "../mend.ts";
import fc from "fast-check";
import type { Arbitrary } from "fast-check";
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import type { Caller, Command, Moment, NewSegment, Write } from "../commands.ts";
import { isName } from "../names.ts";
import { fileKinds, regionBytes } from "../records.ts";
import type {
  ChunkRecord,
  DriveRecord,
  Extent,
  ExtentSource,
  FragmentPlace,
  Inode,
  Region,
  RegionRuns,
  Segment,
  Session,
  Superblock,
} from "../records.ts";

const safe: Arbitrary<number> = fc.maxSafeNat();
const id32: Arbitrary<number> = fc.nat(0xffff_ffff);
const flag: Arbitrary<boolean> = fc.boolean();
const bytes: Arbitrary<Uint8Array> = fc.uint8Array({ maxLength: 40 });
const mode: Arbitrary<number> = fc.nat(0o7777);
const byteText = (max: number): Arbitrary<string> =>
  fc.array(fc.nat(255), { minLength: 1, maxLength: max }).map((codes) => String.fromCharCode(...codes));

export const inodeNumbers: Arbitrary<InodeNumber> = fc.maxSafeNat().map((ino) => Math.max(1, ino) as InodeNumber);
const segmentIds = inodeNumbers as unknown as Arbitrary<SegmentId>;
export const names: Arbitrary<Name> = byteText(255).filter(isName);
export const clientIds: Arbitrary<ClientId> = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((id) => Buffer.from(id).toString("hex") as ClientId);
const xattrName: Arbitrary<string> = fc.oneof(byteText(20), fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }));
const sec: Arbitrary<number> = fc.maxSafeInteger();
const nsec: Arbitrary<number> = fc.nat(999_999_999);

/** A decoded inode has at most one of inline data and extents, and only what its kind has. */
export const inodes: Arbitrary<Inode> = fc
  .record({
    ino: inodeNumbers,
    generation: safe,
    kind: fc.constantFrom(...fileKinds),
    mode,
    uid: id32,
    gid: id32,
    nlink: safe,
    rdev: safe,
    sizeBytes: safe,
    allocatedBytes: safe,
    isAllocatedStale: fc.constant(false),
    atimeSec: sec,
    atimeNsec: nsec,
    mtimeSec: sec,
    mtimeNsec: nsec,
    ctimeSec: sec,
    ctimeNsec: nsec,
    birthSec: sec,
    birthNsec: nsec,
    parent: inodeNumbers,
    entryCount: safe,
    target: bytes,
    inlineBytes: fc.constant(0),
    inline: fc.option(fc.uint8Array({ minLength: 1, maxLength: 100 })),
    hasExtents: flag,
    xattrNames: fc.uniqueArray(xattrName, { maxLength: 5 }).map((list) => list.toSorted((a, b) => (a < b ? -1 : 1))),
  })
  .map((inode) => {
    const inline = inode.kind === "file" && !inode.hasExtents ? inode.inline : null;
    const isDevice = inode.kind === "character" || inode.kind === "block";
    return {
      ...inode,
      inline,
      inlineBytes: inline === null ? 0 : inline.length,
      rdev: isDevice ? inode.rdev : 0,
      target: inode.kind === "symlink" ? inode.target : null,
      parent: inode.kind === "directory" ? inode.parent : 0,
      entryCount: inode.kind === "directory" ? inode.entryCount : 0,
    };
  });

export const sources: Arbitrary<ExtentSource> = fc.oneof(
  fc.record({ kind: fc.constant("journal" as const), fileId: id32, recordOffsetBytes: safe, payloadOffsetBytes: safe }),
  fc.record({ kind: fc.constant("chunk" as const), segment: segmentIds, chunkIndex: safe, rawOffsetBytes: safe }),
  fc.record({ kind: fc.constant("reserved" as const) }),
);

export const regions: Arbitrary<Region> = fc
  .array(fc.record({ gap: fc.nat(5000), lengthBytes: fc.integer({ min: 1, max: 5000 }), source: sources }), { maxLength: 30 })
  .map((list) => {
    const extents: Extent[] = [];
    let end = 0;
    for (const { gap, lengthBytes, source } of list) {
      extents.push({ offsetBytes: end + gap, lengthBytes, source });
      end += gap + lengthBytes;
    }
    return { extents: extents.filter((extent) => extent.offsetBytes + extent.lengthBytes <= regionBytes) };
  });

export const regionRuns: Arbitrary<RegionRuns> = fc
  .array(fc.record({ gap: fc.integer({ min: 1, max: 1 << 20 }), length: fc.integer({ min: 1, max: 1 << 20 }) }), { maxLength: 20 })
  .map((list) => {
    const runs: { begin: number; end: number }[] = [];
    let end = 0;
    for (const { gap, length } of list) {
      runs.push({ begin: end + gap, end: end + gap + length });
      end += gap + length;
    }
    return { runs };
  });

const places: Arbitrary<FragmentPlace> = fc.record({
  drive: safe,
  container: safe,
  offsetBytes: fc.nat(0x7fff_ffff).map((unit) => unit * 4096),
});
const chunkShape = { storedOffsetBytes: safe, storedBytes: safe, rawBytes: safe, codec: fc.nat(255) };
const chunks: Arbitrary<ChunkRecord> = fc.record({ ...chunkShape, refs: safe, extentBytes: safe });
const newSegments: Arbitrary<NewSegment> = fc.record({
  id: segmentIds,
  k: fc.nat(255),
  m: fc.nat(255),
  fragmentBytes: safe,
  segmentBytes: safe,
  places: fc.array(places, { maxLength: 8 }),
  chunks: fc.array(fc.record(chunkShape), { maxLength: 8 }),
});
export const segments: Arbitrary<Segment> = fc
  .record({
    id: segmentIds,
    generation: safe,
    k: fc.nat(5),
    m: fc.nat(5),
    fragmentBytes: safe,
    segmentBytes: safe,
    places: fc.array(places, { minLength: 10, maxLength: 10 }),
    chunks: fc.array(chunks),
    liveBytes: safe,
    isShared: fc.boolean(),
  })
  .map((segment) => ({ ...segment, places: segment.places.slice(0, segment.k + segment.m) }));

const drives: Arbitrary<DriveRecord> = fc.record({
  index: safe,
  id: fc.string(),
  state: fc.constantFrom("ok" as const, "failed" as const, "draining" as const, "removed" as const),
});
export const sessions: Arbitrary<Session> = fc.record({
  clientId: clientIds,
  seq: safe,
  grants: fc.array(
    fc.record({ begin: fc.nat(), length: fc.integer({ min: 1, max: 1000 }) }).map(({ begin, length }) => ({ begin, end: begin + length })),
  ),
});
export const superblocks: Arbitrary<Superblock> = fc.record({
  formatVersion: safe,
  clusterId: fc.string(),
  nextInodeCount: safe,
  nextSegment: safe,
  drives: fc.array(drives),
});

const callers: Arbitrary<Caller> = fc.record({ uid: id32, gid: id32, groups: fc.option(fc.array(id32, { maxLength: 5 })) });
const moments: Arbitrary<Moment> = fc.record({ sec, nsec });
const change = { caller: callers, time: moments };
const lengths = fc.array(fc.record({ lengthBytes: safe, source: sources }), { maxLength: 4 });
const writes: Arbitrary<Write> = fc.record({
  type: fc.constant("write" as const),
  ino: inodeNumbers,
  offsetBytes: safe,
  lengthBytes: safe,
  source: fc.oneof(
    fc.record({ kind: fc.constant("inline" as const), bytes }),
    fc.record({ kind: fc.constant("payload" as const) }),
    fc.record({ kind: fc.constant("extents" as const), extents: lengths }),
  ),
  setTimes: flag,
  killSetId: flag,
  spill: flag,
  ...change,
});

const signed = fc.integer({ min: -(2 ** 51), max: 2 ** 51 });
const mendItems: Arbitrary<MendItem> = fc.oneof(
  fc.record({ kind: fc.constant("usage" as const), name: fc.constantFrom(...usageNames), delta: signed }),
  fc.record({
    kind: fc.constant("inode" as const),
    ino: inodeNumbers,
    nlinkDelta: signed,
    entryDelta: signed,
    allocatedDelta: signed,
    parent: fc.oneof(inodeNumbers, fc.constant(0 as const)),
  }),
  fc.record({
    kind: fc.constant("segment" as const),
    segment: segmentIds,
    refs: fc.array(fc.record({ chunkIndex: fc.nat(), delta: signed }), { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant("extentBytes" as const),
    segment: segmentIds,
    bytes: fc.array(fc.record({ chunkIndex: fc.nat(), delta: signed }), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant("journal" as const), fileId: fc.nat(), extentsDelta: signed, bytesDelta: signed }),
  fc.record({ kind: fc.constant("regions" as const), ino: inodeNumbers, indexes: fc.array(fc.nat(), { maxLength: 4 }) }),
  fc.record({ kind: fc.constantFrom("marks" as const, "reconnect" as const), ino: inodeNumbers }),
  fc.record({ kind: fc.constant("xattrs" as const), ino: inodeNumbers, names: fc.array(fc.string(), { maxLength: 3 }) }),
  fc.record({ kind: fc.constant("counters" as const), nextInodeCount: safe, nextSegment: safe }),
) as Arbitrary<MendItem>;

export const commands: Arbitrary<Command> = fc.oneof(
  fc.record({
    type: fc.constant("makeNode" as const),
    parent: inodeNumbers,
    name: fc.option(names),
    ino: inodeNumbers,
    kind: fc.constantFrom(...fileKinds),
    mode,
    umask: mode,
    rdev: safe,
    target: fc.option(bytes),
    ...change,
  }),
  fc.record({ type: fc.constant("link" as const), ino: inodeNumbers, parent: inodeNumbers, name: names, ...change }),
  fc.record({ type: fc.constant("unlink" as const), parent: inodeNumbers, name: names, directory: flag, ...change }),
  fc.record({
    type: fc.constant("rename" as const),
    parent: inodeNumbers,
    name: names,
    newParent: inodeNumbers,
    newName: names,
    flags: safe,
    whiteout: fc.oneof(inodeNumbers, fc.constant(0 as const)),
    ...change,
  }),
  fc.record({
    type: fc.constant("setAttributes" as const),
    ino: inodeNumbers,
    mode: fc.option(mode),
    uid: fc.option(id32),
    gid: fc.option(id32),
    sizeBytes: fc.option(safe),
    atime: fc.option(moments),
    mtime: fc.option(moments),
    ctime: fc.option(moments),
    isTouch: flag,
    killSetId: flag,
    ...change,
  }),
  fc.record({
    type: fc.constant("setXattr" as const),
    ino: inodeNumbers,
    name: xattrName,
    value: fc.option(bytes),
    flags: safe,
    killSetGid: flag,
    ...change,
  }),
  writes,
  fc.record({
    type: fc.constant("allocate" as const),
    ino: inodeNumbers,
    action: fc.constantFrom("reserve" as const, "punch" as const, "zero" as const),
    keepSize: flag,
    offsetBytes: safe,
    lengthBytes: safe,
    ...change,
  }),
  fc.record({
    type: fc.constant("copyRange" as const),
    source: inodeNumbers,
    sourceOffsetBytes: safe,
    target: inodeNumbers,
    targetOffsetBytes: safe,
    lengthBytes: safe,
    ...change,
  }),
  fc.record({ type: fc.constant("reap" as const), ino: inodeNumbers }),
  fc.record({ type: fc.constantFrom("openSession" as const, "closeSession" as const), clientId: clientIds }),
  fc.record({ type: fc.constant("grantInodes" as const), clientId: clientIds, count: safe }),
  fc.record({ type: fc.constant("writeSegment" as const), segment: newSegments, writes: fc.array(writes, { maxLength: 3 }) }),
  fc.record({
    type: fc.constant("publish" as const),
    segment: newSegments,
    swaps: fc.array(fc.record({ ino: inodeNumbers, offsetBytes: safe, lengthBytes: safe, from: sources, to: sources }), { maxLength: 4 }),
  }),
  fc.record({ type: fc.constant("relocate" as const), segment: segmentIds, fragment: fc.nat(255), from: places, to: places }),
  fc.record({ type: fc.constant("dropSegment" as const), segment: segmentIds }),
  fc.record({ type: fc.constant("dropContent" as const), ino: inodeNumbers, regionsMax: safe }),
  fc.record({
    type: fc.constant("intendTruncate" as const),
    ino: inodeNumbers,
    sizeBytes: fc.option(fc.nat(Number.MAX_SAFE_INTEGER - 1), { nil: null }),
  }),
  fc.record({ type: fc.constant("setDrive" as const), drive: drives }),
  fc.record({
    type: fc.constant("format" as const),
    clusterId: fc.string(),
    drives: fc.array(drives),
    uid: id32,
    gid: id32,
    time: moments,
  }),
  fc.record({ type: fc.constant("mend" as const), items: fc.array(mendItems, { maxLength: 5 }) }),
) as Arbitrary<Command>;
