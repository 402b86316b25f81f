import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { runCli } from "../program.ts";
import { memoryUi } from "../testing.ts";

async function cfs(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const memory = memoryUi({});
  const code = await runCli(args, memory.parts);
  return { code, out: memory.outText(), err: memory.errText() };
}

/** A directory that could be a mount point or a drive. */
const empty = mkdtempSync(join(tmpdir(), "cfs-texts-"));
afterAll(() => rmSync(empty, { recursive: true }));

/** Port 1 is reserved; nothing listens there. */
const nowhere = "127.0.0.1:1";

const leaves = [
  ["server", "start"],
  ["admin", "status"],
  ["admin", "shutdown"],
  ["admin", "scrub"],
  ["admin", "drive", "list"],
  ["admin", "drive", "add"],
  ["admin", "drive", "remove"],
  ["admin", "drive", "replace"],
];

test.each(leaves)("cfs %s %s %s has help with examples and --json", async (...words) => {
  const { code, out } = await cfs(...words.filter((word) => word !== undefined), "--help");
  expect(code).toBe(0);
  expect(out).toMatch(/Examples:\n {2}cfs /);
  expect(out).toContain("--json");
});

test.each([
  [["admin", "status"]],
  [["admin", "drive", "list"]],
  [["admin", "drive", "add", empty]],
  [["admin", "drive", "remove", "abcd"]],
  [["admin", "scrub"]],
  [["fsck"]],
  [["mount", empty]],
])("cfs %j without a server names the address and the cause", async (args) => {
  const { code, out, err } = await cfs(...args, "--server", nowhere);
  expect([code, out]).toEqual([1, ""]);
  expect(err).toMatch(/^cfs: UNREACHABLE: .*127\.0\.0\.1:1.*\n {2}check the address/);
  expect(err.trimEnd().split("\n")).toHaveLength(2);
});

test("with --json a failed call is one JSON value", async () => {
  const { code, out, err } = await cfs("admin", "status", "--server", nowhere, "--json");
  expect([code, err]).toEqual([1, ""]);
  expect(JSON.parse(out)).toMatchObject({ error: { code: "UNREACHABLE" } });
});

test("status goes on when a server does not answer, and says so with exit code 3", async () => {
  const { code, out, err } = await cfs("status", "--server", nowhere);
  expect([code, err]).toEqual([3, ""]);
  expect(out).toContain("server 127.0.0.1:1  no answer");
  const json = await cfs("status", "--server", nowhere, "--json");
  expect(JSON.parse(json.out)).toMatchObject({ servers: [{ server: nowhere, status: null, error: { code: "UNREACHABLE" } }] });
});

test.each([
  [["admin"], "a command is missing"],
  [["server"], "a command is missing"],
  [["server", "start"], "no drive is named"],
  [["server", "start", "--data", "/a", "--listen", "x y"], '"x y" is not an address'],
  [["server", "start", "--data", "/a", "--log", "loud"], '"loud" is not a log level'],
  [["help", "nosuch"], "unknown command 'nosuch'"],
  [["mount", ""], "a path is wanted here"],
  [["umount", ""], "a path is wanted here"],
  [["admin", "drive", "add", ""], "a path is wanted here"],
  [["mount"], "missing required argument 'mountpoint'"],
  [["mount", "/tmp", "--cache-mode", "fast"], "Allowed choices are writeback, writethrough, none"],
  [["mount", "/tmp", "--uid", "joe"], '"joe" is not a whole number'],
  [["umount"], "missing required argument 'mountpoint'"],
  [["mount-helper", "h:1", "/m", "-o", "made-up"], 'unknown mount option "made-up"'],
  [["admin", "drive", "remove"], "missing required argument 'drive'"],
  [["admin", "scrub", "--rate", "fast"], '"fast" is not a size'],
])("cfs %j is wrong usage", async (args, message) => {
  const { code, out, err } = await cfs(...args);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain(message);
});

test("mount refuses what cannot be a mount point, before it asks any server", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cfs-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "file");
  writeFileSync(file, "");
  expect((await cfs("mount", "--server", nowhere, join(folder, "none"))).err).toMatch(/^cfs: NOT_FOUND: .*none does not exist/);
  expect((await cfs("mount", "--server", nowhere, file)).err).toMatch(/^cfs: NOT_DIRECTORY: .*file is not a directory/);
  expect((await cfs("umount", folder)).err).toMatch(/is not a mount point/);
});

test("the mount helper is silent about what it need not do", async () => {
  expect(await cfs("mount-helper", "h:1", "/m", "-f", "-o", "rw")).toEqual({ code: 0, out: "", err: "" });
});
