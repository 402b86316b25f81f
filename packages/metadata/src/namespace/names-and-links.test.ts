/** Names, links, O_TMPFILE, removal, rename: the cases by name. Random ones are in tree.prop.test.ts. */
import { describe, expect, test } from "vitest";
import { inodeNumber, rootInode } from "@cfs/core";
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { advanceSession, applyCommand } from "./apply.ts";
import { linkCountMax } from "./make-node.ts";
import { nameError } from "./names.ts";
import { dropAtOnceRegionsMax } from "./remove-node.ts";
import { regionBytes } from "./records.ts";
import { listOrphans, listZombies } from "./state-scans.ts";
import { Shell } from "./testing/shell.ts";
import { ada, bob, clientId, kernelAda, root, World } from "./testing/world.ts";

test.each([
  ["a", null],
  ["a".repeat(255), null],
  ["...", null],
  ["a".repeat(256), "NAME_TOO_LONG"],
  ["", "INVALID"],
  [".", "INVALID"],
  ["..", "INVALID"],
  ["a/b", "INVALID"],
  ["a\0", "INVALID"],
])("the name %j", (name, error) => {
  expect(nameError(name as Name)).toBe(error);
});

describe("making", () => {
  test("symlinks: targets of 1 to 4095 bytes without NUL, mode 777, size of the target", () => {
    const shell = new Shell();
    const ino = shell.make("l", "symlink", 0, { umask: 0o777, target: "t".repeat(4095) });
    expect([shell.mode(ino), shell.world.inode(ino).sizeBytes]).toEqual(["777", 4095]);
    expect(shell.makeError("m", "symlink", 0, { target: "t".repeat(4096) })).toBe(36);
    expect(shell.makeError("m", "symlink", 0, { target: "" })).toBe(2);
    expect(shell.makeError("m", "symlink", 0, { target: "a\0b" })).toBe(22);
    expect(shell.makeError("m", "file", 0, { target: "a" })).toBe(22);
  });

  test("devices are root's, except a whiteout and what the kernel allowed", () => {
    const shell = new Shell();
    shell.set(rootInode, { mode: 0o777 });
    shell.as(ada);
    expect(shell.makeError("d", "block", 0o600, { rdev: 259 })).toBe(1);
    expect(shell.makeError("d", "character", 0o600, { rdev: 259 })).toBe(1);
    expect(shell.makeError("w", "character", 0, { rdev: 0 })).toBe(0);
    expect(shell.as(kernelAda).makeError("d", "block", 0o600, { rdev: 259 })).toBe(0);
  });

  test("an inode number that is in use, not granted, or still a zombie is refused by the server", () => {
    const world = new World();
    const node = {
      type: "makeNode",
      parent: rootInode,
      kind: "file",
      mode: 0,
      umask: 0,
      rdev: 0,
      target: null,
      caller: root,
      time: world.time(),
    } as const;
    const make = (ino: InodeNumber, name: string): number =>
      applyCommand(world.server, { ...node, ino, name: name as Name }, { clientId, payload: null }).errno;
    const ino = world.newInode();
    expect(make(ino, "a")).toBe(0);
    expect(make(ino, "b")).toBe(22);
    expect(make(inodeNumber(2_000_000, 0), "b")).toBe(22);
    const zombie = world.newInode();
    expect(make(zombie, "z")).toBe(0);
    world.server.removeInode(world.server.inode(zombie) ?? expect.unreachable("it was made"));
    world.server.setZombie(zombie, true);
    expect(make(zombie, "b")).toBe(22);
  });

  test("a removed directory takes no names", () => {
    const shell = new Shell();
    const gone = shell.make("d", "directory", 0o755);
    expect(shell.rmdir("d")).toBe(0);
    expect(shell.makeError("x", "file", 0o644, { parent: gone })).toBe(2);
    expect(shell.link(shell.make("f", "file", 0o644), "x", gone)).toBe(2);
    expect(shell.rename("f", "x", { newParent: gone })).toBe(2);
  });
});

describe("links and removal", () => {
  test("a file without a name can get one, and is then no orphan", async () => {
    const shell = new Shell();
    const ino = shell.make(null, "file", 0o600);
    expect(shell.world.inode(ino).nlink).toBe(0);
    expect(await listOrphans(shell.world.server, 0, 10)).toEqual([{ ino, owner: clientId }]);
    expect(shell.link(ino, "f")).toBe(0);
    expect(shell.world.inode(ino).nlink).toBe(1);
    expect(await listOrphans(shell.world.server, 0, 10)).toEqual([]);
    await shell.world.check();
    expect(shell.run({ type: "reap", ino })).toBe(0);
    expect(shell.world.inode(ino).nlink).toBe(1);
  });

  test("only files come without a name", () => {
    expect(new Shell().makeError(null, "directory", 0o600)).toBe(22);
  });

  test("an unlinked file lives until it is reaped", async () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    shell.write(ino, 0, "still here");
    expect(shell.unlink("f")).toBe(0);
    expect(shell.write(ino, 0, "and writable")).toBe(0);
    await shell.world.check();
    shell.world.restart();
    expect(Buffer.from(shell.world.inode(ino).inline ?? []).toString()).toBe("and writable");
    shell.run({ type: "reap", ino });
    expect(shell.world.server.inode(ino)).toBeNull();
    expect(shell.run({ type: "reap", ino })).toBe(0);
    await shell.world.check();
  });

  test("the server itself needs no orphans", async () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    applyCommand(
      shell.world.server,
      { type: "unlink", parent: rootInode, name: "f" as Name, directory: false, caller: root, time: shell.world.time() },
      { clientId: null, payload: null },
    );
    expect(shell.world.server.inode(ino)).toBeNull();
    await shell.world.check();
  });

  test("the limit of links", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    const directory = shell.make("d", "directory", 0o700);
    for (const state of [shell.world.server, shell.world.client]) {
      const inode = state.inode(ino);
      const parent = state.inode(rootInode);
      if (inode === null || parent === null) throw new Error("not there");
      state.changeInode(inode);
      state.changeInode(parent);
      inode.nlink = linkCountMax;
      parent.nlink = linkCountMax;
    }
    expect(shell.link(ino, "g")).toBe(31);
    expect(shell.makeError("e", "directory", 0o700)).toBe(31);
    shell.world.server.inode(rootInode);
    const child = shell.make("c", "directory", 0o700, { parent: directory });
    expect(child).toBeGreaterThan(0);
    expect(shell.rename("c", "c", { parent: directory })).toBe(31);
  });

  test.each([
    [dropAtOnceRegionsMax, 0],
    [dropAtOnceRegionsMax + 1, 1],
  ])("the content of a reaped file of %i regions leaves %i zombies", async (regions, zombies) => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o600);
    for (let index = 0; index < regions; index++) {
      const offsetBytes = 3 * index * regionBytes;
      shell.world.must(
        {
          type: "write",
          ino,
          offsetBytes,
          lengthBytes: 10,
          source: { kind: "payload" },
          setTimes: true,
          killSetId: false,
          spill: false,
          caller: root,
          time: shell.world.time(),
        },
        { fileId: 1, recordOffsetBytes: index },
      );
    }
    shell.unlink("f");
    shell.run({ type: "reap", ino });
    expect(await listZombies(shell.world.server, 0, 10)).toHaveLength(zombies);
    await shell.world.check();
    for (let step = 0; zombies > 0 && step < Math.ceil(regions / 4); step++) {
      expect(shell.world.server.isZombie(ino)).toBe(true);
      expect(shell.run({ type: "dropContent", ino, regionsMax: 4 })).toBe(0);
      await shell.world.check();
    }
    expect(shell.run({ type: "dropContent", ino, regionsMax: 4 })).toBe(2);
    expect(shell.world.server.usage().journalLiveBytes).toBe(0);
  });
});

describe("rename", () => {
  function tree(): { shell: Shell; a: InodeNumber; b: InodeNumber; c: InodeNumber } {
    const shell = new Shell();
    const a = shell.make("a", "directory", 0o777);
    const b = shell.make("b", "directory", 0o777, { parent: a });
    const c = shell.make("c", "directory", 0o777, { parent: b });
    shell.make("f", "file", 0o644);
    shell.make("g", "file", 0o644, { parent: c });
    return { shell, a, b, c };
  }

  test("never makes a loop", () => {
    const { shell, a, b, c } = tree();
    expect(shell.rename("a", "x", { newParent: a })).toBe(22);
    expect(shell.rename("a", "x", { newParent: c })).toBe(22);
    expect(shell.rename("g", "a", { parent: c })).toBe(39);
    expect(shell.rename("b", "a", { parent: a })).toBe(39);
    expect(shell.rename("a", "c", { newParent: b, flags: 2 })).toBe(22);
    expect(shell.rename("c", "a", { parent: b, flags: 2 })).toBe(22);
  });

  test.each([
    // source, target, flags, errno
    ["file", null, 0, 0],
    ["file", "file", 0, 0],
    ["file", "empty", 0, 21],
    ["empty", "file", 0, 20],
    ["empty", "empty", 0, 0],
    ["empty", "full", 0, 39],
    ["full", "empty", 0, 0],
    ["file", "full", 2, 0],
    ["full", "file", 2, 0],
    ["file", null, 2, 2],
    ["file", "file", 1, 17],
    ["file", null, 1, 0],
    ["file", "file", 4, 0],
    ["file", "file", 5, 17],
    ["file", null, 3, 22],
    ["file", null, 6, 22],
    ["file", null, 8, 22],
    [null, "file", 0, 2],
  ] as const)("of %s onto %s with flags %i", async (source, target, flags, errno) => {
    const shell = new Shell();
    const from = shell.make("from", "directory", 0o755);
    const to = shell.make("to", "directory", 0o755);
    const put = (parent: InodeNumber, what: "file" | "empty" | "full" | null): void => {
      if (what === null) return;
      const ino = shell.make("x", what === "file" ? "file" : "directory", 0o755, { parent });
      if (what === "full") shell.make("y", "file", 0o644, { parent: ino });
    };
    put(from, source);
    put(to, target);
    const whiteout = (flags & 4) === 0 ? 0 : shell.world.newInode();
    expect(shell.rename("x", "x", { parent: from, newParent: to, flags, whiteout })).toBe(errno);
    if (whiteout !== 0 && errno === 0) expect(shell.world.inode(whiteout)).toMatchObject({ kind: "character", rdev: 0, mode: 0, nlink: 1 });
    await shell.world.check();
    shell.world.compareClient();
  });

  test("of two names of one inode does nothing, even without permission", () => {
    const shell = new Shell();
    const ino = shell.make("f", "file", 0o644);
    shell.link(ino, "g");
    const before = shell.world.inode(rootInode).mtimeSec;
    expect(shell.as(bob).rename("f", "g")).toBe(0);
    expect(shell.as(root).rename("f", "f")).toBe(0);
    expect(shell.world.inode(rootInode).mtimeSec).toBe(before);
    expect(shell.world.inode(ino).nlink).toBe(2);
  });

  test("of a directory to another parent needs write access to it", () => {
    const shell = new Shell();
    const from = shell.make("from", "directory", 0o777);
    shell.make("to", "directory", 0o777);
    shell.make("d", "directory", 0o755, { parent: from });
    const to = shell.make("to2", "directory", 0o777);
    expect(shell.as(bob).rename("d", "e", { parent: from, newParent: from })).toBe(0);
    expect(shell.rename("e", "e", { parent: from, newParent: to })).toBe(13);
  });

  test("a whiteout needs an inode", () => {
    const shell = new Shell();
    shell.make("f", "file", 0o644);
    expect(shell.rename("f", "g", { flags: 4, whiteout: 0 })).toBe(22);
  });
});

describe("sessions", () => {
  test("grants go on where the last ended, and commands are applied once", () => {
    const world = new World();
    const other = "ff".repeat(16) as ClientId;
    world.must({ type: "openSession", clientId: other });
    expect(world.run({ type: "openSession", clientId: other })).toBe(17);
    world.must({ type: "grantInodes", clientId: other, count: 10 });
    world.must({ type: "grantInodes", clientId: other, count: 5 });
    world.must({ type: "grantInodes", clientId, count: 5 });
    world.must({ type: "grantInodes", clientId: other, count: 1 });
    expect(world.server.session(other)?.grants).toEqual([
      { begin: 100_002, end: 100_017 },
      { begin: 100_022, end: 100_023 },
    ]);
    expect([1, 2, 2, 1, 5, 4].map((seq) => advanceSession(world.server, other, seq))).toEqual([true, true, false, false, true, false]);
    world.must({ type: "closeSession", clientId: other });
    expect(world.run({ type: "closeSession", clientId: other })).toBe(2);
    expect(world.run({ type: "grantInodes", clientId: other, count: 1 })).toBe(2);
    expect(world.run({ type: "grantInodes", clientId, count: 0 })).toBe(22);
  });

  test("drives are added at the end and keep their names", () => {
    const world = new World();
    expect(world.run({ type: "setDrive", drive: { index: 4, id: "x", state: "ok" } })).toBe(22);
    world.must({ type: "setDrive", drive: { index: 3, id: "x", state: "ok" } });
    expect(world.run({ type: "setDrive", drive: { index: 3, id: "y", state: "ok" } })).toBe(22);
    world.must({ type: "setDrive", drive: { index: 3, id: "x", state: "draining" } });
    expect(world.server.superblock()?.drives[3]).toEqual({ index: 3, id: "x", state: "draining" });
    expect(world.run({ type: "format", clusterId: "again", drives: [], uid: 0, gid: 0, time: world.time() })).toBe(17);
  });
});
