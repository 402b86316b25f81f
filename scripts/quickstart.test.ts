import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseOrder } from "./quickstart/arguments.ts";
import { mountAt, mountHealth, parseMountinfo } from "./quickstart/mounts.ts";
import { listenerInode, listenerName } from "./quickstart/processes.ts";
import { isListening } from "./quickstart/server.ts";
import { isRunning, processStart, StateFile } from "./quickstart/state.ts";

const order = (...words: string[]) => parseOrder(words, "/checkout", "/elsewhere");

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cfs-quickstart-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("without words it mounts at ./mnt of the checkout; a relative mount point is meant from where the person is", () => {
  expect(order()).toEqual({ verb: "start", mountPoint: "/checkout/mnt", port: null });
  expect(order("dir")).toEqual({ verb: "start", mountPoint: "/elsewhere/dir", port: null });
  expect(order("--port", "9500", "/m")).toEqual({ verb: "start", mountPoint: "/m", port: 9500 });
  expect(order("--port=9500")).toMatchObject({ port: 9500 });
  expect(["stop", "destroy", "--help"].map((word) => order(word).verb)).toEqual(["stop", "destroy", "help"]);
});

test.each([
  [["--port", "0"], "--port wants a number"],
  [["--port"], "--port wants a number"],
  [["--purge"], "unknown option --purge"],
  [["a", "b"], "one mount point at a time"],
  [["/checkout/.cfs-quickstart/drive1"], "is where quickstart keeps the data"],
])("refuses %j", (words, message) => {
  expect(() => order(...words)).toThrow(message);
});

test("mountinfo: escaped blanks, names that are not ASCII, and the mount on top", () => {
  const text = [
    "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw",
    "90 25 0:50 / /srv/my\\040files rw,nosuid shared:44 master:2 - fuse.cfs 127.0.0.1:9400 rw,user_id=0",
    "91 25 0:51 / /srv/zürich rw - tmpfs none rw",
    "garbage",
  ].join("\n");
  expect(parseMountinfo(text)).toEqual([
    { mountPoint: "/", type: "ext4", source: "/dev/vda1" },
    { mountPoint: "/srv/my files", type: "fuse.cfs", source: "127.0.0.1:9400" },
    { mountPoint: "/srv/zürich", type: "tmpfs", source: "none" },
  ]);
});

test("this machine's own mounts are found and answer", () => {
  expect(mountAt("/proc")?.type).toBe("proc");
  expect(mountAt("/nonexistent")).toBeNull();
  expect(mountHealth("/proc", 5_000)).toBe("answers");
  expect(mountHealth("/nonexistent", 5_000)).toBe("dead");
});

test("a process is known by id and start time", () => {
  const startTicks = processStart(process.pid);
  expect(startTicks).toBeGreaterThan(0);
  expect(isRunning({ pid: process.pid, startTicks: startTicks ?? 0 })).toBe(true);
  expect(isRunning({ pid: process.pid, startTicks: (startTicks ?? 0) + 1 })).toBe(false);
  expect(isRunning(null)).toBe(false);
});

test("the state survives a move of the checkout", () => {
  const folder = temporaryFolder();
  const before = join(folder, "before");
  const after = join(folder, "after");
  const state = { port: 9500, server: { pid: 1, startTicks: 2 }, mountPoints: [join(before, "mnt"), "/outside"] };
  new StateFile(before).write(state);
  expect(new StateFile(before).read()).toEqual(state);
  renameSync(before, after);
  expect(new StateFile(after).read().mountPoints).toEqual([join(after, "mnt"), "/outside"]);
});

test("without a state file nothing runs", () => {
  expect(new StateFile(temporaryFolder()).read()).toEqual({ port: 9400, server: null, mountPoints: [] });
});

test("whoever listens on a port is named", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  expect(await isListening(port)).toBe(true);
  expect(listenerName(port)).toContain(`(process ${process.pid},`);
});

test("listening sockets are told from others in the kernel's table", () => {
  const table =
    "  sl  local_address rem_address   st\n   0: 0100007F:24B8 00000000:0000 01 0:0 0:0 0 0 0 11\n   1: 0100007F:24B8 00000000:0000 0A 0:0 0:0 0 0 0 22\n";
  expect(listenerInode(table, 9400)).toBe("22");
  expect(listenerInode(table, 9401)).toBeNull();
});
