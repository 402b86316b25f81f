import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { listMounts, mountAt, placeOf } from "./mount-table.ts";

const entry = (mountpoint: string, type = "fuse.cfs") => ({ source: "127.0.0.1:9400", mountpoint, type, options: "rw" });

function folder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "cfs-mounts-")));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

test("blanks, line ends and letters beyond ASCII in the table", () => {
  const text = "10.0.0.5:9400 /mnt/my\\040files\\012ü fuse.cfs rw,user_id=7 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
  expect(listMounts(text)).toEqual([
    { source: "10.0.0.5:9400", mountpoint: "/mnt/my files\nü", type: "fuse.cfs", options: "rw,user_id=7" },
    { source: "tmpfs", mountpoint: "/tmp", type: "tmpfs", options: "rw" },
  ]);
});

test("the mount on top counts", () => {
  expect(mountAt("/a", [entry("/a"), entry("/a", "tmpfs")])?.type).toBe("tmpfs");
  expect(mountAt("/b", [entry("/a")])).toBeNull();
});

test("a path is followed through links up to a cfs mount, and not into it", () => {
  const base = folder();
  mkdirSync(`${base}/real`);
  symlinkSync("real", `${base}/short`);
  symlinkSync(`${base}/short/../mnt`, `${base}/into`);
  symlinkSync("loop", `${base}/loop`);
  const mounts = [entry(`${base}/mnt`)];
  expect(placeOf(`${base}/short/x/y`, mounts)).toEqual({ path: `${base}/real/x/y`, mount: null });
  // Neither the mount point nor what is below exists: it was not looked at.
  expect(placeOf(`${base}/into/d1/../d2`, mounts)).toEqual({ path: `${base}/mnt/d2`, mount: mounts[0] });
  expect(placeOf(`${base}/mnt`, mounts)).toEqual({ path: `${base}/mnt`, mount: mounts[0] });
  expect(placeOf(`${base}/mnt2`, mounts)).toEqual({ path: `${base}/mnt2`, mount: null });
  expect(() => placeOf(`${base}/loop`, mounts)).toThrow(/SYMLINK_LOOP/);
});
