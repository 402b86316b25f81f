/** The caches of a KvState: bounded, dirty records pinned, absence remembered. And the runs of regions against a set of numbers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { inodeNumber, rootInode } from "@cfs/core";
import type { Name } from "@cfs/core";
import { MemoryKv } from "../kv/memory-kv.ts";
import { KvState } from "./kv-state.ts";
import { addToRuns, removeFromRuns } from "./region-runs.ts";

test("clean records are bounded, dirty ones stay until they are written", () => {
  const kv = new MemoryKv();
  const state = new KvState(kv, { dirents: 100, inodes: 100 });
  for (let index = 0; index < 1000; index++)
    state.setDirent(rootInode, `n${index}` as Name, { ino: inodeNumber(2 + index, 0), kind: "file" });
  expect(state.dirtyCount).toBe(1000);
  for (let index = 0; index < 1000; index++) expect(state.dirent(rootInode, `n${index}` as Name)?.ino).toBe(inodeNumber(2 + index, 0));
  kv.write(state.encodeDirty());
  expect(state.dirtyCount).toBe(0);
  expect(state.cleanCount).toBeLessThanOrEqual(100);
  for (let index = 0; index < 1000; index++) expect(state.dirent(rootInode, `n${index}` as Name)?.ino).toBe(inodeNumber(2 + index, 0));
  for (let index = 0; index < 1000; index++) expect(state.inode(inodeNumber(5000 + index, 0))).toBeNull();
  expect(state.cleanCount).toBeLessThanOrEqual(200);
});

test("a record that changed many times is written once", () => {
  const state = new KvState(new MemoryKv());
  for (let index = 1; index < 100; index++) state.setDirent(rootInode, "n" as Name, { ino: inodeNumber(index, 1), kind: "file" });
  state.setDirent(rootInode, "gone" as Name, null);
  expect(state.encodeDirty()).toHaveLength(2);
  expect(state.encodeDirty()).toHaveLength(0);
});

test("runs of numbers are a set of them", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(24), { maxLength: 80 }), (numbers) => {
      const list: { begin: number; end: number }[] = [];
      const set = new Set<number>();
      for (const number of numbers) {
        if (set.delete(number)) removeFromRuns(list, number);
        else {
          set.add(number);
          addToRuns(list, number);
        }
        const expected: { begin: number; end: number }[] = [];
        for (const member of [...set].toSorted((a, b) => a - b)) {
          const last = expected.at(-1);
          if (last?.end === member) last.end += 1;
          else expected.push({ begin: member, end: member + 1 });
        }
        expect(list).toEqual(expected);
      }
    }),
  );
});
