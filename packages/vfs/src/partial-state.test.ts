import { describe, expect, test } from "vitest";
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { nameCookie, NotCached } from "@cfs/metadata";
import type { FileKind, Inode } from "@cfs/metadata";
import { cacheBudgetDefaults, PartialState } from "./partial-state.ts";
import type { CacheBudgets } from "./partial-state.ts";

function inode(ino: number, kind: FileKind = "file", fields: Partial<Inode> = {}): Inode {
  return {
    ino: ino as InodeNumber,
    generation: 1,
    kind,
    mode: 0o644,
    uid: 0,
    gid: 0,
    nlink: 1,
    rdev: 0,
    sizeBytes: 0,
    allocatedBytes: 0,
    isAllocatedStale: false,
    atimeSec: 0,
    atimeNsec: 0,
    mtimeSec: 0,
    mtimeNsec: 0,
    ctimeSec: 0,
    ctimeNsec: 0,
    birthSec: 0,
    birthNsec: 0,
    parent: 0,
    entryCount: 0,
    target: null,
    inlineBytes: 0,
    inline: null,
    hasExtents: false,
    xattrNames: [],
    ...fields,
  };
}

class World {
  durableSeq = 0;
  readonly state: PartialState;

  constructor(budgets: Partial<CacheBudgets> = {}) {
    this.state = new PartialState({ ...cacheBudgetDefaults, ...budgets }, () => this.durableSeq);
  }

  /** As a command does it. */
  change(seq: number, body: (state: PartialState) => void): void {
    this.state.stampSeq = seq;
    body(this.state);
    this.state.settle();
  }
}

const file = (ino: number): { ino: InodeNumber; kind: FileKind } => ({ ino: ino as InodeNumber, kind: "file" });
const n = (text: string): Name => text as Name;

describe("PartialState", () => {
  test("throws for what it does not know, and says what", () => {
    const { state } = new World();
    expect(() => state.inode(rootInode)).toThrow(NotCached);
    expect(() => state.dirent(rootInode, n("a"))).toThrow(NotCached);
    state.learnInode(5 as InodeNumber, inode(5, "file", { inlineBytes: 3, xattrNames: ["user.a"] }), 0);
    expect(() => state.inline(state.inode(5 as InodeNumber) as Inode)).toThrow(NotCached);
    expect(() => state.xattr(5 as InodeNumber, "user.a")).toThrow(NotCached);
    expect(state.xattr(5 as InodeNumber, "user.b"), "the inode has no such name").toBeNull();
  });

  test("a directory is complete when it was made here, or when as many names are known as it has", () => {
    const { state } = new World();
    state.learnInode(rootInode, inode(rootInode, "directory", { entryCount: 1 }), 0);
    expect(() => state.dirent(rootInode, n("a"))).toThrow(NotCached);
    state.learnDirent(rootInode, n("b"), { dirent: { ...file(9), name: n("b"), cookie: nameCookie(n("b")) }, inode: inode(9) }, 0);
    expect(state.dirent(rootInode, n("a"))).toBeNull();
    state.addInode(inode(7, "directory"));
    expect(state.dirent(7 as InodeNumber, n("a"))).toBeNull();
  });

  test("knowledge of its own is never overwritten by an answer", () => {
    const world = new World();
    const { state } = world;
    state.learnInode(5 as InodeNumber, inode(5, "file", { sizeBytes: 1 }), 0);
    world.change(1, () => {
      const known = state.inode(5 as InodeNumber) as Inode;
      state.changeInode(known);
      known.sizeBytes = 2;
      state.setDirent(rootInode, n("gone"), null);
    });
    state.learnInode(5 as InodeNumber, inode(5, "file", { sizeBytes: 1, inlineBytes: 1, inline: new Uint8Array(1) }), 0);
    state.learnDirent(rootInode, n("gone"), { dirent: { ...file(6), name: n("gone"), cookie: 9 }, inode: inode(6) }, 0);
    expect(state.inode(5 as InodeNumber)).toMatchObject({ sizeBytes: 2, inline: null });
    expect(state.dirent(rootInode, n("gone"))).toBeNull();
  });

  test("evicts nothing that is not durable, and what is over the budget when it is", () => {
    const world = new World({ inodes: 10 });
    for (let seq = 1; seq <= 40; seq++) world.change(seq, (state) => state.addInode(inode(seq)));
    expect(world.state.held.inodes).toBe(40);
    world.durableSeq = 40;
    for (let round = 0; round < 3; round++) world.state.settle();
    for (let seq = 41; seq <= 44; seq++) world.change(seq, (state) => state.addInode(inode(seq)));
    expect(world.state.held.inodes).toBeLessThanOrEqual(14);
    expect(world.state.inode(44 as InodeNumber)).not.toBeNull();
  });

  test("refuses answers that are older than a change it has forgotten", () => {
    const world = new World({ inodes: 4 });
    world.change(1, (state) => state.addInode(inode(1)));
    world.durableSeq = 1;
    expect(world.state.accepts(0)).toBe(true);
    for (let at = 2; at < 20; at++) {
      world.state.learnInode(at as InodeNumber, inode(at), 1);
      world.state.settle();
    }
    expect(() => world.state.inode(1 as InodeNumber), "it was evicted").toThrow(NotCached);
    expect(world.state.accepts(0)).toBe(false);
    expect(world.state.accepts(1)).toBe(true);
  });

  test("refuses answers from before a directory was removed, or an inode was voided", () => {
    const world = new World();
    world.change(3, (state) => state.removeInode(inode(8, "directory")));
    expect(world.state.accepts(2)).toBe(false);
    world.state.voidInode(5 as InodeNumber, 7);
    expect(world.state.accepts(6)).toBe(false);
    expect(world.state.accepts(7)).toBe(true);
  });

  test("keeps loaded inline data inside its budget, and counts what commands changed", () => {
    const world = new World({ inlineBytes: 10_000 });
    for (let at = 1; at <= 50; at++) {
      world.change(at, (state) => state.addInode(inode(at, "file", { inlineBytes: 1000, inline: new Uint8Array(1000) })));
      world.durableSeq = at;
    }
    expect(world.state.held.inlineBytes).toBeLessThanOrEqual(11_000);
    world.change(51, (state) => {
      const known = state.inode(50 as InodeNumber) as Inode;
      state.changeInode(known);
      known.inline = null;
      known.inlineBytes = 0;
    });
    world.state.voidAll(51);
    expect(world.state.held).toEqual({ inodes: 0, names: 0, inlineBytes: 0, xattrBytes: 0 });
  });

  test("names of many directories stay inside their budget, and eviction ends completeness", () => {
    const world = new World({ names: 100 });
    for (let at = 1; at <= 60; at++) {
      world.change(at, (state) => {
        state.addInode(inode(at, "directory", { entryCount: 3 }));
        for (const one of ["a", "b", "c"]) state.setDirent(at as InodeNumber, n(one), file(1000 + at));
      });
      world.durableSeq = at;
    }
    expect(world.state.held.names).toBeLessThanOrEqual(160);
    expect(() => world.state.dirent(1 as InodeNumber, n("z"))).toThrow(NotCached);
    expect(world.state.dirent(60 as InodeNumber, n("z"))).toBeNull();
  });

  test("extended attributes stay inside their budget", () => {
    const world = new World({ xattrBytes: 5000 });
    for (let at = 1; at <= 50; at++) {
      world.state.learnXattr(at as InodeNumber, "user.a", new Uint8Array(500));
      world.state.settle();
    }
    expect(world.state.held.xattrBytes).toBeLessThanOrEqual(6000);
  });
});
