import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { mountUsers, whoUses } from "./mount-users.ts";

function folder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "cfs-users-")));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("a process is named by what it holds: working directory, then open file; this process is left out", async () => {
  const base = folder();
  const file = openSync(`${base}/held`, "w");
  const inside = spawn("sh", ["-c", "echo; exec sleep 60"], { cwd: base, stdio: ["ignore", "pipe", "ignore"] });
  const holder = spawn("sh", ["-c", "echo; exec sleep 60"], { cwd: "/", stdio: ["ignore", "pipe", file] });
  onTestFinished(() => void [inside, holder].map((child) => child.kill("SIGKILL")));
  await Promise.all([inside, holder].map(async ({ stdout }) => stdout === null || once(stdout, "data")));
  const users = mountUsers(base);
  expect(users.map(({ pid, how, path }) => [pid, how, path])).toEqual([
    [inside.pid, "working directory", base],
    [holder.pid, "open file", `${base}/held`],
  ]);
  closeSync(file);
  expect(whoUses(base, [])).toContain(`(process ${inside.pid}, working directory ${base})`);
});

test("mounts on top are named, and where nobody is seen it says so", () => {
  const base = folder();
  const above = { source: "none", mountpoint: `${base}/tmp`, type: "tmpfs", options: "rw" };
  expect(whoUses(base, [above, { ...above, mountpoint: `${base}2/tmp` }])).toBe(`it is used by a mount of tmpfs at ${base}/tmp`);
  expect(whoUses(base, [])).toMatch(/cannot be seen from here/);
});
