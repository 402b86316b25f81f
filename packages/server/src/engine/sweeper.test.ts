/** When the count of segments proves that nothing was overlooked. */
import { silentLogger, systemClock } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import { expect, test } from "vitest";
import { Sweeper } from "./sweeper.ts";
import { EngineBed } from "./testing/engine-bed.ts";

async function bedWithSegments(count: number): Promise<EngineBed> {
  const bed = await EngineBed.start();
  for (let number = 0; number < count; number++) await bed.write({ ino: bed.create(), offsetBytes: 0, lengthBytes: 1 << 20 });
  await bed.engine.driver.checkpoint();
  return bed;
}

function sweeperOf({ engine }: EngineBed): Sweeper {
  return new Sweeper({ state: engine.state, store: engine.segments, clock: systemClock(), logger: silentLogger });
}

test("segments that come since the start do not keep the sweep from its proof", async () => {
  await using bed = await bedWithSegments(3);
  const sweeper = sweeperOf(bed);
  const ino = bed.create();
  for (let round = 0; round < 3; round++) {
    const [isProven] = await Promise.all([sweeper.sweep(), bed.write({ ino, offsetBytes: round << 20, lengthBytes: 1 << 20 })]);
    expect(isProven).toBe(true);
  }
});

test("an old segment that goes during the walk does, until the next walk", async () => {
  await using bed = await bedWithSegments(3);
  const sweeper = sweeperOf(bed);
  const [first] = await bed.segments();
  const walk = sweeper.sweep();
  sweeper.dropped(first?.id as SegmentId);
  // The record is still there: the count proves nothing, now or later.
  expect([await walk, await sweeper.sweep()]).toEqual([false, false]);
  sweeper.dropped(1_000_000 as SegmentId);
  expect(await sweeperOf(bed).sweep()).toBe(true);
});
