/** POSIX ACLs: setting, inheriting, chmod, and what they allow. Expected values are those of Linux with ext4. */
import { describe, expect, test } from "vitest";
import { accessAclName, defaultAclName, parseAcl } from "./acl.ts";
import type { Caller } from "./commands.ts";
import { aclBytes, aclText } from "./testing/acl-text.ts";
import { Shell } from "./testing/shell.ts";
import { ada, bob, kernelAda, root } from "./testing/world.ts";

describe("setting an access ACL", () => {
  test.each([
    ["u::rw-,g::r--,o::---", "640", null],
    ["u::rwx,u:1001:r--,g::r-x,m::rw-,o::--x", "761", "u::rwx,u:1001:r--,g::r-x,m::rw-,o::--x"],
    // A mask alone says more than the mode.
    ["u::rwx,g::rwx,m::r--,o::---", "740", "u::rwx,g::rwx,m::r--,o::---"],
  ])("%s makes the mode %s and stores %s", (text, mode, stored) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o777);
    expect(shell.setXattr(ino, accessAclName, aclBytes(text))).toBe(0);
    expect(shell.mode(ino)).toBe(mode);
    expect(aclText(shell.xattr(ino, accessAclName))).toBe(stored);
    expect(shell.world.inode(ino).xattrNames).toEqual(stored === null ? [] : [accessAclName]);
  });

  test("an equivalent one takes the stored one away", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    shell.setXattr(ino, accessAclName, aclBytes("u::rw-,u:7:rwx,g::---,m::rwx,o::---"));
    expect(shell.setXattr(ino, accessAclName, aclBytes("u::rw-,g::r--,o::r--"))).toBe(0);
    expect(shell.xattr(ino, accessAclName)).toBeNull();
    expect(shell.mode(ino)).toBe("644");
  });

  test("removing it leaves the mode, also when there is none", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    expect(shell.setXattr(ino, accessAclName, null)).toBe(0);
    shell.setXattr(ino, accessAclName, aclBytes("u::rw-,u:7:rwx,g::---,m::rwx,o::---"));
    expect(shell.setXattr(ino, accessAclName, null)).toBe(0);
    expect(shell.mode(ino)).toBe("670");
    expect(shell.world.inode(ino).xattrNames).toEqual([]);
    // A header without entries removes too.
    expect(shell.setXattr(ino, accessAclName, Uint8Array.of(2, 0, 0, 0))).toBe(0);
  });

  test.each<[string, Caller, boolean, string]>([
    ["root", root, false, "2770"],
    ["root, told to by the kernel", root, true, "770"],
    ["an owner in the group", ada, false, "2770"],
    ["an owner checked by the kernel", kernelAda, false, "2770"],
  ])("set-group-id stays or goes: %s", (_who, caller, killSetGid, mode) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o2700);
    shell.set(ino, { uid: 1000, gid: 300 });
    shell.set(ino, { mode: 0o2700 });
    expect(shell.as(caller).setXattr(ino, accessAclName, aclBytes("u::rwx,g::rwx,o::---"), { killSetGid })).toBe(0);
    expect(shell.mode(ino)).toBe(mode);
  });

  test("set-group-id goes when the owner is not in the group", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o700);
    shell.set(ino, { uid: 1000, gid: 999 });
    shell.set(ino, { mode: 0o2700 });
    expect(shell.as(ada).setXattr(ino, accessAclName, aclBytes("u::rwx,g::rwx,o::---"))).toBe(0);
    expect(shell.mode(ino)).toBe("770");
  });

  test("is the owner's business", () => {
    const shell = new Shell();
    const ino = shell.make("s", "directory", 0o777);
    expect(shell.as(bob).setXattr(ino, accessAclName, aclBytes("u::rwx,g::r-x,o::r-x"))).toBe(1);
    expect(shell.as(bob).setXattr(ino, defaultAclName, null)).toBe(1);
  });

  test("refusals by kind and form", () => {
    const shell = new Shell();
    const file = shell.make("f", "file", 0o644);
    const symlink = shell.make("l", "symlink", 0o777, { target: "f" });
    const good = aclBytes("u::rwx,g::r-x,o::r-x");
    expect(shell.setXattr(symlink, accessAclName, good)).toBe(95);
    expect(shell.setXattr(file, defaultAclName, good)).toBe(13);
    expect(shell.setXattr(file, defaultAclName, null)).toBe(0);
    expect(shell.setXattr(file, accessAclName, good.subarray(0, 11))).toBe(22);
    expect(shell.setXattr(file, accessAclName, Uint8Array.of(1, 0, 0, 0))).toBe(95);
  });
});

test.each([
  "u::rwx,g::r-x", // no others
  "g::r-x,u::rwx,o::---", // out of order
  "u::rwx,u:5:r--,g::r-x,o::---", // named without a mask
  "u::rwx,g::r-x,m::rwx,m::rwx,o::---",
  "u::rwx,g::r-x,o::---,o::---",
  "u::rwx,u::rwx,g::r-x,o::---",
])("%s is no ACL", (text) => {
  expect(parseAcl(aclBytes(text))).toBe("INVALID");
});

test("permissions past rwx are no ACL", () => {
  const bytes = Buffer.from(aclBytes("u::rwx,g::r-x,o::---"));
  bytes.writeUInt16LE(8, 6);
  expect(parseAcl(bytes)).toBe("INVALID");
});

describe("inheriting a default ACL", () => {
  const minimal = "u::rwx,g::r-x,o::r--";
  const named = "u::rwx,u:1001:rwx,g::r-x,m::rwx,o::---";
  test.each([
    // default, kind, mode asked for, umask (which must not count), mode, access ACL
    [minimal, "file", 0o666, 0o777, "644", null],
    [minimal, "directory", 0o777, 0o777, "754", null],
    [named, "file", 0o666, 0o022, "660", "u::rw-,u:1001:rwx,g::r-x,m::rw-,o::---"],
    [named, "file", 0o600, 0, "600", "u::rw-,u:1001:rwx,g::r-x,m::---,o::---"],
    [named, "directory", 0o1777, 0o022, "1770", "u::rwx,u:1001:rwx,g::r-x,m::rwx,o::---"],
    [named, "fifo", 0o644, 0, "640", "u::rw-,u:1001:rwx,g::r-x,m::r--,o::---"],
  ] as const)("%s to a %s of mode %o", (text, kind, mode, umask, expected, access) => {
    const shell = new Shell();
    const parent = shell.make("d", "directory", 0o755);
    expect(shell.setXattr(parent, defaultAclName, aclBytes(text))).toBe(0);
    expect(shell.mode(parent)).toBe("755");
    const ino = shell.make("x", kind, mode, { parent, umask });
    expect(shell.mode(ino)).toBe(expected);
    expect(aclText(shell.xattr(ino, accessAclName))).toBe(access);
    expect(aclText(shell.xattr(ino, defaultAclName))).toBe(kind === "directory" ? text : null);
    const expectedNames = [...(access === null ? [] : [accessAclName]), ...(kind === "directory" ? [defaultAclName] : [])];
    expect(shell.world.inode(ino).xattrNames).toEqual(expectedNames);
  });

  test("a symlink inherits nothing, and without one the umask counts", async () => {
    const shell = new Shell();
    const parent = shell.make("d", "directory", 0o755);
    shell.setXattr(parent, defaultAclName, aclBytes(named));
    const symlink = shell.make("l", "symlink", 0, { parent, umask: 0o777, target: "x" });
    expect(shell.mode(symlink)).toBe("777");
    expect(shell.world.inode(symlink).xattrNames).toEqual([]);
    shell.setXattr(parent, defaultAclName, null);
    expect(shell.mode(shell.make("f", "file", 0o666, { parent, umask: 0o027 }))).toBe("640");
    await shell.world.check();
  });
});

describe("chmod of an inode with an ACL", () => {
  test("sets the mask where there is one, and the owning group stays", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    shell.setXattr(ino, accessAclName, aclBytes("u::rw-,u:7:rwx,g::r-x,m::rwx,o::---"));
    expect(shell.set(ino, { mode: 0o4754 })).toBe(0);
    expect(aclText(shell.xattr(ino, accessAclName))).toBe("u::rwx,u:7:rwx,g::r-x,m::r-x,o::r--");
    expect(shell.mode(ino)).toBe("4754");
  });
});

describe("access by ACL", () => {
  // A file of 1000:100; the question is asked by making a name in a directory with this ACL (needs w and x).
  const carl: Caller = { uid: 1002, gid: 500, groups: [100] };
  const dora: Caller = { uid: 1003, gid: 600, groups: [] };
  test.each<[string, Caller, boolean]>([
    ["u::rwx,u:1001:rwx,g::---,m::rwx,o::---", bob, true],
    // The mask limits named users and groups, never the owner.
    ["u::rwx,u:1001:rwx,g::---,m::r-x,o::---", bob, false],
    ["u::rwx,u:1001:---,g::---,m::---,o::rwx", ada, true],
    // A named user's entry is final, even if others may.
    ["u::rwx,u:1001:---,g::---,m::rwx,o::rwx", bob, false],
    ["u::rwx,g::rwx,m::rwx,o::---", carl, true],
    ["u::rwx,g::rwx,m::r-x,o::rwx", carl, false],
    // Any matching group that allows will do; a matching one that does not allow keeps "other" away.
    ["u::rwx,g::---,g:500:rwx,m::rwx,o::---", carl, true],
    ["u::rwx,g::---,g:900:rwx,m::rwx,o::rwx", carl, false],
    ["u::rwx,g::---,g:900:rwx,m::rwx,o::rwx", dora, true],
    ["u::---,u:1001:rwx,g::rwx,m::rwx,o::rwx", ada, false],
  ])("%s for one of them: %#", (text, caller, isAllowed) => {
    const shell = new Shell();
    const parent = shell.make("d", "directory", 0o700);
    shell.set(parent, { uid: 1000, gid: 100 });
    expect(shell.setXattr(parent, accessAclName, aclBytes(text))).toBe(0);
    expect(shell.as(caller).makeError("x", "file", 0o644, { parent })).toBe(isAllowed ? 0 : 13);
  });

  test("root and a kernel-checked caller are not asked", () => {
    const shell = new Shell();
    const parent = shell.make("d", "directory", 0);
    expect(shell.makeError("x", "file", 0o644, { parent })).toBe(0);
    expect(shell.as(kernelAda).makeError("y", "file", 0o644, { parent })).toBe(0);
  });
});
