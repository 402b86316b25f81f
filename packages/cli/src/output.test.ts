import { expect, test } from "vitest";
import { painter, renderTable } from "./output.ts";
import { memoryUi } from "./testing.ts";

const plain = (_style: string, text: string): string => text;

test("columns are as wide as their widest cell, numbers to the right, no blanks at the end", () => {
  const lines = renderTable(
    [{ title: "drive" }, { title: "used", align: "right" }, { title: "state" }],
    [
      ["/srv/a", "9 B", ""],
      ["/b", "12.3 GiB", "ok"],
    ],
    plain,
  );
  expect(lines).toEqual(["drive       used  state", "/srv/a       9 B", "/b      12.3 GiB  ok"]);
});

test("colour codes do not count as width", () => {
  const [line] = renderTable([{ title: "" }, { title: "" }], [["\u001B[31mbad\u001B[39m", "x"]], plain);
  expect(line).toBe("\u001B[31mbad\u001B[39m  x");
});

test("colours appear on a terminal only, and NO_COLOR and a dumb terminal switch them off", () => {
  const paintFor = (isTerminal: boolean, env: Record<string, string>): string =>
    painter({ write: () => undefined, isTerminal, columns: 80 }, env)("red", "x");
  expect(paintFor(true, {})).toBe("\u001B[31mx\u001B[39m");
  expect(paintFor(true, { NO_COLOR: "" })).not.toBe("x");
  expect([paintFor(false, {}), paintFor(true, { NO_COLOR: "1" }), paintFor(true, { TERM: "dumb" })]).toEqual(["x", "x", "x"]);
});

test("with --json only the result reaches stdout", () => {
  const memory = memoryUi({});
  memory.ui.isJson = true;
  memory.ui.print("for people");
  memory.ui.result({ count: 2n ** 60n }, () => memory.ui.print("also for people"));
  expect(JSON.parse(memory.outText())).toEqual({ count: "1152921504606846976" });
});
