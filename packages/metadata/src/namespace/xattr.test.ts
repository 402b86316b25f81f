/** Extended attributes: namespaces, flags, limits and their errnos. */
import { describe, expect, test } from "vitest";
import { accessAclName } from "./acl.ts";
import { applyCommand } from "./apply.ts";
import type { Command } from "./commands.ts";
import { Shell } from "./testing/shell.ts";
import { ada, bob, kernelAda, root } from "./testing/world.ts";
import { xattrListBytesMax, xattrNameBytesMax, xattrValueBytesMax } from "./xattr.ts";

const value = Uint8Array.of(1, 2, 3);

describe("namespaces", () => {
  test.each([
    ["user.a", root, 0],
    ["user.", root, 22],
    ["trusted.a", root, 0],
    ["trusted.a", ada, 1],
    ["trusted.a", kernelAda, 0],
    ["security.a", root, 0],
    ["security.a", ada, 1],
    // The kernel has judged by capabilities.
    ["security.a", kernelAda, 0],
    ["system.other", root, 95],
    ["nothing", root, 95],
    ["", root, 34],
    ["user.\0", root, 22],
    [`user.${"x".repeat(xattrNameBytesMax - 5)}`, root, 0],
    [`user.${"x".repeat(xattrNameBytesMax - 4)}`, root, 34],
    [`user.${"\u20ac".repeat(84)}`, root, 34],
  ] as const)("%j by one of them: %#", (name, caller, errno) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o666);
    expect(shell.as(caller).setXattr(ino, name, value)).toBe(errno);
    expect(shell.world.inode(ino).xattrNames).toEqual(errno === 0 ? [name] : []);
  });

  test("user attributes: only on files and directories, by who may write, and in sticky directories by the owner", () => {
    const shell = new Shell();
    const fifo = shell.make("p", "fifo", 0o666);
    const symlink = shell.make("l", "symlink", 0, { target: "x" });
    const file = shell.make("f", "file", 0o644);
    const shared = shell.make("t", "directory", 0o1777);
    expect(shell.setXattr(fifo, "user.a", value)).toBe(1);
    expect(shell.setXattr(symlink, "user.a", value)).toBe(1);
    expect(shell.setXattr(symlink, "trusted.a", value)).toBe(0);
    expect(shell.as(bob).setXattr(file, "user.a", value)).toBe(13);
    expect(shell.setXattr(shared, "user.a", value)).toBe(1);
    expect(shell.as(root).setXattr(shared, "user.a", value)).toBe(0);
  });
});

test("half a surrogate pair is no name: it would not survive its encoding", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o666);
  const command: Command = {
    type: "setXattr",
    ino,
    name: "user.\ud800",
    value,
    flags: 0,
    killSetGid: false,
    caller: root,
    time: shell.world.time(),
  };
  expect(applyCommand(shell.world.server, command, { clientId: null, payload: null }).errno).toBe(22);
});

test("flags say whether it must exist", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  expect(shell.setXattr(ino, "user.a", value, { flags: 2 })).toBe(61);
  expect(shell.setXattr(ino, "user.a", value, { flags: 1 })).toBe(0);
  expect(shell.setXattr(ino, "user.a", value, { flags: 1 })).toBe(17);
  expect(shell.setXattr(ino, "user.a", Uint8Array.of(9), { flags: 2 })).toBe(0);
  expect(shell.setXattr(ino, "user.a", value, { flags: 4 })).toBe(22);
  expect(shell.xattr(ino, "user.a")).toEqual(Uint8Array.of(9));
  expect(shell.setXattr(ino, "user.a", null)).toBe(0);
  expect(shell.setXattr(ino, "user.a", null)).toBe(61);
  expect(shell.xattr(ino, "user.a")).toBeNull();
});

test("the state keeps its own copy of a value", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  const mine = Uint8Array.of(7);
  shell.setXattr(ino, "user.a", mine);
  mine[0] = 8;
  expect(shell.xattr(ino, "user.a")).toEqual(Uint8Array.of(7));
  expect(shell.world.client.xattr(ino, "user.a")).toEqual(Uint8Array.of(7));
});

test("limits of value and list", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  expect(shell.setXattr(ino, "user.a", new Uint8Array(xattrValueBytesMax))).toBe(0);
  expect(shell.setXattr(ino, "user.a", new Uint8Array(xattrValueBytesMax + 1))).toBe(7);
  let listBytes = "user.a".length + 1;
  for (let index = 0; ; index++) {
    const name = `user.${String(index).padStart(249, "0")}`;
    const errno = shell.setXattr(ino, name, value);
    if (listBytes + name.length + 1 > xattrListBytesMax) {
      expect(errno).toBe(28);
      break;
    }
    expect(errno).toBe(0);
    listBytes += name.length + 1;
  }
});

test("names stay sorted, values and names go with the inode", async () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  for (const name of ["user.b", "user.a", "trusted.z", "user.\u20ac"]) expect(shell.setXattr(ino, name, value)).toBe(0);
  expect(shell.world.inode(ino).xattrNames).toEqual(["trusted.z", "user.a", "user.b", "user.\u20ac"]);
  await shell.world.check();
  shell.unlink("f");
  shell.run({ type: "reap", ino });
  expect(shell.xattr(ino, "user.a")).toBeNull();
  await shell.world.check();
});

test("a change of attributes moves ctime only", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  const before = { ...shell.world.inode(ino) };
  shell.setXattr(ino, "user.a", value);
  const after = shell.world.inode(ino);
  expect(after.ctimeSec).toBeGreaterThan(before.ctimeSec);
  expect([after.mtimeSec, after.atimeSec]).toEqual([before.mtimeSec, before.atimeSec]);
  expect(shell.setXattr(ino, accessAclName, new Uint8Array(xattrValueBytesMax + 1))).toBe(7);
});
