/** Spare files: kept where the next file needs them, never more, and given back when their drive needs the space. */
import { expect, test } from "vitest";
import type { Bed } from "./testing/journal-bed.ts";
import { appendOne, bedWith, durable, openOn, quiet } from "./testing/journal-bed.ts";

async function spares(bed: Bed, drive = "/d0"): Promise<string[]> {
  return (await bed.memory.list(`${drive}/journal`)).filter((one) => one.startsWith("spare-"));
}

async function makeSpares(bed: Bed, sizes: readonly number[]): Promise<void> {
  await bed.memory.makeDirectory("/d0/journal");
  for (const [at, sizeBytes] of sizes.entries()) {
    const path = `/d0/journal/spare-${String(at).padStart(8, "0")}.log`;
    const file = await bed.memory.open(path, { direct: false, dataSync: true, create: true, exclusive: true, readOnly: false });
    await bed.memory.allocate(file, 0, sizeBytes);
    await bed.memory.close(file);
  }
}

const kibibyte = 1024;

test("a start removes spares that are too many, and those of another size", async () => {
  const bed = await bedWith({ driveCount: 6 });
  await makeSpares(
    bed,
    [16, 64, 16, 64, 64, 64, 128].map((size) => size * kibibyte),
  );
  const journal = await openOn(bed);
  // Two were kept; the first file of the run is made of one of them.
  expect(await spares(bed)).toHaveLength(1);
  expect(journal.spareBytes(bed.drives[0]?.driveId ?? "")).toBe(64 * kibibyte);
  await journal.close();
});

test("spares are given back when they are asked for, and the log goes on without", async () => {
  const bed = await bedWith({ driveCount: 6 });
  await makeSpares(bed, [64 * kibibyte, 64 * kibibyte]);
  const journal = await openOn(bed);
  const { driveId = "" } = bed.drives[0] ?? {};
  const before = journal.spareBytes(driveId);
  expect(before).toBeGreaterThan(0);
  expect(await journal.giveBackSpares(driveId)).toBe(before);
  expect([journal.spareBytes(driveId), await spares(bed)]).toEqual([0, []]);
  for (let number = 0; number < 100; number++) appendOne(journal, 2000);
  await durable(journal, bed, 100);
  await quiet(200);
  expect(bed.failed).toEqual([]);
  await journal.close();
});
