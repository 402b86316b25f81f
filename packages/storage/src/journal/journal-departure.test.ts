/** A drive that its owner takes away is no failure. */
import { CfsError } from "@cfs/core";
import { expect, test } from "vitest";
import { appendOne, bedWith, durable, openOn } from "./testing/journal-bed.ts";
import type { Bed } from "./testing/journal-bed.ts";
import type { Journal } from "./journal.ts";

async function fill(journal: Journal, bed: Bed, count: number): Promise<void> {
  for (let number = 0; number < count; number++) appendOne(journal, 100);
  await durable(journal, bed, journal.lastIndex);
}

test("a drive is an error in the log when it fails, and none when its owner takes it away", async () => {
  const bed = await bedWith({ driveCount: 4 });
  const journal = await openOn(bed);
  await fill(journal, bed, 5);
  journal.dropDrive("0".padStart(32, "d"), new CfsError("NO_DEVICE", "drive 0 leaves"));
  await fill(journal, bed, 5);
  expect([bed.failed, bed.errors]).toEqual([["/d0"], []]);
  bed.io.setRules([{ on: "write", path: "/d1/**", fail: "IO" }]);
  await fill(journal, bed, 5);
  expect([bed.failed, bed.errors]).toEqual([["/d0", "/d1"], ["the journal dropped a drive"]]);
  await journal.close();
});
