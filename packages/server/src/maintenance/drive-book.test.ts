import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@cfs/core";
import { expect, onTestFinished, test } from "vitest";
import { bookName, parseBook, readBook, writeBook } from "./drive-book.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "cfs-book-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const book = {
  sequence: 3,
  nodeId: "n1",
  drives: [
    { driveId: "a", path: "/a", state: "member" as const },
    { driveId: "b", path: "/b", state: "removed" as const },
  ],
};

test("what is written is read, the highest sequence wins, other nodes and damage do not count", async () => {
  const [one, two, three] = [folder(), folder(), folder()] as const;
  await writeBook([one, two], book, silentLogger);
  await writeBook([two], { ...book, sequence: 4, drives: [] }, silentLogger);
  expect(await readBook([one], "n1")).toEqual(book);
  expect(await readBook([one, two], "n1")).toMatchObject({ sequence: 4, drives: [] });
  expect(await readBook([one, two], "n2")).toBeNull();
  writeFileSync(join(three, bookName), '{"format": 1, "sequence"');
  expect(await readBook([three, one, join(three, "none")], "n1")).toEqual(book);
  expect(readdirSync(one)).toEqual([bookName]);
});

test.each(["", "null", "[]", '{"format":2,"sequence":1,"nodeId":"n","drives":[]}', '{"format":1,"sequence":"1","nodeId":"n","drives":[]}'])(
  "%j is no book",
  (text) => {
    expect(parseBook(text)).toBeNull();
  },
);

test("entries that mean nothing are left out", () => {
  expect(
    parseBook('{"format":1,"sequence":1,"nodeId":"n","drives":[{"driveId":"a","path":"/a","state":"member"},{"driveId":1},null]}')?.drives,
  ).toHaveLength(1);
});

test("a drive that cannot take it does not stop the others", async () => {
  const one = folder();
  await writeBook([join(one, "none"), one], book, silentLogger);
  expect(await readBook([one], "n1")).toEqual(book);
});
