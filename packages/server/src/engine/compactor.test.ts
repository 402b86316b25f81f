/** Compaction on a real engine: bytes held by parts of chunks come free, shared chunks move and stay shared, and nothing is lost while files change. */
import { setTimeout } from "node:timers/promises";
import { seededRandom } from "@cfs/storage";
import { expect, test, vi } from "vitest";
import { EngineBed } from "./testing/engine-bed.ts";

const mebi = 1 << 20;
const soon = { timeout: 25_000, interval: 50 };

async function storedBytes(bed: EngineBed): Promise<number> {
  return bed.engine.state.content.usage().segmentStoredBytes;
}

test("overwrites of small parts do not hold the rest of their chunks", async () => {
  await using bed = await EngineBed.start();
  const ino = bed.create();
  await bed.write({ ino, offsetBytes: 0, lengthBytes: 2 * mebi });
  const [old] = await bed.segments();
  // 12 of each 16 KiB: every chunk keeps references.
  const holes = Array.from({ length: 128 }, (_, index) => ({ ino, offsetBytes: index * 16_384, lengthBytes: 12_288 }));
  await bed.write(...holes);
  expect(old?.chunks.length).toBeGreaterThan(8);
  expect(bed.engine.state.content.segment(old?.id ?? (0 as never))?.chunks.every(({ refs }) => refs > 0)).toBe(true);
  await vi.waitFor(async () => expect((await bed.segments()).map(({ id }) => id)).not.toContain(old?.id), soon);
  expect(await storedBytes(bed)).toBeLessThan(2.1 * mebi);
  expect(bed.engine.compactor.bytesMoved).toBe(mebi / 2);
  expect(await bed.check()).toEqual([]);
}, 60_000);

test("chunks that other files share are found, moved once, and stay shared", async () => {
  await using bed = await EngineBed.start();
  const [a, b, c] = [bed.create(), bed.create(), bed.create()];
  await bed.write({ ino: a, offsetBytes: 0, lengthBytes: 2 * mebi });
  const [old] = await bed.segments();
  bed.copy(a, 100_000, b, 5_000_000, 300_000);
  bed.copy(a, 250_000, c, 0, 300_000);
  bed.copy(b, 5_100_000, b, 77, 50_000);
  bed.punch(a, 0, 2 * mebi);
  await vi.waitFor(async () => expect((await bed.segments()).map(({ id }) => id)).not.toContain(old?.id), soon);
  // [100000, 550000) of the old file, once: three copies of it would be 650000.
  expect(bed.engine.compactor.bytesMoved).toBe(450_000);
  expect(await storedBytes(bed)).toBeLessThan(452_000);
  expect(await bed.check()).toEqual([]);
}, 60_000);

test.each([1, 2, 3])(
  "files that change while their segments move keep every byte (seed %i)",
  async (seed) => {
    await using bed = await EngineBed.start();
    const random = seededRandom(seed);
    const below = (max: number): number => Math.floor(random.next() * max);
    const files = [bed.create(), bed.create(), bed.create()];
    const any = () => files[below(files.length)] ?? bed.create();
    for (const ino of files) await bed.write({ ino, offsetBytes: 0, lengthBytes: 1_500_000 });
    let isEnd = false;
    const compacting = (async () => {
      while (!isEnd) {
        await bed.engine.compactor.compact(await bed.segments());
        await setTimeout(1);
      }
    })();
    for (let step = 0; step < 120; step++) {
      const lengthBytes = 1 + below(60_000);
      const ino = any();
      if (step % 3 === 0) await bed.write(...[0, 1, 2].map(() => ({ ino, offsetBytes: below(1_400_000), lengthBytes: 1 + below(20_000) })));
      else if (step % 3 === 1) {
        const other = any();
        if (other !== ino) bed.copy(ino, below(1_400_000), other, below(1_400_000), Math.min(lengthBytes, 99_000));
      } else bed.punch(ino, below(1_400_000), lengthBytes);
      if (step % 10 === 0) await bed.engine.reclaimer.round();
    }
    isEnd = true;
    await compacting;
    expect(bed.engine.compactor.segmentsCompacted).toBeGreaterThan(3);
    expect(await bed.check()).toEqual([]);
  },
  60_000,
);
