import { expect, test } from "vitest";
import { CfsError } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import { LatchedErrors } from "./latched-errors.ts";

const ino = 65_536 as InodeNumber;

test("every handle that was open reports an error once; a later handle does not, once it was seen", () => {
  const errors = new LatchedErrors();
  const [a, b] = [errors.sample(ino), errors.sample(ino)];
  errors.latch(ino, new CfsError("NO_SPACE", "full"));
  const taken = errors.take(ino, a);
  expect(taken?.error.code).toBe("NO_SPACE");
  expect(errors.take(ino, taken?.seen ?? 0)).toBeNull();
  expect(errors.take(ino, b)).not.toBeNull();
  expect(errors.take(ino, errors.sample(ino))).toBeNull();
});

test("the first handle opened after an error that nobody has seen reports it", () => {
  const errors = new LatchedErrors();
  errors.latch(ino, new CfsError("IO", "first"));
  errors.latch(ino, new CfsError("IO", "second"));
  const later = errors.sample(ino);
  expect(errors.take(ino, later)?.error.message).toContain("second");
});

test("the whole mount reports any error once", () => {
  const errors = new LatchedErrors();
  errors.latch(ino, new CfsError("IO", "lost"));
  expect(errors.takeAnywhere()?.code).toBe("IO");
  expect(errors.takeAnywhere()).toBeNull();
});

test("forgets the oldest inodes past its bound", () => {
  const errors = new LatchedErrors();
  for (let at = 1; at <= 10_001; at++) errors.latch(at as InodeNumber, new CfsError("IO", "lost"));
  expect(errors.take(1 as InodeNumber, 0)).toBeNull();
  expect(errors.take(2 as InodeNumber, 0)).not.toBeNull();
});
