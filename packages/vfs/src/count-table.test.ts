import fc from "fast-check";
import { expect, test } from "vitest";
import { CountTable } from "./count-table.ts";

const key = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1, max: 40 }).map((n) => n * 65_536 + 7),
  fc.maxSafeInteger().filter((n) => n > 0),
);

test("counts as a Map does, also while it grows, shrinks and closes gaps", () => {
  const step = fc.record({ key, count: fc.integer({ min: 1, max: 3 }), isAdd: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new CountTable();
      const model = new Map<number, number>();
      for (const { key: at, count, isAdd } of steps) {
        if (isAdd) {
          table.add(at, count);
          model.set(at, (model.get(at) ?? 0) + count);
        } else {
          const left = Math.max(0, (model.get(at) ?? 0) - count);
          expect(table.subtract(at, count)).toBe(left);
          if (left === 0) model.delete(at);
          else model.set(at, left);
        }
      }
      expect(table.size).toBe(model.size);
      for (const [at, count] of model) expect(table.get(at)).toBe(count);
      expect(table.keys().toSorted((a, b) => a - b)).toEqual([...model.keys()].toSorted((a, b) => a - b));
    }),
  );
});

test("grows to many keys and shrinks to none", () => {
  const table = new CountTable();
  for (let at = 1; at <= 50_000; at++) table.add(at * 65_536 + (at % 100), 1);
  expect(table.size).toBe(50_000);
  for (let at = 1; at <= 50_000; at++) expect(table.subtract(at * 65_536 + (at % 100), 5)).toBe(0);
  expect(table.size).toBe(0);
  expect(table.keys()).toEqual([]);
});
