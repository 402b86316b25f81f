/** Listings and scans: dirty records, records written while a scan waits, pages, names of one hash. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inodeNumber, rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { MemoryKv } from "../kv/memory-kv.ts";
import type { KvEntry, KvRange } from "../kv/ordered-kv.ts";
import { nameCookie, nameHash } from "./cookie.ts";
import { direntKey } from "./keys.ts";
import { KvState } from "./kv-state.ts";
import { encodeDirent } from "./record-format.ts";
import { listDirectory, listOrphans, listRegions } from "./state-scans.ts";
import { runs } from "./testing/runs.ts";
import { clientId } from "./testing/world.ts";

const directory = rootInode;

/** Scans wait until a test lets them go on: at the start, or after the store has answered. */
class SlowKv extends MemoryKv {
  during: (() => void)[] = [];

  override async scan(range: KvRange): Promise<readonly KvEntry[]> {
    this.during.shift()?.();
    const page = await super.scan(range);
    this.during.shift()?.();
    return page;
  }
}

function entry(index: number): { ino: InodeNumber; kind: "file" } {
  return { ino: inodeNumber(2 + index, 0), kind: "file" };
}

describe("a directory listing", () => {
  test("sees the store, what is dirty, and what changes while it waits", async () => {
    const step = fc.tuple(fc.constantFrom("set", "remove", "flush"), fc.nat(30));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { maxLength: 8 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 9 }),
        async (rounds, limit) => {
          const kv = new SlowKv();
          const state = new KvState(kv, { dirents: 4 });
          const model = new Map<string, number>();
          // Names that stay from before the first page to after the last must come exactly once.
          const changed = new Set<string>();
          const play = (steps: readonly (readonly [string, number])[]): void => {
            for (const [what, index] of steps) {
              const name = `n${index}` as Name;
              if (what === "flush") {
                kv.write(state.encodeDirty());
                continue;
              }
              changed.add(name);
              state.setDirent(directory, name, what === "set" ? entry(index) : null);
              if (what === "set") model.set(name, entry(index).ino);
              else model.delete(name);
            }
          };
          play(rounds[0] ?? []);
          changed.clear();
          const atFirst = new Map(model);
          kv.during = rounds.slice(1).map((steps) => () => play(steps));
          const seen: string[] = [];
          let last = 0;
          for (let cookie = 0; ;) {
            const page = await listDirectory(state, directory, cookie, limit);
            for (const found of page) {
              expect(found.cookie).toBeGreaterThan(last);
              last = found.cookie;
              seen.push(found.name);
            }
            if (page.length < limit) break;
            cookie = page.at(-1)?.cookie ?? 0;
          }
          expect(new Set(seen).size).toBe(seen.length);
          for (const name of atFirst.keys()) if (!changed.has(name)) expect(seen).toContain(name);
          for (const name of seen) if (!changed.has(name)) expect(atFirst.has(name)).toBe(true);
          // With nothing changing, the listing is the model.
          kv.during = [];
          const all = await listDirectory(state, directory, 0, 100);
          expect(new Map(all.map((found) => [found.name as string, found.ino as number]))).toEqual(model);
        },
      ),
      { numRuns: runs(300) },
    );
  });

  test("one page reflects a batch that was written while it waited", async () => {
    for (const when of [0, 1]) {
      const kv = new SlowKv();
      const state = new KvState(kv);
      state.setDirent(directory, "old" as Name, entry(1));
      kv.write(state.encodeDirty());
      const change = (): void => {
        state.setDirent(directory, "old" as Name, null);
        state.setDirent(directory, "new" as Name, entry(2));
        kv.write(state.encodeDirty());
      };
      kv.during = when === 0 ? [change] : [() => {}, change];
      expect((await listDirectory(state, directory, 0, 10)).map((found) => found.name)).toEqual(["new"]);
    }
  });

  test("never splits names of one hash", async () => {
    const kv = new MemoryKv();
    const state = new KvState(kv);
    // Real names of one 52-bit hash are not to be had: the entries go into the store under a chosen hash.
    const write = (name: string, hash: number): void =>
      kv.write([{ key: direntKey(directory, hash, name as Name), value: encodeDirent(entry(1)) }]);
    for (const name of ["a", "b", "c", "d", "e"]) write(name, 1000);
    write("first", 10);
    write("last", 2000);
    const names = async (cookie: number, limit: number): Promise<string[]> =>
      (await listDirectory(state, directory, cookie, limit)).map((found) => found.name);
    expect(await names(0, 1)).toEqual(["first"]);
    expect(await names(0, 2)).toEqual(["first", "a", "b", "c", "d", "e"]);
    expect(await names(13, 3)).toEqual(["a", "b", "c", "d", "e"]);
    expect(await names(1003, 3)).toEqual(["last"]);
    expect(await names(2003, 3)).toEqual([]);
  });

  test("knows nothing of other directories", async () => {
    const state = new KvState(new MemoryKv());
    for (const parent of [1, 2, 3]) state.setDirent(parent as InodeNumber, `in${parent}` as Name, entry(parent));
    expect((await listDirectory(state, 2 as InodeNumber, 0, 10)).map((found) => [found.name, found.cookie])).toEqual([
      ["in2", nameCookie("in2" as Name)],
    ]);
    expect(await listDirectory(state, 2 as InodeNumber, nameHash("in2" as Name) + 3, 10)).toEqual([]);
  });
});

test("lists of records go on after the last one", async () => {
  const kv = new MemoryKv();
  const state = new KvState(kv);
  const all = Array.from({ length: 10 }, (_, index) => inodeNumber(2 + index, 0));
  all.forEach((ino, index) => {
    state.setOrphan(ino, clientId);
    if (index === 5) kv.write(state.encodeDirty());
  });
  const third = all[2] ?? rootInode;
  state.setOrphan(third, null);
  const left = all.filter((ino) => ino !== third);
  expect((await listOrphans(state, 0, 4)).map((orphan) => orphan.ino)).toEqual(left.slice(0, 4));
  expect((await listOrphans(state, left[3] ?? 0, 100)).map((orphan) => orphan.ino)).toEqual(left.slice(4));
  state.setRegion(5 as InodeNumber, 0, { extents: [] });
  state.setRegion(5 as InodeNumber, 70_000, { extents: [] });
  expect((await listRegions(state, null, 1)).map((found) => found.index)).toEqual([0]);
  expect((await listRegions(state, { ino: 5 as InodeNumber, index: 0 }, 5)).map((found) => found.index)).toEqual([70_000]);
});
