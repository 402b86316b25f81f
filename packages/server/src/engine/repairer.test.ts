/** Repair on a real engine: where two fragments of a segment are lost and one drive is free, one comes back and the other is counted. */
import { expect, test } from "vitest";
import { EngineBed } from "./testing/engine-bed.ts";

test("two fragments of a segment never share a drive, and those without one are counted until a drive comes", async () => {
  await using bed = await EngineBed.start(7);
  const { segments, repairer } = bed.engine;
  segments.memberCount = 7;
  const ino = bed.create();
  const count = 24;
  for (let index = 0; index < count; index++) await bed.write({ ino, offsetBytes: index * 100_000, lengthBytes: 100_000 });
  const [five, six] = [5, 6].map((index) => segments.removeDrive(index) ?? expect.unreachable("the drive was there"));
  if (five === undefined || six === undefined) expect.unreachable("two drives left");
  const lost = (await bed.segments()).flatMap(({ places }) => places.filter(({ drive }) => drive > 4)).length;
  expect(lost).toBeGreaterThan(count);

  // Five drives are left for six fragments: each segment has one that no drive is free for.
  await repairer.addMissing();
  await repairer.drain();
  expect(repairer.progress).toMatchObject({ queued: 0, homeless: count, repaired: lost - count, problems: [] });
  for (const { places } of await bed.segments()) expect(new Set(places.map(({ drive }) => drive)).size).toBe(6);

  segments.addDrive(five);
  await repairer.addMissing();
  await repairer.drain();
  expect(repairer.progress).toMatchObject({ queued: 0, homeless: 0, problems: [] });
  for (const { places } of await bed.segments()) expect(new Set(places.map(({ drive }) => drive))).toEqual(new Set([0, 1, 2, 3, 4, 5]));
  expect(await bed.check()).toEqual([]);
});
