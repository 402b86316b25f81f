import { CfsError } from "@cfs/core";
import { describe, expect, it } from "vitest";

import { FaultyIo } from "../device/faulty-io.ts";
import type { IoFile } from "../device/io.ts";
import { bedWith, appendOne, durable, headOf, openOn, payloadOf, quiet, replayAll, surgery } from "./testing/journal-bed.ts";
import type { Bed } from "./testing/journal-bed.ts";
import type { Journal } from "./journal.ts";

async function fill(
  journal: Journal,
  bed: Bed,
  count: number,
  payloadBytes = 100,
): Promise<{ index: number; fileId: number; recordOffsetBytes: number }[]> {
  const places = [];
  for (let number = 0; number < count; number++) {
    places.push(appendOne(journal, payloadBytes));
    if (number % 7 === 6) await durable(journal, bed, journal.lastIndex);
  }
  await durable(journal, bed, journal.lastIndex);
  return places;
}

describe("appending", () => {
  it("gives places at once, tells durability in order, and finds everything again", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed);
    const places = await fill(journal, bed, 200);
    expect(places.map((place) => place.index)).toEqual(Array.from({ length: 200 }, (_, at) => at + 1));
    expect(bed.durableIndex).toBe(200);
    await journal.close();

    const again = await openOn(bed);
    const records = await replayAll(again);
    expect(records.map((record) => record.index)).toEqual(places.map((place) => place.index));
    for (const [at, record] of records.entries()) {
      expect({ fileId: record.fileId, at: record.recordOffsetBytes }).toEqual({
        fileId: places[at]?.fileId,
        at: places[at]?.recordOffsetBytes,
      });
      expect(record.head).toEqual(Buffer.from(headOf(record.index)));
      expect(record.payload).toEqual(Buffer.from(payloadOf(record.index, 100)));
    }
    await again.close();
    bed.memory.pool.assertNoLeak();
  });

  it("gathers the appends of one turn into one write per copy", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed);
    for (let number = 0; number < 50; number++) appendOne(journal, 0);
    await durable(journal, bed, 50);
    expect(journal.statistics.frameCount).toBe(1);
    await journal.close();
  });

  it("takes payloads of many views, rolls files and goes on after a restart", async () => {
    const bed = await bedWith();
    let journal = await openOn(bed);
    let index = 0;
    for (let round = 0; round < 4; round++) {
      for (let number = 0; number < 20; number++) {
        index++;
        journal.append(headOf(index, 33), [payloadOf(index, 3000), new Uint8Array(0), payloadOf(index, 777)]);
        await durable(journal, bed, index);
      }
      await journal.close();
      journal = await openOn(bed);
      expect(journal.lastIndex).toBe(index);
    }
    const records = await replayAll(journal);
    expect(records.length).toBe(index);
    expect(records.at(-1)?.payload).toEqual(Buffer.concat([payloadOf(index, 3000), payloadOf(index, 777)]));
    expect(new Set(records.map((record) => record.fileId)).size).toBeGreaterThan(4);
    await journal.close();
    bed.memory.pool.assertNoLeak();
  });

  it("refuses what no chunk can hold", async () => {
    const bed = await bedWith({ driveCount: 1 });
    const journal = await openOn(bed);
    expect(() => journal.append(headOf(1), [new Uint8Array(16 * 1024)])).toThrow(/TOO_BIG/);
    expect(journal.lastIndex).toBe(0);
    await journal.close();
  });

  it("makes callers wait when much is not durable yet", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed, { pendingBytesMax: 20_000 });
    expect(journal.whenRoom()).toBeNull();
    appendOne(journal, 12_000);
    appendOne(journal, 12_000);
    const room = journal.whenRoom();
    expect(room).not.toBeNull();
    await room;
    expect(journal.whenRoom()).toBeNull();
    await journal.close();
  });
});

/** Holds the writes of zeros to files in the making until it is told to let go, and notes which blocks of log files are read. */
class WatchedIo extends FaultyIo {
  readonly readPaths = new Set<string>();
  readonly #release = Promise.withResolvers<void>();
  heldCount = 0;

  letGo(): void {
    this.#release.resolve();
  }

  override async write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    if (file.path.includes("/filling-")) {
      this.heldCount++;
      await this.#release.promise;
    }
    return super.write(file, views, offsetBytes);
  }

  override read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number> {
    // The header and what is behind it are looked at in any case.
    if (offsetBytes + target.length > 16_384) this.readPaths.add(file.path);
    return super.read(file, target, offsetBytes);
  }
}

describe("starting", () => {
  it("waits for no file to be filled with zeros, and leaves the hasty file when the next is ready", async () => {
    const bed = await bedWith({ driveCount: 6 });
    const io = new WatchedIo({ io: bed.memory });
    const journal = await openOn(bed, {}, bed.drives, io);
    const first = appendOne(journal, 100);
    await durable(journal, bed, first.index);
    await quiet();
    expect(io.heldCount).toBe(3);
    expect(journal.files()[0]?.sizeBytes).toBe(20 * 1024);
    io.letGo();
    await quiet(200);
    const second = appendOne(journal, 100);
    await durable(journal, bed, second.index);
    expect(second.fileId).toBe(first.fileId + 1);
    expect(journal.files().at(-1)?.sizeBytes).toBe(64 * 1024);
    // A small file is no spare: the next use of it could not hold what a full one does.
    await quiet(200);
    expect(await journal.retire(first.index, () => false)).toBe(1);
    const names = (await Promise.all(bed.drives.map(({ path }) => bed.memory.list(`${path}/journal`)))).flat();
    expect(names.filter((name) => name.startsWith("spare-"))).toEqual([]);
    await journal.close();
  });

  it("takes the spares that are there, wherever they are", async () => {
    const bed = await bedWith({ driveCount: 6 });
    const sizes: (number | undefined)[] = [];
    for (let round = 0; round < 5; round++) {
      const journal = await openOn(bed);
      sizes.push(journal.files()[0]?.sizeBytes);
      await quiet(200);
      await journal.close();
    }
    expect(sizes).toEqual([20, 64, 64, 64, 64].map((kibibytes) => kibibytes * 1024));
  });

  it.each([
    { what: "a file that was made ready and never used is not read", isDamaged: false },
    { what: "a file whose first frame is damaged in one copy is", isDamaged: true },
  ])("$what", async ({ isDamaged }) => {
    const bed = await bedWith();
    const journal = await openOn(bed);
    await quiet(200);
    await fill(journal, bed, 60, 2000);
    await journal.close();
    const ids = (await bed.memory.list("/d0/journal")).flatMap((name) => (name.endsWith(".log") ? [Number.parseInt(name, 10)] : []));
    const unused = `/d1/journal/${String(Math.max(...ids)).padStart(10, "0")}.log`;
    if (isDamaged) await surgery(bed, unused, (bytes) => bytes.writeUInt8(7, 4096 + 99));
    const io = new WatchedIo({ io: bed.memory });
    io.letGo();
    const again = await openOn(bed, {}, bed.drives, io);
    expect(again.lastIndex).toBe(60);
    expect(io.readPaths.size).toBeGreaterThan(0);
    expect(io.readPaths.has(unused)).toBe(isDamaged);
    await again.close();
  });
});

describe("payloads", () => {
  it("come from memory while they are recent, and from the drives afterwards", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed);
    const places = await fill(journal, bed, 100, 5000);
    for (const place of places) {
      expect(Buffer.from(await journal.readPayload(place.fileId, place.recordOffsetBytes))).toEqual(
        Buffer.from(payloadOf(place.index, 5000)),
      );
    }
    const { cacheHitCount, driveReadCount } = journal.statistics;
    expect(cacheHitCount).toBeGreaterThan(0);
    expect(driveReadCount).toBeGreaterThan(0);
    await journal.close();
    bed.memory.pool.assertNoLeak();
  });

  it("are taken from another copy when one is wrong, which is repaired", async () => {
    const bed = await bedWith();
    let journal = await openOn(bed);
    const places = await fill(journal, bed, 30, 3000);
    await journal.close();
    const place = places[3] as (typeof places)[number];
    const name = `/journal/${String(place.fileId).padStart(10, "0")}.log`;
    journal = await openOn(bed);
    await surgery(bed, `/d0${name}`, (bytes) => bytes.fill(0xee, place.recordOffsetBytes + 200, place.recordOffsetBytes + 300));
    await surgery(bed, `/d1${name}`, (bytes) => bytes.fill(0xee, place.recordOffsetBytes + 8, place.recordOffsetBytes + 12));
    expect(Buffer.from(await journal.readPayload(place.fileId, place.recordOffsetBytes))).toEqual(
      Buffer.from(payloadOf(place.index, 3000)),
    );
    expect(journal.statistics.repairedCount).toBe(2);
    await surgery(bed, `/d2${name}`, (bytes) => bytes.fill(0, place.recordOffsetBytes, place.recordOffsetBytes + 3200));
    expect(Buffer.from(await journal.readPayload(place.fileId, place.recordOffsetBytes))).toEqual(
      Buffer.from(payloadOf(place.index, 3000)),
    );
    for (const drive of ["/d0", "/d1", "/d2"])
      await surgery(bed, `${drive}${name}`, (bytes) => bytes.fill(9, place.recordOffsetBytes, place.recordOffsetBytes + 70));
    await expect(journal.readPayload(place.fileId, place.recordOffsetBytes)).rejects.toThrow(/CORRUPT.*no whole record/);
    await journal.close();
  });
});

describe("a drive that fails", () => {
  it("is dropped, nothing is lost, and the next file lies on healthy drives", async () => {
    const bed = await bedWith({ driveCount: 5 });
    const journal = await openOn(bed);
    await fill(journal, bed, 20);
    const member = journal.files().find((file) => file.lastIndex === 20)?.driveIds[0] as string;
    const drive = bed.drives.find((one) => one.driveId === member);
    bed.io.setRules([{ on: "write", path: `${drive?.path}/**`, fail: "IO" }]);
    await fill(journal, bed, 30);
    expect(bed.failed).toEqual([drive?.path]);
    expect(journal.durableIndex).toBe(50);
    const last = journal.files().at(-1);
    expect(last?.driveIds.length).toBe(3);
    expect(last?.driveIds).not.toContain(member);
    await journal.close();
    const again = await openOn(
      bed,
      {},
      bed.drives.filter((one) => one !== drive),
    );
    expect((await replayAll(again)).length).toBe(50);
    await again.close();
  });

  it("and hangs is dropped after the time that others did not need", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed);
    await fill(journal, bed, 5);
    bed.io.setRules([{ on: "write", path: "/d1/**", fail: "slow", delayMs: 3_600_000 }]);
    appendOne(journal, 100);
    await quiet();
    expect(journal.durableIndex).toBe(5);
    bed.clock.advance(4000);
    await quiet();
    expect(journal.durableIndex).toBe(5);
    bed.clock.advance(1001);
    await durable(journal, bed, 6);
    expect(bed.failed).toEqual(["/d1"]);
    await fill(journal, bed, 10);
    expect(journal.files().at(-1)?.driveIds.length).toBe(2);
    bed.clock.advance(3_600_000);
    await quiet();
    await journal.close();
  });

  it("and hangs while a file is made ready on it holds up nobody", async () => {
    const bed = await bedWith({ driveCount: 4 });
    const journal = await openOn(bed);
    await quiet(200);
    await fill(journal, bed, 5);
    bed.io.setRules([{ on: "any", path: "/d1/**", fail: "slow", delayMs: 3_600_000 }]);
    // Fills the current file, so that the next one is needed, and the one after it begun.
    for (let number = 0; number < 40; number++) appendOne(journal, 5000);
    await quiet(100);
    bed.clock.advance(5001);
    await quiet();
    journal.dropDrive("1".padStart(32, "d"), new CfsError("TIMED_OUT", "the probe hangs"));
    await durable(journal, bed, journal.lastIndex);
    expect(journal.durableIndex).toBe(45);
    expect(bed.failed).toEqual(["/d1"]);
    bed.clock.advance(3_600_000);
    await quiet();
    await journal.close();
  });

  it("never leaves an acknowledgement with one copy while two drives are healthy", async () => {
    const bed = await bedWith({ driveCount: 4 });
    const journal = await openOn(bed);
    const places = await fill(journal, bed, 10, 900);
    const current = journal.files().at(-1);
    const [first, second] = (current?.driveIds ?? []).map((id) => bed.drives.find((drive) => drive.driveId === id)?.path as string);
    bed.io.setRules([
      { on: "write", path: `${first}/**`, fail: "IO" },
      { on: "write", path: `${second}/**`, fail: "IO" },
    ]);
    const place = appendOne(journal, 900);
    await durable(journal, bed, place.index);
    expect(new Set(bed.failed)).toEqual(new Set([first, second]));
    expect(journal.files().find((file) => file.fileId === place.fileId)?.driveIds.length).toBe(2);
    await quiet(100);
    await journal.close();
    // The copy made in haste is whole: without the old one everything is still there.
    const left = bed.drives.filter((drive) => drive.path !== first && drive.path !== second);
    const fresh = left.filter((drive) => !(current?.driveIds ?? []).includes(drive.driveId));
    expect(fresh.length).toBe(1);
    bed.io.setRules([]);
    const again = await openOn(bed, {}, fresh);
    expect((await replayAll(again)).map((record) => record.index)).toEqual([...places, place].map((one) => one.index));
    await again.close();
  });

  it("as the last one breaks the journal, loudly", async () => {
    const bed = await bedWith({ driveCount: 1 });
    const journal = await openOn(bed);
    await quiet(100);
    await fill(journal, bed, 3);
    bed.io.setRules([{ on: "write", fail: "IO" }]);
    appendOne(journal, 10);
    await quiet();
    expect(bed.broken).toBeInstanceOf(CfsError);
    expect(journal.durableIndex).toBe(3);
    expect(() => appendOne(journal, 10)).toThrow(/IO: no (copy|healthy drive)/);
    await expect(journal.whenRoom()).rejects.toThrow(/IO/);
    await journal.close();
  });

  it("and comes back old does no harm", async () => {
    const bed = await bedWith({ driveCount: 3 });
    let journal = await openOn(bed);
    await fill(journal, bed, 40);
    await journal.close();
    const without = bed.drives.slice(0, 2);
    journal = await openOn(bed, {}, without);
    await fill(journal, bed, 300);
    await journal.retire(200, () => false);
    await journal.close();
    journal = await openOn(bed, { appliedIndex: 200 });
    const records = await replayAll(journal, 201);
    expect(records.map((record) => record.index)).toEqual(Array.from({ length: 140 }, (_, at) => 201 + at));
    for (const record of records) expect(record.head).toEqual(Buffer.from(headOf(record.index)));
    await fill(journal, bed, 10);
    expect(journal.files().at(-1)?.driveIds.length).toBe(3);
    await journal.close();
  });

  it("at the start already is left out", async () => {
    const bed = await bedWith({ driveCount: 3 });
    let journal = await openOn(bed);
    await fill(journal, bed, 10);
    await journal.close();
    bed.io.setRules([{ on: "open", path: "/d0/**", fail: "IO" }]);
    journal = await openOn(bed);
    expect(bed.failed).toEqual(["/d0"]);
    expect((await replayAll(journal)).length).toBe(10);
    await fill(journal, bed, 10);
    expect(journal.files().at(-1)?.driveIds.length).toBe(2);
    await journal.close();
    bed.io.setRules([{ on: "list", fail: "IO" }]);
    await expect(openOn(bed)).rejects.toThrow(/IO/);
    bed.memory.pool.assertNoLeak();
  });

  it("or all that are full do not keep a node from starting, and what waits goes on when something is retired", async () => {
    const bed = await bedWith({ driveCount: 1, capacityBytes: 5 * 64 * 1024 });
    let journal = await openOn(bed, { copyCount: 1 });
    const places = [];
    while (places.length < 40 && journal.durableIndex === places.length) {
      places.push(appendOne(journal, 8000));
      await durable(journal, bed, places.length).catch(() => undefined);
      if (journal.durableIndex < places.length) await quiet(50);
    }
    const stuck = journal.lastIndex;
    expect(journal.durableIndex).toBeLessThan(stuck);
    expect(bed.broken).toBeNull();
    await journal.retire(journal.durableIndex, () => false);
    bed.clock.advance(2000);
    await durable(journal, bed, stuck);
    expect(journal.durableIndex).toBe(stuck);
    await journal.close();
    journal = await openOn(bed, { copyCount: 1, appliedIndex: stuck - 1 });
    expect((await replayAll(journal, stuck)).length).toBe(1);
    await journal.close();
  });

  it("leaves files with a copy too few, until they are protected again", async () => {
    const bed = await bedWith({ driveCount: 4 });
    const journal = await openOn(bed);
    await fill(journal, bed, 200);
    bed.io.setRules([{ on: "write", path: "/d2/**", fail: "IO" }]);
    await fill(journal, bed, 20);
    const lacking = journal.files().filter((file) => file.driveIds.length < 3);
    expect(lacking.length).toBeGreaterThan(1);
    expect(await journal.protect()).toBe(lacking.length);
    expect(journal.files().every((file) => file.driveIds.length === 3)).toBe(true);
    await journal.close();
    // Each of the three holds everything now.
    for (const drive of bed.drives.filter((one) => one.path !== "/d2")) {
      const one = await openOn(bed, { acceptLoss: true }, [drive]);
      expect((await replayAll(one)).length).toBe(220);
      await one.close();
      for (const name of await bed.memory.list(`${drive.path}/journal`)) {
        if (!lacking.concat(journal.files()).some((file) => name.startsWith(String(file.fileId).padStart(10, "0"))))
          await bed.memory.unlink(`${drive.path}/journal/${name}`);
      }
    }
  });

  it("and is one of two that are missing is asked for", async () => {
    const bed = await bedWith({ driveCount: 3 });
    const journal = await openOn(bed);
    await fill(journal, bed, 4);
    await journal.close();
    await expect(openOn(bed, {}, bed.drives.slice(0, 1))).rejects.toThrow(/NO_DEVICE: 2 of the 3 drives/);
    const forced = await openOn(bed, { acceptLoss: true }, bed.drives.slice(0, 1));
    expect(forced.lastIndex).toBe(4);
    await forced.close();
    bed.memory.pool.assertNoLeak();
  });
});

describe("retiring", () => {
  it("lets applied files without living payloads go, and uses them again without waking old records", async () => {
    const bed = await bedWith({ driveCount: 1 });
    let journal = await openOn(bed, { copyCount: 1 });
    let applied = 0;
    for (let round = 0; round < 12; round++) {
      await fill(journal, bed, 60, 700);
      applied = journal.durableIndex - 5;
      await journal.retire(applied, () => false);
    }
    expect(journal.files().length).toBeLessThan(5);
    await journal.close();
    const names = await bed.memory.list("/d0/journal");
    expect(names.length).toBeLessThan(8);
    journal = await openOn(bed, { copyCount: 1, appliedIndex: applied });
    const records = await replayAll(journal, applied + 1);
    expect(records.map((record) => record.index)).toEqual([1, 2, 3, 4, 5].map((more) => applied + more));
    await journal.close();
  });

  it("keeps files with living payloads, also over restarts, and their payloads can be read", async () => {
    const bed = await bedWith();
    let journal = await openOn(bed);
    const places = await fill(journal, bed, 300, 700);
    const kept = places[2] as (typeof places)[number];
    await journal.retire(journal.durableIndex, (fileId) => fileId === kept.fileId);
    expect(journal.hasFile(kept.fileId)).toBe(true);
    await journal.close();
    journal = await openOn(bed, { appliedIndex: 300 });
    expect(journal.lastIndex).toBe(300);
    expect(Buffer.from(await journal.readPayload(kept.fileId, kept.recordOffsetBytes))).toEqual(Buffer.from(payloadOf(kept.index, 700)));
    expect(await replayAll(journal, 301)).toEqual([]);
    await fill(journal, bed, 3);
    await journal.close();
    journal = await openOn(bed, { appliedIndex: 300 });
    expect((await replayAll(journal, 301)).length).toBe(3);
    await journal.close();
  });

  it("is what callers wait for when the files are full", async () => {
    const bed = await bedWith();
    const journal = await openOn(bed, { totalBytesMax: 3 * 64 * 1024 });
    while (journal.whenRoom() === null) await fill(journal, bed, 1, 8000);
    const room = journal.whenRoom();
    await journal.retire(journal.durableIndex, () => false);
    await room;
    expect(journal.whenRoom()).toBeNull();
    await journal.close();
  });
});

describe("cutting", () => {
  it("voids the entries above an index for good", async () => {
    const bed = await bedWith();
    let journal = await openOn(bed);
    await fill(journal, bed, 30);
    await journal.close();
    journal = await openOn(bed);
    await journal.truncateAfter(17);
    expect(journal.lastIndex).toBe(17);
    await journal.close();
    journal = await openOn(bed);
    expect(journal.lastIndex).toBe(17);
    journal.append(Buffer.from("the other 18"), []);
    await durable(journal, bed, 18);
    await journal.close();
    journal = await openOn(bed);
    const records = await replayAll(journal);
    expect(records.length).toBe(18);
    expect(Buffer.from(records[17]?.head ?? []).toString()).toBe("the other 18");
    await journal.close();
    bed.memory.pool.assertNoLeak();
  });
});
