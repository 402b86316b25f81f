import * as fc from "fast-check";
import { expect, test } from "vitest";
import { computeCapacity } from "../engine/capacity.ts";
import { explainSpace } from "./space.ts";

const gibibyte = 2 ** 30;

test("the parts add up to the whole, whatever is stored, shared or missing", () => {
  const drive = fc.record({
    device: fc.integer({ min: 1, max: 3 }),
    totalBytes: fc.integer({ min: 1, max: 100 }).map((size) => size * gibibyte),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    preparedBytes: fc.integer({ min: 0, max: 1 << 30 }),
  });
  const bytes = fc.integer({ min: 0, max: 200 * gibibyte });
  fc.assert(
    fc.property(
      fc.array(drive, { minLength: 1, maxLength: 8 }),
      bytes,
      bytes,
      bytes,
      bytes,
      bytes,
      (drives, live, dead, parity, journalBytes, stateBytes) => {
        const sizes = new Map(drives.map((one) => [one.device, one]));
        const spaces = drives.map(({ device, preparedBytes }, index) => {
          const { totalBytes, share } = sizes.get(device) as (typeof drives)[number];
          return { drive: index, device, totalBytes, freeBytes: Math.floor(totalBytes * share), preparedBytes };
        });
        const usage = {
          inodes: 1,
          allocatedBytes: 0,
          segmentLiveBytes: live,
          segmentStoredBytes: live + dead,
          fragmentBytes: live + dead + parity,
          segments: 1,
          journalLiveBytes: 0,
          reservedBytes: 0,
        };
        const space = explainSpace(usage, computeCapacity(spaces), { journalBytes, stateBytes });
        const { liveBytes, deadBytes, parityBytes, otherBytes, absentBytes, preparedBytes, reserveBytes, freeBytes } = space;
        const usedBytes = liveBytes + deadBytes + parityBytes + space.journalBytes + space.stateBytes + otherBytes - absentBytes;
        expect(usedBytes + preparedBytes + reserveBytes + freeBytes).toBe(space.rawTotalBytes);
        expect(Math.min(otherBytes, absentBytes, reserveBytes, freeBytes)).toBeGreaterThanOrEqual(0);
        expect(Math.min(otherBytes, absentBytes)).toBe(0);
      },
    ),
  );
});
