import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { shellWord, shownText } from "./shown-text.ts";

test("a line stays a line, and a terminal gets no orders", () => {
  expect(shownText("a\nb\tc\r\u001B[31m\u0085ü 文")).toBe("a\\nb\\tc\\r\\x1b[31m\\x85ü 文");
});

test.each(["/srv/d1", "10.0.0.5:9400", "/mnt/my files", "it's", "a\nb", "\\back\\slash", '$HOME `x` "y"', "tab\there's \\n"])(
  "bash reads %j back as it was",
  (text) => {
    expect(execFileSync("bash", ["-c", `printf %s ${shellWord(text)}`], { encoding: "utf8" })).toBe(text);
  },
);

test("what needs no quotes gets none", () => {
  expect(shellWord("/srv/d1")).toBe("/srv/d1");
  expect(shellWord("/mnt/my files")).toBe("'/mnt/my files'");
});
