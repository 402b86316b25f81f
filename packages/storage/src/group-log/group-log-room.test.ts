/** A drive without room: appends wait and go on, the log says so, and nothing is lost by it; and the next file that is made ahead. */
import { CfsError } from "@cfs/core";
import { noUpdate } from "@cfs/metadata";
import type { GroupUpdate } from "@cfs/metadata";
import { expect, test } from "vitest";

import { FaultyIo } from "../device/faulty-io.ts";
import type { FaultRule } from "../device/faulty-io.ts";
import type { Io } from "../device/io.ts";
import { openPlain } from "../device/io.ts";
import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import type { FileGroupLog } from "./group-log.ts";
import { appended, created, directory, openLog, snapshotOf, StillClock, viewOf } from "./testing/log-bed.ts";

type Meta = NonNullable<GroupUpdate["snapshot"]>["meta"];

/** A page of the memory drive. */
const fileBytes = 64 << 10;

/** Lets everything happen that can happen without time passing. */
async function settle(): Promise<void> {
  for (let round = 0; round < 50; round++) await new Promise((resolve) => setImmediate(resolve));
}

function stateOf(promise: Promise<void>): { text: string } {
  const state = { text: "waits" };
  promise.then(
    () => (state.text = "done"),
    (reason: unknown) => (state.text = CfsError.from(reason).code),
  );
  return state;
}

interface Bed {
  readonly io: FaultyIo;
  readonly clock: StillClock;
  readonly log: FileGroupLog;
  next: number;
}

async function started(io: Io, rules: readonly FaultRule[] = []): Promise<Bed> {
  const faulty = new FaultyIo({ io });
  const clock = new StillClock();
  const log = await openLog(faulty, { fileBytes }, clock);
  await log.append([created(1)]);
  await settle();
  faulty.setRules(rules);
  return { io: faulty, clock, log, next: 1 };
}

const append = (bed: Bed, signal?: AbortSignal): Promise<void> =>
  bed.log.append([appended(1, 1, bed.next++, 1, { dataBytes: 3_000 })], signal === undefined ? {} : { signal });

const full: readonly FaultRule[] = (["open", "allocate", "write"] as const).map((on) => ({ on, fail: "NO_SPACE" }));

/** Something else takes room on the drive, in /ballast/a. */
async function hold(memory: MemoryIo, sizeBytes: number): Promise<void> {
  await memory.makeDirectory("/ballast");
  const file = await memory.open("/ballast/a", { ...openPlain, create: true });
  await memory.write(file, [new Uint8Array(sizeBytes)], 0);
  await memory.close(file);
}

const compactedTo = (index: number): Meta => snapshotOf("compacted", index, 1).meta;

test("without room for the file after the next one the log says so, goes on as far as it can, then waits until there is room", async () => {
  // Two files, the one ahead and a little more; pages count when they are written.
  const memory = new MemoryIo({ random: seededRandom(1) }, { capacityBytes: 3.5 * fileBytes });
  await hold(memory, fileBytes);
  const bed = await started(memory);
  expect([bed.log.room, bed.log.isFull]).toEqual(["enough", false]);
  while (bed.log.fileCount < 2) await append(bed);
  await settle();
  expect([bed.log.room, bed.log.isFull]).toEqual(["low", true]);
  let last = stateOf(append(bed));
  for (await settle(); last.text === "done"; await settle()) last = stateOf(append(bed));
  const waiting = [last, stateOf(append(bed)), stateOf(append(bed))];
  await settle();
  bed.clock.advance();
  await settle();
  expect(waiting.map(({ text }) => text)).toEqual(["waits", "waits", "waits"]);
  expect([bed.log.room, bed.log.broken, bed.log.fileCount]).toEqual(["none", null, 2]);

  await memory.unlink("/ballast/a");
  bed.clock.advance();
  await settle();
  expect(waiting.map(({ text }) => text)).toEqual(["done", "done", "done"]);
  expect(bed.log.fileCount).toBe(3);
  const before = viewOf(bed.log);
  await bed.log.close();
  const again = await openLog(memory);
  expect(viewOf(again)).toEqual(before);
  await again.close();
});

/** A drive with room for so many files; the one ahead of them cannot be made. */
async function crowded(fileCount: number, ballast?: "ballast"): Promise<{ bed: Bed; memory: MemoryIo }> {
  const ballastBytes = ballast === undefined ? 0 : 2 * fileBytes;
  const memory = new MemoryIo({ random: seededRandom(1) }, { capacityBytes: (fileCount + 0.5) * fileBytes + ballastBytes });
  await hold(memory, ballastBytes);
  const bed = await started(memory);
  while (bed.log.fileCount < fileCount) await append(bed);
  return { bed, memory };
}

/** Appends until one waits. */
async function filled(bed: Bed): Promise<{ text: string }> {
  let last = stateOf(append(bed));
  for (await settle(); last.text === "done"; await settle()) last = stateOf(append(bed));
  return last;
}

test("what frees old files goes ahead of appends that wait for room, and makes the room that they wait for", async () => {
  const { bed, memory } = await crowded(3);
  const { log } = bed;
  const waiting = [await filled(bed), stateOf(append(bed))];
  expect([log.room, log.fileCount]).toEqual(["none", 3]);
  const lastIndex = log.groups.get(1)?.lastIndex ?? 0;
  const meta = compactedTo(lastIndex - 1);
  expect(await log.compact(1, meta)).toBe(true);
  expect([log.groups.get(1)?.firstIndex, log.fileCount]).toEqual([lastIndex, 3]);
  await log.reclaim(() => false);
  expect(log.fileCount).toBeLessThan(3);
  for (let retry = 0; retry < 3; retry++) {
    bed.clock.advance();
    await settle();
  }
  expect([...waiting.map(({ text }) => text), log.room]).toEqual(["done", "done", "low"]);
  await log.reclaim(() => false);
  bed.clock.advance();
  await settle();
  expect([log.room, log.isFull]).toEqual(["enough", false]);
  const before = viewOf(log);
  expect(before.get(1)?.entries.map((text) => Number(text.split("/")[0]))).toEqual([lastIndex, lastIndex + 1, lastIndex + 2]);
  await log.close();
  const again = await openLog(memory, { fileBytes });
  expect(viewOf(again)).toEqual(before);
  await again.close();
});

test("a compaction in an append that waits is overtaken by a later one", async () => {
  const { bed, memory } = await crowded(2, "ballast");
  const { log } = bed;
  const first = await filled(bed);
  const older = stateOf(log.append([{ ...noUpdate, group: 1, snapshot: snapshotOf("compacted", 3, 1) }]));
  const meta = compactedTo(5);
  expect(await log.compact(1, meta)).toBe(true);
  expect(await log.compact(1, compactedTo(4))).toBe(true);
  expect(log.groups.get(1)?.firstIndex).toBe(6);
  await log.reclaim(() => false);
  await memory.unlink("/ballast/a");
  bed.clock.advance();
  await settle();
  expect([first.text, older.text, log.groups.get(1)?.firstIndex]).toEqual(["done", "done", 6]);
  const before = viewOf(log);
  await log.close();
  const again = await openLog(memory, { fileBytes });
  expect(viewOf(again)).toEqual(before);
  await again.close();
});

test("the reserve has an end, and what does not fit it is refused, not waited for; nothing is moved into the last room", async () => {
  const { bed } = await crowded(3);
  const { log } = bed;
  await filled(bed);
  const answers: boolean[] = [];
  for (let index = 1; index <= 4; index++) answers.push(await log.compact(1, compactedTo(index)));
  // Two pages of reserve, and at most one that the appends before have left.
  expect(answers.slice(0, 2)).toEqual([true, true]);
  expect(answers.at(-1)).toBe(false);
  const moved = log.statistics.movedBytes;
  await log.reclaim(() => true);
  expect([log.fileCount, log.statistics.movedBytes, log.broken]).toEqual([3, moved, null]);
  await log.close();
});

test("a frame that finds no room is written again at the same place", async () => {
  const memory = new MemoryIo({ random: seededRandom(1) });
  const bed = await started(memory, full);
  const waiting = stateOf(append(bed));
  for (let retry = 0; retry < 3; retry++) {
    await settle();
    bed.clock.advance();
  }
  expect([waiting.text, bed.log.room]).toEqual(["waits", "none"]);
  bed.io.setRules([]);
  bed.clock.advance();
  await settle();
  expect([waiting.text, bed.log.room, bed.log.isFull]).toEqual(["done", "enough", false]);
  await append(bed);
  const before = viewOf(bed.log);
  expect(before.get(1)?.entries.length).toBe(2);
  await bed.log.close();
  expect(viewOf(await openLog(memory))).toEqual(before);
});

test("any other failure breaks the log as ever", async () => {
  const bed = await started(new MemoryIo({ random: seededRandom(1) }), [{ on: "write", fail: "IO" }]);
  const failed = stateOf(append(bed));
  await settle();
  expect([failed.text, bed.log.broken?.code]).toEqual(["IO", "IO"]);
  await bed.log.close();
});

test("closing ends the wait, and so does the signal of an append", async () => {
  for (const how of ["close", "signal", "signal before"]) {
    const memory = new MemoryIo({ random: seededRandom(1) });
    const bed = await started(memory);
    await append(bed);
    const before = viewOf(bed.log);
    bed.io.setRules(full);
    const control = new AbortController();
    if (how === "signal before") control.abort();
    const waiting = stateOf(append(bed, control.signal));
    await settle();
    if (how === "signal") control.abort();
    if (how !== "close") {
      await settle();
      expect([how, waiting.text, bed.log.broken?.code]).toEqual([how, "IO", "IO"]);
    }
    await bed.log.close();
    expect(waiting.text).toBe("IO");
    expect(viewOf(await openLog(memory))).toEqual(before);
  }
});

test("an append whose signal is aborted does not fail while there is room", async () => {
  const bed = await started(new MemoryIo({ random: seededRandom(1) }));
  await append(bed, AbortSignal.abort());
  expect(bed.log.broken).toBeNull();
  await bed.log.close();
});

test("the next file is there ahead, of full size and zeros, and an open log that ends leaves none or a blank one", async () => {
  const memory = new MemoryIo({ random: seededRandom(1) });
  const bed = await started(memory);
  const path = `${directory}/0000000002.glog`;
  expect(await memory.list(directory)).toEqual(["0000000001.glog", "0000000002.glog"]);
  const blank = await memory.open(path, { ...openPlain, readOnly: true });
  const bytes = new Uint8Array(fileBytes + 1).fill(1);
  expect(await memory.read(blank, bytes, 0)).toBe(fileBytes);
  expect(bytes.subarray(0, fileBytes).every((byte) => byte === 0)).toBe(true);
  await memory.close(blank);
  // The process ends here, without a word.
  const again = await openLog(memory);
  expect(viewOf(again)).toEqual(viewOf(bed.log));
  await again.close();
  expect(await memory.list(directory)).toEqual(["0000000001.glog"]);
});

test("a next file that could not be made in the background is made when it is needed", async () => {
  const bed = await started(new MemoryIo({ random: seededRandom(1) }));
  while (bed.log.fileCount < 2) await append(bed);
  await settle();
  bed.io.setRules([{ on: "allocate", fail: "IO" }]);
  while (bed.log.fileCount < 3) await append(bed);
  await settle();
  bed.io.setRules([]);
  while (bed.log.fileCount < 5) await append(bed);
  expect(bed.log.broken).toBeNull();
  await bed.log.close();
});
