/** Counters that are too small: nobody stops, nothing that a file still needs is given back, people are told, and fsck --repair puts it right. */
import { silentLogger, systemClock } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import type { Segment } from "@cfs/metadata";
import { expect, test, vi } from "vitest";
import { EngineBed } from "../engine/testing/engine-bed.ts";
import { fsck } from "./fsck.ts";

const never = new AbortController().signal;
const change = { caller: { uid: 0, gid: 0, groups: null }, time: { sec: 1, nsec: 0 } } as const;
const lengthBytes = 300_000;

/** Two files that share the chunks of one segment, whose records are then damaged. */
async function shared(
  bed: EngineBed,
  damage: (chunk: Segment["chunks"][number]) => void,
): Promise<Record<"first" | "second", InodeNumber>> {
  const [first, second] = [bed.create(), bed.create()];
  await bed.write({ ino: first, offsetBytes: 0, lengthBytes });
  bed.copy(first, 0, second, 0, lengthBytes);
  const { content } = bed.engine.state;
  const segment = await onlySegment(bed);
  for (const chunk of segment.chunks) damage(chunk);
  content.setSegment(segment.id, segment);
  return { first, second };
}

async function onlySegment(bed: EngineBed): Promise<Segment> {
  const [segment] = await bed.segments();
  return segment ?? expect.unreachable("a segment was written");
}

async function repair(bed: EngineBed): Promise<string[]> {
  const found: string[] = [];
  const parts = { engine: bed.engine, store: bed, driveSet: { members: [] }, clock: systemClock(), logger: silentLogger };
  for await (const { findings } of fsck(parts, { repair: true }, never)) found.push(...findings);
  return found;
}

test("too few references of a shared chunk: it is noted, and the other file keeps its bytes", async () => {
  await using bed = await EngineBed.start();
  const { state } = bed.engine;
  const { first, second } = await shared(bed, (chunk) => (chunk.refs = 1));
  bed.punch(first, 0, lengthBytes);
  expect((await onlySegment(bed)).chunks.every(({ refs }) => refs === 1)).toBe(true);
  expect([...state.damage][0]).toMatch(/^chunk 0 of segment \d+ counted fewer references than it had$/);
  expect(await bed.check()).toEqual([]);
  bed.punch(second, 0, lengthBytes);
  expect((await onlySegment(bed)).liveBytes).toBe(0);
  expect(await repair(bed)).toEqual([]);
  expect(state.damage.size).toBe(0);
});

test("no references at all: the release stops nobody, and a check mends what is left", async () => {
  await using bed = await EngineBed.start();
  const { state } = bed.engine;
  const { first } = await shared(bed, (chunk) => {
    chunk.refs = 0;
    chunk.extentBytes = 0;
  });
  bed.punch(first, 0, lengthBytes);
  expect(state.damage.size).toBeGreaterThan(0);
  expect((await repair(bed)).join("\n")).toMatch(/chunks have wrong reference counts/);
  expect([await bed.check(), state.damage.size]).toEqual([[], 0]);
});

const soon = { timeout: 25_000, interval: 50 };

/** The reclaimer looks at the segment, keeps it and says so; then a check puts it right. */
async function expectKept(bed: EngineBed): Promise<void> {
  const { state } = bed.engine;
  const { id } = await onlySegment(bed);
  const said = `segment ${id} counts no references and files point at it`;
  await vi.waitFor(() => expect([...state.damage]).toContain(said), soon);
  expect((await repair(bed)).join("\n")).toMatch(/chunks have wrong reference counts/);
  expect([await bed.check(), state.damage.size]).toEqual([[], 0]);
}

test("both counters of a shared chunk too low by one file: a walk finds it before anything is freed", async () => {
  await using bed = await EngineBed.start();
  const { first } = await shared(bed, (chunk) => {
    chunk.refs = 1;
    chunk.extentBytes = chunk.rawBytes;
  });
  bed.punch(first, 0, lengthBytes);
  expect((await onlySegment(bed)).liveBytes).toBe(0);
  expect(bed.engine.state.damage.size).toBe(0);
  await expectKept(bed);
}, 60_000);

test("both counters of a chunk of one file too low: its own table finds it before anything is freed", async () => {
  await using bed = await EngineBed.start();
  const { content } = bed.engine.state;
  await bed.write({ ino: bed.create(), offsetBytes: 1 << 20, lengthBytes });
  const segment = await onlySegment(bed);
  for (const chunk of segment.chunks) Object.assign(chunk, { refs: 0, extentBytes: 0 });
  segment.liveBytes = 0;
  content.setSegment(segment.id, segment);
  content.setCandidate(segment.id, true);
  expect(segment.isShared).toBe(false);
  await expectKept(bed);
}, 60_000);

test("a copy of bytes that nothing counts any more counts both", async () => {
  await using bed = await EngineBed.start();
  const { first, second } = await shared(bed, (chunk) => {
    chunk.refs = 0;
    chunk.extentBytes = 0;
  });
  const third = bed.create();
  bed.copy(second, 0, third, 0, lengthBytes);
  expect((await onlySegment(bed)).chunks.every(({ refs }) => refs === 2)).toBe(true);
  bed.punch(first, 0, lengthBytes);
  bed.punch(second, 0, lengthBytes);
  expect((await repair(bed)).join("\n")).toMatch(/chunks have wrong reference counts/);
  expect([await bed.check(), bed.engine.state.damage.size]).toEqual([[], 0]);
});

test("a segment that is not there stops nobody", async () => {
  await using bed = await EngineBed.start();
  const { state } = bed.engine;
  const { first } = await shared(bed, () => undefined);
  const { id } = await onlySegment(bed);
  state.content.setSegment(id, null);
  bed.punch(first, 0, lengthBytes);
  expect([...state.damage][0]).toBe(`an extent points at chunk 0 of segment ${id}, which is not there`);
});

test("too few living extents of a journal file: it stays as long as bytes of it live", async () => {
  await using bed = await EngineBed.start();
  const { driver, state } = bed.engine;
  const inos = [bed.create(), bed.create()];
  const places = inos.map((ino) => {
    bed.files.set(ino, Buffer.alloc(9_000, 7));
    const write = { type: "write", ino, offsetBytes: 0, lengthBytes: 9_000, source: { kind: "payload" } } as const;
    const command = { ...write, setTimes: true, killSetId: false, spill: false, ...change };
    return driver.propose({ command, clientId: null, seq: 0, payload: [Buffer.alloc(9_000, 7)] }).place;
  });
  const { fileId = 0 } = places[0] ?? {};
  state.content.setJournalFile(fileId, { fileId, liveExtents: 1, liveBytes: 18_000 });
  bed.punch(inos[0] as InodeNumber, 0, 9_000);
  expect(state.content.journalFile(fileId)).toEqual({ fileId, liveExtents: 1, liveBytes: 9_000 });
  expect([...state.damage]).toEqual([`journal file ${fileId} counted fewer living extents than it had`]);
  bed.punch(inos[1] as InodeNumber, 0, 9_000);
  expect(state.content.journalFile(fileId)).toBeNull();
});
