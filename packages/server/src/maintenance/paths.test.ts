import { rootInode, slotCount } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { applyCommand, KvState, MemoryKv } from "@cfs/metadata";
import { expect, test } from "vitest";
import { findPaths, shownName } from "./paths.ts";

const time = { sec: 1, nsec: 0 };
const caller = { uid: 0, gid: 0, groups: [] };

/** A tree of directories and files in a store, made by the commands themselves. */
function tree(): { kv: MemoryKv; make: (parent: number, name: string, kind: "directory" | "file") => InodeNumber; store: () => void } {
  const kv = new MemoryKv();
  const state = new KvState(kv);
  const apply = (command: Parameters<typeof applyCommand>[1]): void => {
    expect(applyCommand(state, command, { clientId: null, payload: null }).errno, command.type).toBe(0);
  };
  apply({ type: "format", clusterId: "c", drives: [], uid: 0, gid: 0, time });
  let count = 1;
  const make = (parent: number, name: string, kind: "directory" | "file"): InodeNumber => {
    count++;
    const ino = (count * slotCount) as InodeNumber;
    apply({
      type: "makeNode",
      parent: parent as InodeNumber,
      name: name as Name,
      ino,
      kind,
      mode: 0o755,
      umask: 0,
      rdev: 0,
      target: null,
      time,
      caller,
    } as never);
    return ino;
  };
  return { kv, make, store: () => kv.write(state.encodeDirty()) };
}

test("paths are found through all directories above, in two passes", async () => {
  const { kv, make, store } = tree();
  const a = make(rootInode, "a", "directory");
  const b = make(a, "b c", "directory");
  const deep = make(b, "file", "file");
  const top = make(rootInode, "top", "file");
  for (let index = 0; index < 3_000; index++) make(a, `filler${index}`, "file");
  store();
  const wanted = new Set([deep, top, (99_999 * slotCount) as InodeNumber]);
  const paths = await findPaths(kv, wanted, new AbortController().signal);
  expect([...paths].toSorted(([x], [y]) => x - y)).toEqual([
    [deep, "/a/b c/file"],
    [top, "/top"],
  ]);
});

test("a search that nobody waits for stops", async () => {
  const { kv, make, store } = tree();
  const file = make(rootInode, "file", "file");
  store();
  await expect(findPaths(kv, new Set([file]), AbortSignal.abort())).rejects.toThrow("aborted");
});

test("names are shown as text, and what is no text as escapes", () => {
  expect(shownName(Buffer.from("Grüße").toString("latin1"))).toBe("Grüße");
  expect(shownName("\xff\xfeab")).toBe("\\xff\\xfeab");
  expect(shownName("a\nb")).toBe("a\\x0ab");
});
