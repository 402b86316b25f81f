import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { InodeNumber, Name } from "@cfs/core";
import { nameCookie } from "@cfs/metadata";
import { DirectoryNames } from "./directory-names.ts";

const ino = 7 as InodeNumber;
const file = (at: number): { ino: InodeNumber; kind: "file" } => ({ ino: at as InodeNumber, kind: "file" });
const n = (text: string): Name => text as Name;

describe("DirectoryNames", () => {
  test("remembers what was removed only while it does not know all names", () => {
    const partial = new DirectoryNames(ino, false);
    partial.set(n("a"), file(1), 1);
    partial.set(n("a"), null, 2);
    expect(partial.get(n("a"))?.ino).toBe(0);
    const complete = new DirectoryNames(ino, true);
    complete.set(n("a"), file(1), 1);
    complete.set(n("a"), null, 2);
    expect(complete.get(n("a"))).toBeUndefined();
    expect(complete.changedSeq).toBe(2);
  });

  test("learns only where it knows nothing", () => {
    const names = new DirectoryNames(ino, false);
    names.set(n("a"), null, 3);
    names.learn(n("a"), file(1), nameCookie(n("a")));
    names.learn(n("b"), file(2), nameCookie(n("b")));
    names.learn(n("b"), file(3), nameCookie(n("b")));
    expect(names.get(n("a"))?.ino).toBe(0);
    expect(names.get(n("b"))?.ino).toBe(2);
    expect(names.presentCount).toBe(1);
  });

  test("evicts durable names only, and is no longer complete then", () => {
    const names = new DirectoryNames(ino, true);
    names.set(n("a"), file(1), 1);
    names.set(n("b"), file(2), 5);
    expect(names.evict(10, 4)).toEqual({ evicted: 1, newestSeq: 5 });
    expect(names.get(n("b"))?.ino).toBe(2);
    expect(names.isComplete).toBe(false);
    expect(names.presentCount).toBe(1);
  });

  test("a large directory still knows which names are new after it let names go", () => {
    const names = new DirectoryNames(ino, true);
    for (let at = 0; at < 5000; at++) names.set(n(`old${at}`), file(at + 1), at + 1);
    names.evict(4000, 5000);
    expect(names.isComplete).toBe(false);
    expect(names.get(n("old0"))).toBeUndefined();
    expect(names.excludes(n("old0"))).toBe(false);
    expect(names.excludes(n("new"))).toBe(true);
    names.set(n("new"), file(9000), 5001);
    names.evict(4000, 6000);
    expect(names.get(n("new"))).toBeUndefined();
    expect(names.excludes(n("new")), "it exists").toBe(false);
    expect(names.excludes(n("newer"))).toBe(true);
  });

  test("lists in cookie order from any cookie while names come and go", () => {
    const step = fc.record({
      name: fc.integer({ min: 0, max: 30 }).map((at) => n(`name${at}`)),
      isAdd: fc.boolean(),
      from: fc.option(fc.integer({ min: 0, max: 30 }).map((at) => nameCookie(n(`name${at}`)))),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const names = new DirectoryNames(ino, true);
        const model = new Set<Name>();
        let seq = 0;
        for (const { name, isAdd, from } of steps) {
          names.set(name, isAdd ? file(++seq) : null, seq);
          if (isAdd) model.add(name);
          else model.delete(name);
          if (from === null) continue;
          const { entries, begin } = names.listFrom(from);
          const listed = entries
            .slice(begin)
            .filter((entry) => entry.ino !== 0)
            .map((entry) => entry.name);
          expect(listed).toEqual([...model].filter((one) => nameCookie(one) > from).toSorted((a, b) => nameCookie(a) - nameCookie(b)));
        }
        expect(names.presentCount).toBe(model.size);
      }),
    );
  });
});
