/** Needs the addon (pnpm native) and a real directory. A process that writes is killed again and again; whatever it said was durable is there. */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, expect, it } from "vitest";

const child = fileURLToPath(new URL("./testing/killed-journal.ts", import.meta.url));
let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "cfs-journal-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Runs the child until it said `lineCount` lines, and kills it. */
async function life(copies: number, applied: number, lineCount: number): Promise<string[]> {
  const process_ = spawn(process.execPath, ["--conditions=cfs-source", child, root, String(copies), String(applied)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  process_.stderr.on("data", (data: Buffer) => {
    errors += data.toString();
  });
  await new Promise<void>((resolve) => {
    process_.stdout.on("data", (data: Buffer) => {
      output += data.toString();
      if (output.split("\n").length > lineCount) process_.kill("SIGKILL");
    });
    process_.once("close", () => resolve());
  });
  expect(errors).toBe("");
  return output.split("\n").slice(0, -1); // A line that was cut is not said.
}

it.each([1, 3])("nothing acknowledged is lost with a process that is killed, %i copies", { timeout: 60_000 }, async (copies) => {
  for (let number = 0; number < copies; number++) await mkdir(join(root, `d${number}`));
  let acknowledged = 0;
  let applied = 0;
  for (let round = 0; round < 6; round++) {
    const lines = await life(copies, applied, 3 + round * 40);
    expect(lines.filter((line) => line.startsWith("wrong"))).toEqual([]);
    const found = Number(lines.find((line) => line.startsWith("found"))?.slice(6));
    expect(found).toBeGreaterThanOrEqual(acknowledged);
    acknowledged = Math.max(found, ...lines.filter((line) => line.startsWith("durable")).map((line) => Number(line.slice(8))));
    applied = Math.max(applied, acknowledged - 700);
  }
  expect(acknowledged).toBeGreaterThan(500);
});
