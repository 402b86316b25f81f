/** What a check and a scrub say about fragments: which segment, on which drive, whose bytes, and one line for a drive that is not there. */
import { silentLogger, systemClock } from "@cfs/core";
import { expect, test } from "vitest";
import { EngineBed } from "../engine/testing/engine-bed.ts";
import { missingMember } from "./drive-record.ts";
import { fsck } from "./fsck.ts";
import { scrub } from "./scrub.ts";

const never = new AbortController().signal;
const clock = { ...systemClock(), after: (_delayMs: number, callback: () => void) => systemClock().after(1, callback) };

interface Step {
  readonly findings: readonly string[];
}

async function findingsOf(steps: AsyncIterable<Step>): Promise<string[]> {
  const found: string[] = [];
  for await (const { findings } of steps) found.push(...findings);
  return found;
}

test("a wrong header names segment and drive, a missing drive is one line with a count", async () => {
  await using bed = await EngineBed.start();
  const { engine } = bed;
  const { segments } = engine;
  segments.memberCount = 6;
  const members = Array.from({ length: 6 }, (_, index) =>
    missingMember(index, `${index}abcdef0${"0".repeat(24)}`, `/srv/d${index + 1}`, ""),
  );
  const driveSet = { members, noteWrongFragment: () => undefined };
  const parts = { engine, store: bed, driveSet, clock, logger: silentLogger };
  const ino = bed.create();
  for (let index = 0; index < 5; index++) await bed.write({ ino, offsetBytes: index * 100_000, lengthBytes: 100_000 });

  const [segment] = await bed.segments();
  const fragment = segment?.places.findIndex(({ drive }) => drive === 2) ?? -1;
  const place = segment?.places[fragment] ?? expect.unreachable("the segment has a fragment on every drive");
  const lost = (await bed.segments()).filter(({ places }) => places.some(({ drive }) => drive === 4)).length;
  const page = await bed.io.pool.takeOrWait(4096);
  await segments.containersOf(2)?.write(place, page.fill(1));
  bed.io.pool.give(page);
  const isOf = `fragment ${fragment} of segment ${segment?.id} on drive 2abcdef0 (/srv/d3): fragment header: a fragment header does not begin with its magic`;
  const named = `${isOf}; holds parts of /f3`;
  expect(await findingsOf(fsck(parts, { repair: false }, never))).toEqual([named]);

  segments.removeDrive(4);
  const absent = `drive 4abcdef0 (/srv/d5) is not there: ${lost} fragments of it are missing; bring it back (cfs admin drive add DIR), or put another in its place (cfs admin drive replace)`;
  expect(await findingsOf(fsck(parts, { repair: false }, never))).toEqual([named, absent]);
  const scrubbed = await findingsOf(scrub(parts, { driveId: "", bytesPerSecondMax: 0 }, null, never));
  expect(scrubbed).toEqual([
    absent,
    expect.stringMatching(/^fragment \d of segment \d+ on drive 2abcdef0 \(\/srv\/d3\): .*magic; repaired/),
  ]);
  expect(await findingsOf(fsck(parts, { repair: true }, never))).toEqual([absent]);
});

test("what cannot be repaired says what is missing for that", async () => {
  await using bed = await EngineBed.start();
  const { engine } = bed;
  const driveSet = { members: [], noteWrongFragment: () => undefined };
  const ino = bed.create();
  await bed.write({ ino, offsetBytes: 0, lengthBytes: 100_000 });
  const [segment] = await bed.segments();
  const page = await bed.io.pool.takeOrWait(4096);
  for (const place of segment?.places.slice(0, 3) ?? []) await engine.segments.containersOf(place.drive)?.write(place, page.fill(1));
  bed.io.pool.give(page);
  const parts = { engine, store: bed, driveSet, clock, logger: silentLogger };
  const findings = await findingsOf(scrub(parts, { driveId: "", bytesPerSecondMax: 0 }, null, never));
  expect(findings).toHaveLength(3);
  for (const finding of findings)
    expect(finding).toContain("not repaired (segment 4097: only 3 of the 4 fragments that are needed can be read)");
});
