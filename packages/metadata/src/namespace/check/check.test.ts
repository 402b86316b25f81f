/** A sound state has no problems; every kind of damage to a record is found and named. */
import { describe, expect, test } from "vitest";
import { inodeNumber, rootInode } from "@cfs/core";
import type { ClientId, InodeNumber, Name, SegmentId } from "@cfs/core";
import { MemoryKv } from "../../kv/memory-kv.ts";
import { applyCommand } from "../apply.ts";
import { decodeCommand, encodeCommand } from "../command-format.ts";
import type { Command } from "../commands.ts";
import { encodeJournalFile, encodeRegion, encodeRuns, encodeSegment } from "../content-format.ts";
import { nameHash } from "../cookie.ts";
import { KvState } from "../kv-state.ts";
import { nameOfLost } from "../mend.ts";
import * as keys from "../keys.ts";
import { encodeDirent, encodeInode, encodeOrphan } from "../record-format.ts";
import { regionBytes } from "../records.ts";
import type { Extent, Inode, Region, Segment, Usage } from "../records.ts";
import { encodeSession, encodeUsage } from "../system-format.ts";
import { clientId, root, World } from "../testing/world.ts";
import { checkState } from "./check.ts";

const segment = 1 as SegmentId;

/** A directory with a directory, a file with two names, a packed file, an inline file, an orphan, a zombie. */
class Sample {
  readonly world = new World();
  readonly directory = this.#make("d", "directory");
  readonly child = this.#make("e", "directory", this.directory);
  readonly file = this.#make("f", "file");
  readonly packed = this.#make("p", "file");
  readonly inline = this.#make("i", "file");
  readonly orphan = this.#make("o", "file");
  readonly zombie = this.#make("z", "file");

  constructor() {
    const { world } = this;
    const change = { caller: root, time: world.time() };
    world.must({ type: "link", ino: this.file, parent: this.directory, name: "g" as Name, ...change });
    world.must({ type: "setXattr", ino: this.file, name: "user.a", value: Uint8Array.of(1), flags: 0, killSetGid: false, ...change });
    const write = { type: "write", setTimes: true, killSetId: false, spill: false, ...change } as const;
    world.must({ ...write, ino: this.inline, offsetBytes: 0, lengthBytes: 3, source: { kind: "inline", bytes: Uint8Array.of(1, 2, 3) } });
    world.must(
      { ...write, ino: this.file, offsetBytes: 0, lengthBytes: 100, source: { kind: "payload" } },
      { fileId: 1, recordOffsetBytes: 0 },
    );
    world.must(
      { ...write, ino: this.packed, offsetBytes: 10, lengthBytes: 100, source: { kind: "payload" } },
      { fileId: 1, recordOffsetBytes: 4096 },
    );
    for (let index = 0; index < 12; index++) {
      world.must(
        { ...write, ino: this.zombie, offsetBytes: index * regionBytes, lengthBytes: 5, source: { kind: "payload" } },
        { fileId: 2, recordOffsetBytes: index },
      );
    }
    world.must({ type: "allocate", ino: this.packed, action: "reserve", keepSize: true, offsetBytes: 5000, lengthBytes: 50, ...change });
    const places = [0, 1, 2].map((drive) => ({ drive, container: 0, offsetBytes: 0 }));
    const chunk = { storedBytes: 60, rawBytes: 100, codec: 1 };
    world.must({
      type: "publish",
      segment: {
        id: segment,
        k: 2,
        m: 1,
        fragmentBytes: 4096,
        segmentBytes: 200,
        places,
        chunks: [
          { ...chunk, storedOffsetBytes: 0 },
          { ...chunk, storedOffsetBytes: 60 },
        ],
      },
      swaps: [
        {
          ino: this.packed,
          offsetBytes: 10,
          lengthBytes: 100,
          from: { kind: "journal", fileId: 1, recordOffsetBytes: 4096, payloadOffsetBytes: 0 },
          to: { kind: "chunk", segment, chunkIndex: 0, rawOffsetBytes: 0 },
        },
      ],
    });
    for (const name of ["o", "z"]) world.must({ type: "unlink", parent: rootInode, name: name as Name, directory: false, ...change });
    world.must({ type: "reap", ino: this.zombie });
    world.flush();
  }

  #make(name: string, kind: "file" | "directory", parent: InodeNumber = rootInode): InodeNumber {
    const ino = this.world.newInode();
    this.world.must({
      type: "makeNode",
      parent,
      name: name as Name,
      ino,
      kind,
      mode: 0o755,
      umask: 0,
      rdev: 0,
      target: null,
      caller: root,
      time: this.world.time(),
    });
    return ino;
  }

  put(key: string, value: Uint8Array | null): void {
    this.world.kv.write([{ key, value }]);
  }

  changeInode(ino: InodeNumber, change: Partial<Inode>): void {
    this.put(keys.inodeKey(ino), encodeInode({ ...this.world.inode(ino), ...change }));
  }

  changeSegment(change: (segment: Segment) => Partial<Segment>): void {
    const known = this.world.server.segment(segment);
    if (known === null) throw new Error("no segment");
    this.put(keys.segmentKey(segment), encodeSegment({ ...known, ...change(known) }));
  }

  changeUsage(change: Partial<Usage>): void {
    this.put(keys.usageKey, encodeUsage({ ...this.world.server.usage(), ...change }));
  }

  region(ino: InodeNumber, index: number): Region {
    return this.world.server.region(ino, index) ?? { extents: [] };
  }

  dirent(parent: InodeNumber, name: string): string {
    return keys.direntKey(parent, nameHash(name as Name), name as Name);
  }
}

test("a sound state has no problems, whatever the size of the passes", async () => {
  const { world } = new Sample();
  expect(await checkState(world.kv)).toEqual([]);
  expect(await checkState(world.kv, { inodesPerPass: 1, chunksPerPass: 1 })).toEqual([]);
});

test("a store that was never formatted is one problem", async () => {
  expect(await checkState(new MemoryKv())).toMatchObject([{ what: "superblock" }]);
});

test("problems are listed up to a limit and then counted", async () => {
  const sample = new Sample();
  for (let index = 0; index < 20; index++) sample.put(keys.orphanKey(inodeNumber(50 + index, 0)), encodeOrphan(clientId));
  const problems = await checkState(sample.world.kv, { problemsMax: 5 });
  expect(problems).toHaveLength(6);
  expect(problems.at(-1)?.message).toBe("15 more problems are not listed");
});

const nobody = inodeNumber(77, 0);
const damages: readonly [string, string, (sample: Sample) => void][] = [
  ["a link count of a file", "counts 3 links and has 2 names", (s) => s.changeInode(s.file, { nlink: 3 })],
  ["a link count of a directory", "has 5 links and should have 3", (s) => s.changeInode(s.directory, { nlink: 5 })],
  ["an entry count", "counts 9 entries and has 2", (s) => s.changeInode(s.directory, { entryCount: 9 })],
  ["a parent", `its record says ${rootInode}`, (s) => s.changeInode(s.child, { parent: rootInode })],
  ["a lost entry", "a directory has 0 names and should have 1", (s) => s.put(s.dirent(s.directory, "e"), null)],
  [
    "an entry that leads nowhere",
    `leads to inode ${nobody}, which does not exist`,
    (s) => s.put(s.dirent(rootInode, "x"), encodeDirent({ ino: nobody, kind: "file" })),
  ],
  [
    "an entry of the wrong kind",
    "is a file, but its name says",
    (s) => s.put(s.dirent(rootInode, "i"), encodeDirent({ ino: s.inline, kind: "fifo" })),
  ],
  [
    "an entry under a wrong hash",
    "lies under the wrong hash",
    (s) => s.put(keys.direntKey(rootInode, 5, "y" as Name), encodeDirent({ ino: s.inline, kind: "file" })),
  ],
  [
    "entries without a directory",
    "has entries but no inode",
    (s) => s.put(s.dirent(nobody, "x"), encodeDirent({ ino: s.inline, kind: "file" })),
  ],
  [
    "entries in a file",
    "has entries but is no directory",
    (s) => s.put(s.dirent(s.inline, "x"), encodeDirent({ ino: s.file, kind: "file" })),
  ],
  ["a circle of directories", "does not hang on the root", circle],
  ["a lost attribute", "names 1 extended attributes, 0 are stored", (s) => s.put(keys.xattrKey(s.file, "user.a"), null)],
  [
    "an attribute without an inode",
    "has an extended attribute but no inode",
    (s) => s.put(keys.xattrKey(nobody, "user.a"), Uint8Array.of(1)),
  ],
  ["an orphan that is not listed", "is not listed as an orphan", (s) => s.put(keys.orphanKey(s.orphan), null)],
  ["an orphan with links", "is listed as an orphan but has links", (s) => s.put(keys.orphanKey(s.file), encodeOrphan(clientId))],
  ["an orphan without an inode", "is listed but has no inode", (s) => s.put(keys.orphanKey(nobody), encodeOrphan(clientId))],
  ["allocated bytes", "counts 7 allocated bytes and has 150", (s) => s.changeInode(s.packed, { allocatedBytes: 7 })],
  ["allocated bytes of inline data", "counts 7 allocated bytes and has 3 inline", (s) => s.changeInode(s.inline, { allocatedBytes: 7 })],
  ["inline data past the size", "holds 3 inline bytes but its size is 2", (s) => s.changeInode(s.inline, { sizeBytes: 2 })],
  ["data past the size", "has data up to 110, past its size of 20", (s) => s.changeInode(s.packed, { sizeBytes: 20 })],
  [
    "a number that was never given out",
    "its number was never given out",
    (s) => s.put(keys.inodeKey(inodeNumber(2 ** 30, 0)), encodeInode({ ...s.world.inode(s.orphan), ino: inodeNumber(2 ** 30, 0) })),
  ],
  ["a lost region", "the runs name regions that do not exist", (s) => s.put(keys.regionKey(s.packed, 0), null)],
  [
    "lost regions and runs",
    "counts 150 allocated bytes but has no regions",
    (s) => [keys.regionKey(s.packed, 0), keys.runsKey(s.packed)].forEach((key) => s.put(key, null)),
  ],
  [
    "runs that lie",
    "the runs do not say which regions exist",
    (s) => s.put(keys.runsKey(s.packed), encodeRuns({ runs: [{ begin: 0, end: 2 }] })),
  ],
  [
    "runs without regions",
    "the runs name regions that do not exist",
    (s) => s.put(keys.runsKey(nobody), encodeRuns({ runs: [{ begin: 0, end: 2 }] })),
  ],
  ["an empty region", "is empty and should not exist", (s) => s.put(keys.regionKey(s.packed, 0), encodeRegion({ extents: [] }))],
  ["content without an owner", "neither an inode nor is it listed", (s) => s.put(keys.zombieKey(s.zombie), null)],
  ["a zombie with an inode", "is listed but has an inode", (s) => s.put(keys.zombieKey(s.packed), Uint8Array.of())],
  ["a zombie without content", "is listed but has no content", (s) => s.put(keys.zombieKey(nobody), Uint8Array.of())],
  [
    "a journal counter",
    "a recount gives 1 of 100",
    (s) => s.put(keys.journalFileKey(1), encodeJournalFile({ fileId: 1, liveExtents: 2, liveBytes: 100 })),
  ],
  ["a lost journal counter", "has live extents but no counter", (s) => s.put(keys.journalFileKey(2), null)],
  [
    "a journal counter of nothing",
    "no extent points into it",
    (s) => s.put(keys.journalFileKey(9), encodeJournalFile({ fileId: 9, liveExtents: 0, liveBytes: 0 })),
  ],
  [
    "references",
    "1 chunks have wrong reference counts",
    (s) => s.changeSegment(({ chunks }) => ({ chunks: chunks.map((chunk, index) => ({ ...chunk, refs: index === 0 ? 2 : 0 })) })),
  ],
  [
    "bytes of references",
    "1 chunks count bytes that no extent points at, or miss some",
    (s) => s.changeSegment(({ chunks }) => ({ chunks: chunks.map((chunk, index) => ({ ...chunk, extentBytes: index === 0 ? 7 : 0 })) })),
  ],
  [
    "a mark of sharing",
    "1 extents share its chunks and it is not marked as shared",
    (s) => {
      const [{ source }] = s.region(s.packed, 0).extents as [Extent];
      s.put(keys.regionKey(s.file, 0), encodeRegion({ extents: [{ offsetBytes: 0, lengthBytes: 100, source }] }));
    },
  ],
  ["live bytes", "counts 61 live bytes and has 60", (s) => s.changeSegment(() => ({ liveBytes: 61 }))],
  ["a lost segment", "points at segment 1, chunk 0, which is not there", (s) => s.put(keys.segmentKey(segment), null)],
  [
    "an extent past its chunk",
    "which is not there or too short",
    (s) => s.put(keys.regionKey(s.packed, 0), encodeRegion(shifted(s.region(s.packed, 0)))),
  ],
  ["a candidate that is none", "is listed as dead or thin but is not", (s) => s.put(keys.candidateKey(segment), Uint8Array.of())],
  [
    "a candidate without a segment",
    "is listed as dead or thin but does not exist",
    (s) => s.put(keys.candidateKey(8 as SegmentId), Uint8Array.of()),
  ],
  ["a sum of usage", "the sum says 1, a recount gives", (s) => s.changeUsage({ inodes: 1 })],
  ["reserved bytes", "the sum says 49, a recount gives 50", (s) => s.changeUsage({ reservedBytes: 49 })],
  [
    "a grant past the end",
    "that were never given out",
    (s) => s.put(keys.sessionKey(clientId), encodeSession({ clientId, seq: 0, grants: [{ begin: 2, end: 2 ** 30 }] })),
  ],
  [
    "two owners of a count",
    "shares inode counts",
    (s) =>
      s.put(
        keys.sessionKey("ab".repeat(16) as ClientId),
        encodeSession({ clientId: "ab".repeat(16) as ClientId, seq: 0, grants: [{ begin: 5, end: 6 }] }),
      ),
  ],
  ["a record that is not one", "ends early", (s) => s.put(keys.inodeKey(s.file), Uint8Array.of(1, 0))],
];

describe("damage is found:", () => {
  test.each(damages)("%s", async (_what, message, damage) => {
    const sample = new Sample();
    damage(sample);
    const messages = (await checkState(sample.world.kv)).map((problem) => problem.message);
    expect(
      messages.some((text) => text.includes(message)),
      messages.join("\n"),
    ).toBe(true);
  });
});

/** d holds e and e holds d; neither hangs on the root, and all counts are right. */
function circle(sample: Sample): void {
  sample.put(sample.dirent(rootInode, "d"), null);
  sample.put(sample.dirent(sample.child, "d"), encodeDirent({ ino: sample.directory, kind: "directory" }));
  sample.changeInode(sample.directory, { parent: sample.child });
  sample.changeInode(sample.child, { nlink: 3, entryCount: 1 });
  const top = sample.world.inode(rootInode);
  sample.changeInode(rootInode, { nlink: top.nlink - 1, entryCount: top.entryCount - 1 });
}

function shifted(region: Region): Region {
  return {
    extents: region.extents.map((extent) =>
      extent.source.kind === "chunk" ? { ...extent, source: { ...extent.source, rawOffsetBytes: 1 } } : extent,
    ),
  };
}

/** What no recount can know: which of two contradicting records is right, or what was in one that is gone. */
const onlyTold = new Set([
  "an entry that leads nowhere",
  "an entry of the wrong kind",
  "an entry under a wrong hash",
  "entries without a directory",
  "entries in a file",
  "a circle of directories",
  "inline data past the size",
  "data past the size",
  "a lost segment",
  "an extent past its chunk",
  "a grant past the end",
  "two owners of a count",
  "a record that is not one",
]);

/** Mends as fsck does: through commands, then counts again. */
async function mended(sample: Sample): Promise<string[]> {
  // A state of its own: the world's has records in memory that the damage did not reach.
  const state = new KvState(sample.world.kv);
  let problems = await checkState(sample.world.kv);
  for (let pass = 0; pass < 3; pass++) {
    for (const mend of problems.flatMap(({ mends }) => mends)) {
      const command: Command = mend.kind === "reap" ? { type: "reap", ino: mend.ino } : { type: "mend", items: [mend] };
      expect(applyCommand(state, decodeCommand(encodeCommand(command)), { clientId: null, payload: null }).errno).toBe(0);
    }
    sample.world.kv.write(state.encodeDirty());
    problems = await checkState(sample.world.kv);
  }
  return problems.map(({ what, id, message }) => `${what} ${id}: ${message}`);
}

describe("damage is mended:", () => {
  test.each(damages.filter(([what]) => !onlyTold.has(what)))("%s", async (_what, _message, damage) => {
    const sample = new Sample();
    damage(sample);
    expect(await mended(sample)).toEqual([]);
  });

  test("a file without a name comes back in the root, with its bytes", async () => {
    const sample = new Sample();
    sample.put(sample.dirent(rootInode, "p"), null);
    const top = sample.world.inode(rootInode);
    sample.changeInode(rootInode, { entryCount: top.entryCount - 1 });
    expect(await mended(sample)).toEqual([]);
    const state = new KvState(sample.world.kv);
    expect(state.dirent(rootInode, nameOfLost(sample.packed))).toEqual({ ino: sample.packed, kind: "file" });
    expect(state.region(sample.packed, 0)?.extents.length).toBe(2);
  });

  test("sums are mended by differences: what commands changed since the check stays", async () => {
    const sample = new Sample();
    sample.changeUsage({ inodes: 3, allocatedBytes: 7 });
    const state = new KvState(sample.world.kv);
    const items = (await checkState(sample.world.kv)).flatMap(({ mends }) => mends.filter((mend) => mend.kind !== "reap"));
    const context = { clientId: null, payload: null };
    applyCommand(
      state,
      { type: "unlink", parent: rootInode, name: "i" as Name, directory: false, caller: root, time: sample.world.time() },
      context,
    );
    applyCommand(state, { type: "mend", items }, context);
    sample.world.kv.write(state.encodeDirty());
    expect(await checkState(sample.world.kv)).toEqual([]);
  });
});
