/** The example of the README is the one that runs here, and does what it says. */
import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";

test("the example of the README works", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const { servers } = await import("./testing/readme-example.ts");
  expect([...servers.values()].map(({ words }) => words)).toEqual([["hello"], ["hello"], ["hello"]]);
  expect(log).toHaveBeenCalledTimes(3);
  log.mockRestore();
});

test("the README shows what is run", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const source = readFileSync(new URL("./testing/readme-example.ts", import.meta.url), "utf8");
  const shown = /```ts\n(import[\s\S]*?)```/.exec(readme)?.[1];
  const body = source.slice(source.indexOf("*/\n") + 3);
  expect(shown?.replace('"raft-ts"', '"../index.ts"')).toBe(body);
  // A reader who has only this package can run it.
  expect([...body.matchAll(/from "(.*)"/g)].map(([, from]) => from)).toEqual(["../index.ts"]);
  expect(body.trimEnd().split("\n").length).toBeLessThanOrEqual(40);
});
