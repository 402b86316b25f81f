import { CfsError, type ErrorCode, errnoByCode } from "@cfs/core";
import { expect, test } from "vitest";
import { readFileSync } from "node:fs";
import { describeFailure, failureCodes } from "./exit.ts";
import { fromNodeError } from "./node-error.ts";

test("an operating error is its code and its sentence once, with a next step", () => {
  expect(describeFailure(new CfsError("ADDRESS_IN_USE", "127.0.0.1:9400 is in use"))).toEqual({
    exitCode: 1,
    code: "ADDRESS_IN_USE",
    message: "127.0.0.1:9400 is in use",
    next: "stop the program that uses it, or choose another address with --listen",
    stack: null,
  });
});

test("a next step of the error itself goes first", () => {
  expect(describeFailure(new CfsError("NO_SPACE", "full", { details: { next: "use less" } }))?.next).toBe("use less");
});

test("a CfsError is found below what wraps it", () => {
  expect(describeFailure(new Error("outer", { cause: new CfsError("IO", "inner") }))).toMatchObject({ code: "IO", message: "inner" });
});

test("anything else is a bug and shows its stack", () => {
  expect(describeFailure(new TypeError("x is undefined"))).toMatchObject({
    exitCode: 1,
    code: "BUG",
    stack: expect.stringContaining("exit.test") as string,
  });
});

test("no code lacks a description", () => {
  for (const code of Object.keys(errnoByCode) as ErrorCode[]) expect(describeFailure(new CfsError(code, "x"))?.code).toBe(code);
});

test("every code that a command can show is explained in docs/operating/errors.md", () => {
  const page = readFileSync(new URL("../../../docs/operating/errors.md", import.meta.url), "utf8");
  const explained = new Set([...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code));
  expect(explained).toEqual(new Set(failureCodes));
});

test("errors of Node keep the kernel's sentence", () => {
  const reason = Object.assign(new Error("EACCES: permission denied, open '/x, y'"), { errno: -13, code: "EACCES", syscall: "open" });
  expect((fromNodeError(reason, "/x, y") as CfsError).message).toBe("ACCESS_DENIED: /x, y: permission denied (open)");
  const bug = new Error("no");
  expect(fromNodeError(bug, "x")).toBe(bug);
});
