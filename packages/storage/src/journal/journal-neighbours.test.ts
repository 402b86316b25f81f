/** Records that are asked for together, as the packer does: few reads, every payload verified, and what one copy lacks from another. */
import { expect, it } from "vitest";

import { appendOne, bedWith, durable, openOn, payloadOf, surgery } from "./testing/journal-bed.ts";
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

it("of many neighbours come with few reads, from memory or a drive, and a wrong one from another copy", async () => {
  const bed = await bedWith();
  const journal = await openOn(bed);
  const places = await fill(journal, bed, 100, 1_500);
  const damaged = places[2] as (typeof places)[number];
  const name = `/journal/${String(damaged.fileId).padStart(10, "0")}.log`;
  for (const drive of ["/d0", "/d1"]) {
    await surgery(bed, `${drive}${name}`, (bytes) => bytes.fill(0xee, damaged.recordOffsetBytes + 200, damaged.recordOffsetBytes + 300));
  }
  for (const fileId of new Set(places.map((place) => place.fileId))) {
    const some = places.filter((place, at) => place.fileId === fileId && at % 7 !== 3);
    // Too small a guess of the sizes costs reads, not bytes.
    const wanted = some.map(({ recordOffsetBytes }, at) => ({ offsetBytes: recordOffsetBytes, payloadBytes: at % 2 === 0 ? 1_500 : 1 }));
    const payloads = await journal.readPayloads(fileId, wanted);
    expect(payloads.map((bytes) => Buffer.from(bytes))).toEqual(some.map(({ index }) => Buffer.from(payloadOf(index, 1_500))));
  }
  const { cacheHitCount, driveReadCount, repairedCount } = journal.statistics;
  expect(cacheHitCount).toBeGreaterThan(0);
  expect(driveReadCount).toBeGreaterThan(0);
  expect(driveReadCount).toBeLessThan(20);
  expect(repairedCount).toBeGreaterThan(0);
  await expect(journal.readPayloads(9_999, [])).rejects.toThrow(/NOT_FOUND/);
  await journal.close();
  bed.memory.pool.assertNoLeak();
});
