import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { fromNodeError } from "./node-error.ts";

test("an error of the operating system names the path once, with the kernel's words and the code", async () => {
  const reason: unknown = await readFile("/no, such 'file'").catch((error: unknown) => error);
  expect(fromNodeError(reason, "open /no, such 'file'").message).toBe(
    "NOT_FOUND: open /no, such 'file': no such file or directory (ENOENT)",
  );
});

test("what has no number is IO, with its own words", () => {
  expect(fromNodeError(new Error("torn, read"), "read /x").message).toBe("IO: read /x: torn, read");
});
