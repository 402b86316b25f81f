import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mustBeFit, mustBeOutsideCfs } from "./new-drives.ts";

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "cfs-new-drives-"));
  for (const name of ["a", "b", "small"]) mkdirSync(join(base, name));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

test("directories of a usual file system are fit, and stay empty", async () => {
  await mustBeFit([join(base, "a"), join(base, "b")]);
  expect(readdirSync(join(base, "a"))).toEqual([]);
});

test("one directory under two names is refused", async () => {
  symlinkSync("a", join(base, "link"));
  await expect(mustBeFit([join(base, "a"), join(base, "link")])).rejects.toThrow(/INVALID: .*link is the same directory as .*a;/);
});

test("a directory inside a cfs mount is refused, and the mount is not touched", () => {
  const mount = { source: "127.0.0.1:9400", mountpoint: join(base, "mnt"), type: "fuse.cfs", options: "rw" };
  symlinkSync("mnt/inside", join(base, "link"));
  mustBeOutsideCfs([join(base, "a")], [mount]);
  for (const path of ["mnt", "mnt/d1", "link"]) {
    expect(() => mustBeOutsideCfs([join(base, "a"), join(base, path)], [mount])).toThrow(/INVALID: .* is inside the cfs mount at .*mnt;/);
  }
});

// Needs root, for mount(2).
test.skipIf(process.getuid?.() !== 0)("a small and a read-only file system are refused, each with its reason", async () => {
  const small = join(base, "small");
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=20m", "none", small]);
  try {
    await expect(mustBeFit([join(base, "a"), small])).rejects.toThrow(/NO_SPACE: .*20 MiB; a drive needs 128 MiB/);
    execFileSync("mount", ["-o", "remount,ro", small]);
    await expect(mustBeFit([small])).rejects.toThrow(/READ_ONLY: .*small is on a read-only file system/);
  } finally {
    execFileSync("umount", ["-l", small]);
  }
});
