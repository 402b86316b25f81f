/** chmod, chown, truncate, utimensat: who may, what follows, and the times. Set-id bits on every way that clears them. */
import { describe, expect, test } from "vitest";
import type { Caller, SetAttributes } from "./commands.ts";
import { inlineBytesMax } from "./records.ts";
import { Shell } from "./testing/shell.ts";
import { ada, bob, kernelAda, root } from "./testing/world.ts";
import { fileSizeMax } from "./truncate.ts";
import { needsSpill } from "./write.ts";

const moment = { sec: 77, nsec: 5 };

/** A file of ada's (1000:100), and a caller who changes it. */
test.each<[string, Caller, Partial<SetAttributes>, number]>([
  ["root gives it away", root, { uid: 5, gid: 6 }, 0],
  ["the owner may not give it away", ada, { uid: 1001 }, 1],
  ["the owner may name itself", ada, { uid: 1000 }, 0],
  ["the owner hands it to a group of its own", ada, { gid: 300 }, 0],
  ["but not to another", ada, { gid: 200 }, 1],
  ["the group it has is fine", ada, { gid: 100 }, 0],
  ["the kernel knows the groups", kernelAda, { gid: 200 }, 0],
  ["the kernel knows capabilities: chmod", { ...kernelAda, uid: 1001 }, { mode: 0o600 }, 0],
  ["the kernel knows capabilities: chown", { ...kernelAda, uid: 1001 }, { uid: 5, gid: 6 }, 0],
  ["a stranger: mode", bob, { mode: 0o777 }, 1],
  ["a stranger: group", bob, { gid: 200 }, 1],
  ["a stranger: times", bob, { mtime: moment }, 1],
  ["a stranger who may not write: touch", bob, { mtime: moment, isTouch: true }, 13],
  ["the owner: times", ada, { mtime: moment, atime: moment }, 0],
  ["a stranger who may not write: truncate", bob, { sizeBytes: 0 }, 13],
  ["too large", root, { sizeBytes: fileSizeMax + 1 }, 27],
  ["as large as can be", root, { sizeBytes: fileSizeMax }, 0],
])("%s", (_what, caller, change, errno) => {
  const shell = new Shell().as({ ...ada, groups: null });
  const ino = shell.make("f", "file", 0o644);
  expect(shell.as(caller).set(ino, change)).toBe(errno);
});

test("touch needs write access, not ownership", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o666);
  expect(shell.as(bob).set(ino, { mtime: moment, isTouch: true })).toBe(0);
  expect(shell.set(ino, { mtime: moment, isTouch: false })).toBe(1);
});

describe("set-id bits", () => {
  test.each<[string, number, Caller, Partial<SetAttributes>, string]>([
    ["chown by root", 0o6755, root, { uid: 5 }, "755"],
    ["chown without group execute keeps set-group-id", 0o6745, root, { gid: 5 }, "2745"],
    ["a kill for somebody of the group keeps it too", 0o6745, { ...kernelAda, gid: 0 }, { killSetId: true }, "2745"],
    ["a kill for somebody of another group", 0o6745, kernelAda, { killSetId: true }, "745"],
    ["chown with an explicit mode", 0o6755, root, { uid: 5, mode: 0o4711 }, "4711"],
    ["a kill by the kernel", 0o6755, root, { sizeBytes: 0, killSetId: true }, "755"],
    ["truncate without one", 0o6755, root, { sizeBytes: 0 }, "6755"],
    ["chmod by root", 0o644, root, { mode: 0o6755 }, "6755"],
  ])("of a file: %s", (_what, mode, caller, change, expected) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", mode);
    expect(shell.as(caller).set(ino, change)).toBe(0);
    expect(shell.mode(ino)).toBe(expected);
  });

  test("of a directory stay on chown", () => {
    const shell = new Shell();
    const ino = shell.make("d", "directory", 0o755);
    shell.set(ino, { mode: 0o6755 });
    expect(shell.set(ino, { uid: 5 })).toBe(0);
    expect(shell.mode(ino)).toBe("6755");
  });

  test("chmod by an owner outside the group loses set-group-id", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.set(ino, { uid: 1000, gid: 999 });
    expect(shell.as(ada).set(ino, { mode: 0o6755 })).toBe(0);
    expect(shell.mode(ino)).toBe("4755");
    expect(shell.as(kernelAda).set(ino, { mode: 0o6755 })).toBe(0);
    expect(shell.mode(ino)).toBe("6755");
  });

  test("go with a write that says so, and with allocate and copy by anyone but root", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o6755);
    shell.write(ino, 0, "a");
    expect(shell.mode(ino)).toBe("6755");
    shell.write(ino, 0, "a", { killSetId: true });
    expect(shell.mode(ino)).toBe("755");
    shell.set(ino, { mode: 0o6755 });
    shell.as(ada).run({
      type: "allocate",
      ino,
      action: "reserve",
      keepSize: false,
      offsetBytes: 0,
      lengthBytes: 10,
      caller: ada,
      time: shell.world.time(),
    });
    expect(shell.mode(ino)).toBe("755");
  });
});

test("set-group-id directories hand on group and, to directories, the bit", () => {
  const shell = new Shell();
  const parent = shell.make("d", "directory", 0o777);
  shell.set(parent, { gid: 200 });
  shell.set(parent, { mode: 0o2777 });
  shell.as(ada);
  const made = [
    shell.make("plain", "file", 0o666, { parent }),
    // ada is not in group 200: an executable set-group-id file of it is not hers to make.
    shell.make("tool", "file", 0o2775, { parent }),
    shell.make("lock", "file", 0o2765 & ~0o010, { parent }),
    shell.make("sub", "directory", 0o6755, { parent }),
  ];
  expect(made.map((ino) => `${shell.world.inode(ino).gid} ${shell.mode(ino)}`)).toEqual(["200 666", "200 775", "200 2765", "200 2755"]);
  expect(shell.as(bob).mode(shell.make("mine", "file", 0o2775, { parent }))).toBe("2775");
});

describe("sticky directories", () => {
  test.each<[string, Caller, number]>([
    ["the owner of the entry", ada, 0],
    ["a stranger", bob, 1],
    ["a stranger with CAP_FOWNER, judged by the kernel", { ...bob, groups: null }, 0],
    ["the owner of the directory", { uid: 7, gid: 7, groups: [] }, 0],
    ["root", root, 0],
  ])("%s takes an entry away", (_who, caller, errno) => {
    const shell = new Shell();
    const parent = shell.make("t", "directory", 0o777);
    shell.set(parent, { uid: 7, mode: 0o1777 });
    shell.as(ada).make("f", "file", 0o666, { parent });
    shell.make("g", "file", 0o666, { parent });
    shell.as(root).make("mine", "file", 0o666, { parent });
    expect(shell.as(caller).rename("f", "h", { parent, newParent: parent })).toBe(errno);
    expect(shell.unlink("g", parent)).toBe(errno);
  });
});

describe("times", () => {
  test("an explicit time is kept to the nanosecond, ctime is the command's or the kernel's", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.set(ino, { atime: { sec: -1, nsec: 999_999_999 }, mtime: moment, time: { sec: 9999, nsec: 3 } });
    const inode = shell.world.inode(ino);
    expect([inode.atimeSec, inode.atimeNsec, inode.mtimeSec, inode.mtimeNsec, inode.ctimeSec, inode.ctimeNsec]).toEqual([
      -1, 999_999_999, 77, 5, 9999, 3,
    ]);
    shell.set(ino, { mtime: moment, ctime: { sec: 12, nsec: 1 } });
    expect(shell.world.inode(ino).ctimeSec).toBe(12);
  });

  test("truncate moves mtime and ctime, also to the same size", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.set(ino, { sizeBytes: 0, time: { sec: 50_000, nsec: 0 } });
    expect([shell.world.inode(ino).mtimeSec, shell.world.inode(ino).ctimeSec]).toEqual([50_000, 50_000]);
  });

  test("a write moves them unless the kernel keeps them", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.write(ino, 0, "x", { setTimes: false, time: { sec: 60_000, nsec: 0 } });
    expect(shell.world.inode(ino).mtimeSec).toBeLessThan(60_000);
    shell.write(ino, 0, "x", { time: { sec: 60_000, nsec: 0 } });
    expect(shell.world.inode(ino).mtimeSec).toBe(60_000);
  });
});

describe("truncate of inline data", () => {
  test("cuts, grows with zeros to come, and never brings bytes back", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.write(ino, 0, "hello");
    shell.set(ino, { sizeBytes: 2 });
    shell.set(ino, { sizeBytes: 10_000 });
    const inode = shell.world.inode(ino);
    expect([inode.sizeBytes, inode.inlineBytes, Buffer.from(inode.inline ?? []).toString()]).toEqual([10_000, 2, "he"]);
    shell.write(ino, 4, "!");
    expect([...(shell.world.inode(ino).inline ?? [])]).toEqual([104, 101, 0, 0, 33]);
    shell.world.compareClient();
  });

  test("kinds that have no size", () => {
    const shell = new Shell();
    expect(shell.set(shell.make("d", "directory", 0o755), { sizeBytes: 0 })).toBe(21);
    expect(shell.set(shell.make("p", "fifo", 0o644), { sizeBytes: 0 })).toBe(22);
    expect(shell.set(shell.make("l", "symlink", 0, { target: "t" }), { mode: 0o700 })).toBe(95);
  });
});

test("an inline write past the limit, or of another length than it says, is refused", () => {
  const shell = new Shell();
  const ino = shell.make("f", "file", 0o644);
  expect(shell.write(ino, inlineBytesMax - 1, "ab")).toBe(22);
  expect(shell.write(ino, 0, "ab", { lengthBytes: 3 })).toBe(22);
  expect(shell.write(ino, inlineBytesMax - 2, "ab")).toBe(0);
  expect(shell.write(ino, 0, "")).toBe(0);
  expect(shell.write(shell.make("d", "directory", 0o755), 0, "a")).toBe(21);
});

describe("allocate within the inline limit", () => {
  test.each([
    // action, keepSize, offset, length: size, inline data ("hello" before)
    ["punch", true, 1, 2, 5, "h\0\0lo"],
    ["punch", true, 3, 9000, 5, "hel"],
    ["punch", true, 0, 5, 5, ""],
    ["punch", true, 50, 10, 5, "hello"],
    ["reserve", false, 2, 6, 8, "hello\0\0\0"],
    ["reserve", true, 2, 60, 5, "hello"],
    ["zero", false, 3, 4, 7, "hel\0\0\0\0"],
    ["zero", true, 3, 4, 5, "hel\0\0"],
  ] as const)("%s, keep size %s, of %i+%i", async (action, keepSize, offsetBytes, lengthBytes, sizeBytes, inline) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.write(ino, 0, "hello");
    expect(shell.run({ type: "allocate", ino, action, keepSize, offsetBytes, lengthBytes, caller: root, time: shell.world.time() })).toBe(
      0,
    );
    const inode = shell.world.inode(ino);
    expect([inode.sizeBytes, Buffer.from(inode.inline ?? []).toString(), inode.allocatedBytes]).toEqual([sizeBytes, inline, inline.length]);
    await shell.world.check();
    shell.world.compareClient();
  });

  test("past the limit the inline data must be spilled first; nothing and punches that change the size are refused", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.write(ino, 0, "hello");
    const allocate = {
      type: "allocate",
      ino,
      action: "reserve",
      keepSize: false,
      offsetBytes: 0,
      lengthBytes: 5000,
      caller: root,
      time: shell.world.time(),
    } as const;
    expect(needsSpill(shell.world.inode(ino), allocate)).toBe(true);
    expect(shell.run(allocate)).toBe(22);
    expect(shell.run({ ...allocate, lengthBytes: 0 })).toBe(22);
    expect(shell.run({ ...allocate, action: "punch" })).toBe(95);
    expect(shell.run({ ...allocate, offsetBytes: fileSizeMax })).toBe(27);
  });
});
