/** A process that flushes is killed again and again: every member holds the state of one exact write, and nothing flushed is lost. */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { silentLogger } from "@cfs/core";
import { afterEach, beforeEach, expect, it } from "vitest";

import { crc32cTable } from "../journal/crc32c.ts";
import { MirroredKv } from "./mirrored-kv.ts";

const child = fileURLToPath(new URL("./testing/killed-kv.ts", import.meta.url));
const clock = { wallTime: () => ({ sec: 0, nsec: 0 }), monotonicMs: () => 0, after: () => () => undefined };
let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "cfs-kv-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function life(directories: readonly string[], lineCount: number): Promise<number> {
  const process_ = spawn(process.execPath, ["--conditions=cfs-source", child, ...directories], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  process_.stderr.on("data", (data: Buffer) => {
    errors += data.toString();
  });
  await new Promise<void>((resolve) => {
    process_.stdout.on("data", (data: Buffer) => {
      output += data.toString();
      if (output.split("\n").length > lineCount) setTimeout(() => process_.kill("SIGKILL"), lineCount % 5);
    });
    process_.once("close", () => resolve());
  });
  expect(errors).toBe("");
  expect(output).not.toMatch(/wrong/);
  return Number(/flushed (\d+)\n[^\n]*$/.exec(output)?.[1] ?? 0);
}

/** The number that the member's state is of; every key must agree. */
async function stateOf(directory: string): Promise<number> {
  const listener = { onMemberFailed: () => undefined, onResync: () => undefined };
  const kv = await MirroredKv.open({ crc32c: crc32cTable, clock, log: silentLogger }, [directory], listener, { storeId: "node" });
  const number = kv.appliedIndex;
  const text = String(number).padStart(10, "0");
  for (let key = 0; key < 8; key++) expect(Buffer.from(kv.get(`key ${key}`) ?? []).toString("latin1", 0, 10)).toBe(text);
  expect(kv.get(`once ${number}`)).not.toBeNull();
  expect(kv.get(`once ${number + 1}`)).toBeNull();
  await kv.close();
  return number;
}

it("a state store is at one exact write on every member after kill -9", { timeout: 60_000 }, async () => {
  const directories = ["a", "b", "c"].map((name) => join(root, name));
  for (let round = 1; round <= 5; round++) {
    const flushed = await life(directories, round * 4);
    for (const directory of directories) expect(await stateOf(directory)).toBeGreaterThanOrEqual(flushed);
  }
});
