/** What the shared group log promises, example by example, on a memory drive. */
import { CfsError } from "@cfs/core";
import { noUpdate } from "@cfs/metadata";
import { expect, test } from "vitest";

import { FaultyIo } from "../device/faulty-io.ts";
import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import { fuzzGroupLog } from "./group-log.fuzz.ts";
import { appended, bytesOf, created, directory, openLog, snapshotOf, viewOf } from "./testing/log-bed.ts";

const memory = (): MemoryIo => new MemoryIo({ random: seededRandom(5) });

test("what was appended for many groups is there after a power cut, in one frame an append", async () => {
  const io = memory();
  const log = await openLog(io);
  await log.append([created(1), created(2)]);
  await log.append([appended(1, 1, 1, 3), appended(2, 4, 1, 1, { payloadBytes: 700 })]);
  expect(log.statistics.frameCount).toBe(2);
  const before = viewOf(log);
  io.crash();
  const again = await openLog(io);
  expect(viewOf(again)).toEqual(before);
  expect(await again.readPayload(2, 1)).toEqual(new Uint8Array(bytesOf(2, 1, 4, 700)));
  await again.close();
});

test("entries of a later leader cut off what stood in their place, with its payloads", async () => {
  const io = memory();
  const log = await openLog(io);
  await log.append([created(1)]);
  await log.append([appended(1, 1, 1, 5, { payloadBytes: 10 })]);
  await log.append([appended(1, 2, 3, 1)]);
  for (const one of [log, await reopened(io, log)]) {
    expect(one.groups.get(1)?.lastIndex).toBe(3);
    expect(one.groups.get(1)?.term(3)).toBe(2);
    expect([...(one.groups.get(1)?.payloads.keys() ?? [])]).toEqual([1, 2]);
  }
});

async function reopened(io: MemoryIo, log: Awaited<ReturnType<typeof openLog>>): Promise<typeof log> {
  await log.close();
  return openLog(io);
}

test("compaction keeps the suffix, an installed snapshot drops it; both are remembered", async () => {
  const io = memory();
  const log = await openLog(io);
  await log.append([created(1), created(2)]);
  await log.append([appended(1, 1, 1, 5), appended(2, 1, 1, 5, { payloadBytes: 3 })]);
  await log.append([
    { ...noUpdate, group: 1, snapshot: snapshotOf("compacted", 3, 1) },
    { ...noUpdate, group: 2, snapshot: snapshotOf("installed", 9, 1) },
  ]);
  const before = viewOf(log);
  expect(before.get(1)?.entries.length).toBe(2);
  expect(before.get(2)).toMatchObject({ entries: [], payloads: [], snapshot: "9/1/1,2,3" });
  expect(viewOf(await reopened(io, log))).toEqual(before);
});

test("a removed group is gone, and its number can begin anew", async () => {
  const io = memory();
  const log = await openLog(io);
  await log.append([created(1)]);
  await log.append([appended(1, 7, 1, 2, { payloadBytes: 5 })]);
  await log.append([{ ...noUpdate, group: 1, isRemoved: true }]);
  await log.append([created(1)]);
  await log.append([appended(1, 1, 1, 1)]);
  const before = viewOf(log);
  expect(before.get(1)).toMatchObject({ payloads: [], hardState: { term: 1 } });
  expect(viewOf(await reopened(io, log))).toEqual(before);
});

test("a write that failed breaks the log for good, and what it carried is not shown", async () => {
  const io = memory();
  const faulty = new FaultyIo({ io });
  const log = await openLog(faulty);
  await log.append([created(1)]);
  await log.append([appended(1, 1, 1, 1)]);
  faulty.setRules([{ on: "write", nth: 1, fail: "IO" }]);
  await expect(log.append([appended(1, 1, 2, 1)])).rejects.toThrow("a write failed");
  // The drive works again, but what it holds of the failed write is not known.
  await expect(log.append([appended(1, 1, 2, 1)])).rejects.toBe(log.broken);
  expect(log.groups.get(1)?.lastIndex).toBe(1);
  await log.close();
  const again = await openLog(io);
  expect(again.groups.get(1)?.lastIndex).toBe(1);
});

test("files go when nothing in them is needed; a group that stands still does not hold them", async () => {
  const io = memory();
  const log = await openLog(io, { reclaimBytes: 3 * (32 << 10) });
  await log.append([created(1), created(2), created(3)]);
  await log.append([appended(2, 1, 1, 3, { payloadBytes: 100 })]);
  let index = 0;
  for (let turn = 0; turn < 60; turn++) {
    await log.append([appended(1, 1, index + 1, 10, { dataBytes: 500 })]);
    index += 10;
    await log.append([{ ...noUpdate, group: 1, snapshot: snapshotOf("compacted", index - 5, 1) }]);
    await log.reclaim(() => false);
    expect(log.statistics.fileCount).toBeLessThanOrEqual(4);
  }
  expect(log.statistics.reclaimedFiles).toBeGreaterThan(5);
  expect(log.statistics.movedBytes).toBeGreaterThan(0);
  const before = viewOf(log);
  expect(before.get(2)?.entries.length).toBe(3);
  const again = await reopened(io, log);
  expect(viewOf(again)).toEqual(before);
  expect(await again.readPayload(2, 2)).toEqual(new Uint8Array(bytesOf(2, 2, 1, 100)));
  const { fileCount } = again;
  await again.close();
  expect((await io.list(directory)).length).toBe(fileCount);
});

test("a payload that the state still uses is kept after its entry was compacted away", async () => {
  const io = memory();
  const log = await openLog(io, { reclaimBytes: 2 * (32 << 10) });
  await log.append([created(1)]);
  await log.append([appended(1, 1, 1, 4, { payloadBytes: 2000 })]);
  await log.append([{ ...noUpdate, group: 1, snapshot: snapshotOf("compacted", 4, 1) }]);
  for (let index = 5; index < 200; index += 5) {
    await log.append([appended(1, 1, index, 5, { dataBytes: 400 })]);
    await log.append([{ ...noUpdate, group: 1, snapshot: snapshotOf("compacted", index + 3, 1) }]);
    await log.reclaim((_, payload) => payload === 2);
  }
  const again = await reopened(io, log);
  expect(await again.readPayload(1, 2)).toEqual(new Uint8Array(bytesOf(1, 2, 1, 2000)));
  await expect(again.readPayload(1, 3)).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("no more is moved than was appended, however much is in use", async () => {
  const log = await openLog(new MemoryIo({ random: seededRandom(1) }), { reclaimBytes: 2 * (32 << 10) });
  await log.append([created(1)]);
  for (let index = 1; index <= 60; index++) await log.append([appended(1, 1, index, 1, { payloadBytes: 3_600 })]);
  const appendedBytes = log.statistics.frameBytes;
  for (let tick = 0; tick < 10; tick++) await log.reclaim(() => true);
  const { movedBytes } = log.statistics;
  expect(movedBytes).toBeLessThan(appendedBytes + (32 << 10));
  for (let tick = 0; tick < 10; tick++) await log.reclaim(() => true);
  expect(log.statistics.movedBytes).toBe(movedBytes);
  await log.close();
});

test("a full log moves what is in use as long as that wins files", async () => {
  const fileBytes = 128 << 10;
  const options = { fileBytes, reclaimBytes: 2 * fileBytes, totalBytesMax: 8 * fileBytes };
  const log = await openLog(new MemoryIo({ random: seededRandom(1) }), options);
  await log.append([created(1)]);
  for (let index = 1; log.fileCount < 10; index++) await log.append([appended(1, 1, index, 1, { payloadBytes: 3_600 })]);
  for (let tick = 0; tick < 10; tick++) await log.reclaim(() => true);
  const { movedBytes } = log.statistics;
  await log.reclaim(() => true);
  expect([log.isFull, log.statistics.movedBytes]).toEqual([true, movedBytes]);
  const last = log.groups.get(1)?.lastIndex ?? 0;
  await log.append([{ ...noUpdate, group: 1, snapshot: snapshotOf("compacted", last, 1) }]);
  const isInUse = (_: number, index: number): boolean => index % 5 < 3;
  for (let tick = 0; tick < 5; tick++) await log.reclaim(isInUse);
  expect(log.isFull).toBe(false);
  expect(log.statistics.movedBytes).toBeGreaterThan(movedBytes);
  await log.close();
});

test("a missing file, a file of another node, and a newer format are refused by name", async () => {
  const io = memory();
  const log = await openLog(io);
  await log.append([created(1)]);
  for (let index = 1; index < 200; index += 10) await log.append([appended(1, 1, index, 10, { dataBytes: 400 })]);
  await log.close();
  await expect(openLog(io, { nodeId: "ee".repeat(16) })).rejects.toMatchObject({ code: "INVALID" });
  await io.unlink(`${directory}/0000000002.glog`);
  await expect(openLog(io)).rejects.toThrow("0000000002.glog of the group log in /groups is missing");
  await io.unlink(`${directory}/0000000001.glog`);
  await expect(openLog(io)).rejects.toMatchObject({ code: "CORRUPT" });
});

test("an append of several frames is whole after a power cut between them, up to where it came", async () => {
  for (let cut = 1; cut <= 8; cut++) {
    const io = memory();
    const faulty = new FaultyIo({ io });
    const log = await openLog(faulty);
    await log.append([created(1)]);
    faulty.setRules([{ on: "write", nth: cut, fail: "IO" }]);
    const update = appended(1, 3, 1, 40, { dataBytes: 1000, payloadBytes: 900 });
    const isWritten = await log.append([update]).then(
      () => true,
      () => false,
    );
    await log.close();
    const again = await openLog(io);
    const group = again.groups.get(1);
    expect(isWritten ? 40 : (group?.lastIndex ?? 0)).toBe(group?.lastIndex);
    // No entry is there without the payload that came with it.
    for (let index = 1; index <= (group?.lastIndex ?? 0); index++) expect(group?.hasPayload(index, 3)).toBe(true);
    await again.close();
  }
});

test("closing twice is fine, and afterwards nothing is taken", async () => {
  const io = memory();
  const log = await openLog(io);
  await Promise.all([log.close(), log.close()]);
  await expect(log.append([created(1)])).rejects.toBeInstanceOf(CfsError);
  io.pool.assertNoLeak();
});

test("decoders take nonsense without harm", () => {
  const { decoded, refused } = fuzzGroupLog(20_000, 7);
  expect(decoded).toBeGreaterThan(2000);
  expect(refused).toBeGreaterThan(2000);
});

test.each(["entries", "installed"] as const)(
  "a commit index is not there without what it was said of, when power fails in the middle of a large append (%s)",
  async (how) => {
    let oldCount = 0;
    let newCount = 0;
    for (let cutAt = 0; cutAt < 12; cutAt++) {
      let left = Number.MAX_SAFE_INTEGER;
      const io: MemoryIo = new MemoryIo({
        random: seededRandom(cutAt),
        schedule: (settle) => {
          if (left-- === 0) io.crash();
          queueMicrotask(settle);
        },
      });
      const log = await openLog(io);
      await log.append([created(1), created(2)]);
      // Entries 2 to 5 are of a leader that lost; entry 1 is committed.
      await log.append([{ ...appended(1, 1, 1, 5), hardState: { term: 1, vote: 1, commit: 1 } }]);
      left = cutAt;
      const hardState = { term: 2, vote: 0, commit: 5 };
      const update =
        how === "entries"
          ? { ...appended(1, 2, 2, 4, { dataBytes: 4000 }), hardState }
          : { ...noUpdate, group: 1, hardState, snapshot: snapshotOf("installed", 5, 2) };
      // Another group fills the frame of 16,000 bytes, so that it ends behind the hard state.
      await log.append([appended(2, 1, 1, 1, { dataBytes: 15_900 }), update]).catch(() => undefined);
      left = Number.MAX_SAFE_INTEGER;
      await log.close();
      const again = await openLog(io);
      const group = again.groups.get(1);
      const isOld = group?.term(5) === 1 || group?.term(2) === 1;
      if (isOld) oldCount++;
      else newCount++;
      if (isOld) expect([cutAt, group?.hardState.commit]).toEqual([cutAt, 1]);
      await again.close();
    }
    expect(oldCount).toBeGreaterThan(0);
    expect(newCount).toBeGreaterThan(0);
  },
);
