/** The verdicts over POSIX cases: nothing that fails passes unseen, and nothing stays on the list that works. */
import { describe, expect, test } from "vitest";
import { groupCases, parseResult } from "./case-runner.ts";
import { judge } from "./known-gaps.ts";

const passed = { name: "a/b", status: "pass", detail: "", ms: 1 } as const;
const failed = { name: "a/b", status: "fail", detail: "a.c:1: ENOENT", ms: 1 } as const;

describe("judge", () => {
  test("a pass passes and a failure fails with its detail", () => {
    expect(judge(passed, "cfs", "a/b", {})).toEqual({ type: "pass" });
    expect(judge(failed, "cfs", "a/b", {})).toEqual({ type: "fail", reason: "a.c:1: ENOENT" });
  });

  test("a case that did not report fails", () => {
    expect(judge(undefined, "cfs", "a/b", {}).type).toBe("fail");
    expect(judge(undefined, "cfs", "a/b", { "a/b": "known" }).type).toBe("fail");
  });

  test("a known failure is skipped aloud, and must leave the list of cfs when it passes", () => {
    expect(judge(failed, "cfs", "a/b", { "a/b": "because" })).toEqual({ type: "skip", reason: "known: because" });
    expect(judge(passed, "cfs", "a/b", { "a/b": "because" }).type).toBe("fail");
    expect(judge(passed, "reference", "a/b", { "a/b": "because" }).type).toBe("pass");
  });
});

describe("results", () => {
  test("lines are read and checked", () => {
    expect(parseResult('{"name":"a/b","status":"fail","detail":"\\u00ff","ms":3}')).toEqual({
      name: "a/b",
      status: "fail",
      detail: "\u00ff",
      ms: 3,
    });
    expect(() => parseResult('{"name":"a/b","status":"maybe","detail":"","ms":3}')).toThrow("unknown status");
    expect(() => parseResult('{"name":"a/b"}')).toThrow("not a result");
  });

  test("names are grouped by their first part", () => {
    expect([...groupCases(["a/1", "a/2", "b/1"])]).toEqual([
      ["a", ["a/1", "a/2"]],
      ["b", ["b/1"]],
    ]);
  });
});
