import { describe, expect, test } from "vitest";
import { CfsError, rootInode } from "@cfs/core";
import type { InodeNumber } from "@cfs/core";
import { NotCached } from "@cfs/metadata";
import { Durability } from "./durability.ts";
import { Fetcher } from "./fetcher.ts";
import { cacheBudgetDefaults, PartialState } from "./partial-state.ts";
import type { Remote } from "./remote.ts";

const missing = { kind: "inode", ino: rootInode, withInline: false } as const;

/** A server that answers when it is told to. */
function lateServer(): { readonly remote: Remote; readonly answer: () => void; readonly asked: () => number } {
  const waiting: (() => void)[] = [];
  let asked = 0;
  const fetchInode = (): Promise<null> => {
    asked++;
    return new Promise((resolve) => waiting.push(() => resolve(null)));
  };
  return { remote: { fetchInode } as unknown as Remote, answer: () => waiting.shift()?.(), asked: () => asked };
}

function world(): { state: PartialState; durability: Durability; fetcher: Fetcher; server: ReturnType<typeof lateServer> } {
  const server = lateServer();
  const durability = new Durability({ memoryBytesMax: 1 << 20 });
  const state = new PartialState(cacheBudgetDefaults, () => durability.durableSeq);
  return { server, durability, state, fetcher: new Fetcher({ remote: server.remote, state, durability }) };
}

describe("Fetcher", () => {
  test("asks once for what many need, and again when it is needed again", async () => {
    const { fetcher, server, state } = world();
    const both = [fetcher.fetch(missing), fetcher.fetch(missing)];
    expect(server.asked()).toBe(1);
    server.answer();
    await Promise.all(both);
    expect(state.inode(rootInode)).toBeNull();
    const again = fetcher.fetch(missing);
    expect(server.asked()).toBe(2);
    server.answer();
    await again;
  });

  test("an answer from a lost session is not taken in", async () => {
    const { fetcher, server, state, durability } = world();
    const fetching = fetcher.fetch(missing);
    durability.reset(new CfsError("IO", "lost"));
    state.voidAll(0);
    server.answer();
    await fetching;
    expect(() => state.inode(rootInode)).toThrow(NotCached);
  });

  test("an answer that a forgotten change has overtaken is not taken in", async () => {
    const { fetcher, server, state, durability } = world();
    const fetching = fetcher.fetch(missing);
    durability.submit(0, 0);
    state.voidInode(7 as InodeNumber, durability.lastSeq);
    server.answer();
    await fetching;
    expect(() => state.inode(rootInode)).toThrow(NotCached);
  });
});
