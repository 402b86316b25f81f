/** What walks say of suspects: who is needed at once, who is not until somebody takes it. */
import { silentLogger, systemClock } from "@cfs/core";
import type { SegmentId } from "@cfs/core";
import { expect, test, vi } from "vitest";
import { ReferenceWalk } from "./reference-walk.ts";
import { EngineBed } from "./testing/engine-bed.ts";

const soon = { timeout: 25_000, interval: 50 };

/** Stands until it is told to go on; what is due after any time is due after a millisecond. */
class StandingClock {
  nowMs = 0;
  readonly wallTime = systemClock().wallTime;
  readonly monotonicMs = (): number => this.nowMs;
  readonly after = (_delayMs: number, callback: () => void): (() => void) => systemClock().after(1, callback);
}

/** A walk over the bed's state; `walked` makes it walk once more, for these suspects. */
function walkOf(bed: EngineBed): { walk: ReferenceWalk; walked: (...suspects: readonly SegmentId[]) => Promise<void> } {
  const clock = new StandingClock();
  const walk = new ReferenceWalk({ state: bed.engine.state, availableBytes: () => 0, clock, logger: silentLogger });
  const walked = async (...suspects: readonly SegmentId[]): Promise<void> => {
    const before = walk.walks;
    for (const id of suspects) walk.suspect(id);
    clock.nowMs += 60_000;
    await vi.waitFor(() => {
      walk.wake();
      expect(walk.walks).toBe(before + 1);
    }, soon);
  };
  return { walk, walked };
}

test("what was found for the compactor stays over later walks until it is taken", async () => {
  await using bed = await EngineBed.start();
  const ino = bed.create();
  for (const offsetBytes of [0, 100_000]) await bed.write({ ino, offsetBytes, lengthBytes: 100_000 });
  const [first, second] = (await bed.segments()).map(({ id }) => id) as [SegmentId, SegmentId];
  const { walk, walked } = walkOf(bed);
  walk.want(first);
  await walked();
  walk.want(second);
  await walked(first);
  expect(walk.take(first)?.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)).toBe(100_000);
  expect(walk.take(first)).toBeUndefined();
  expect(walk.take(second)).not.toHaveLength(0);
  await walk.close();
}, 60_000);

test("a suspect that is needed is told, one that is not stays unneeded over later walks, once", async () => {
  await using bed = await EngineBed.start();
  const ino = bed.create();
  for (const offsetBytes of [0, 100_000]) await bed.write({ ino, offsetBytes, lengthBytes: 100_000 });
  const [dead, living] = (await bed.segments()).map(({ id }) => id) as [SegmentId, SegmentId];
  bed.punch(ino, 0, 100_000);

  const { walk, walked } = walkOf(bed);
  const needed: SegmentId[] = [];
  walk.onNeeded = (id) => needed.push(id);
  expect(walk.takeUnneeded(dead)).toBe(false);
  await walked(dead, living);
  expect(needed).toEqual([living]);
  await walked(living);
  expect([walk.takeUnneeded(living), walk.takeUnneeded(dead), walk.takeUnneeded(dead)]).toEqual([false, true, false]);
  await walk.close();
}, 60_000);
