/** Segments that were written while drives were away, on a real engine: coded again when the drives are back, every byte the same. */
import { expect, test, vi } from "vitest";
import { EngineBed } from "./testing/engine-bed.ts";

const soon = { timeout: 30_000, interval: 50 };

async function layouts(bed: EngineBed): Promise<string[]> {
  const live = (await bed.segments()).filter(({ liveBytes }) => liveBytes > 0);
  return live.map(({ k, m }) => `${k}+${m}`).toSorted();
}

test("what 3, 4 and 5 drives got is 4+2 when six are there; in between only what gets safer moves", async () => {
  await using bed = await EngineBed.start();
  const { segments, recoder } = bed.engine;
  segments.memberCount = 6;
  const [a, b, c] = [bed.create(), bed.create(), bed.create()];
  const away = [5, 4, 3].map((index) => {
    const containers = segments.removeDrive(index);
    return containers ?? expect.unreachable("the drive was there");
  });
  await bed.write({ ino: a, offsetBytes: 0, lengthBytes: 1_300_000 });
  bed.copy(a, 300_000, c, 100, 200_000);
  expect(await layouts(bed)).toEqual(["2+1"]);

  segments.addDrive(away[2] ?? expect.unreachable("no drive"));
  await bed.write({ ino: b, offsetBytes: 0, lengthBytes: 900_000 });
  await vi.waitFor(async () => expect(await layouts(bed)).toEqual(["2+2", "2+2"]), soon);
  expect(await bed.check()).toEqual([]);

  segments.addDrive(away[1] ?? expect.unreachable("no drive"));
  await bed.write({ ino: c, offsetBytes: 2_000_000, lengthBytes: 700_000 });
  const moved = recoder.progress.bytes;
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  expect(await layouts(bed)).toEqual(["2+2", "2+2", "3+2"]);
  expect(recoder.progress.bytes).toBe(moved);

  segments.addDrive(away[0] ?? expect.unreachable("no drive"));
  await vi.waitFor(async () => expect(new Set(await layouts(bed))).toEqual(new Set(["4+2"])), soon);
  // 1,300,000 twice, the rest once; what two files share is not doubled.
  await vi.waitFor(() => expect(recoder.progress).toEqual({ waiting: 0, recoded: 4, bytes: 1_300_000 * 2 + 900_000 + 700_000 }), soon);
  expect(await bed.check()).toEqual([]);
}, 120_000);
