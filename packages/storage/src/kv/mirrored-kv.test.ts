import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CfsError, silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { crc32cTable } from "../journal/crc32c.ts";
import { encodeBatch, LevelEngine } from "./level-engine.ts";
import type { Engine, EngineMaker, MirroredKvOptions } from "./kv-options.ts";
import { MirroredKv } from "./mirrored-kv.ts";

const clock: Clock = {
  wallTime: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString());

let root = "";
let failed: string[] = [];
let errors: string[] = [];
const log = { ...silentLogger, error: (message: string) => void errors.push(message) };
const listener = { onMemberFailed: (directory: string) => void failed.push(directory), onResync: () => undefined };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "cfs-kv-"));
  failed = [];
  errors = [];
});
afterEach(() => rm(root, { recursive: true, force: true }));

const directories = (...names: string[]): string[] => names.map((name) => join(root, name));

async function openOn(names: string[], options: Partial<MirroredKvOptions> = {}, engines: EngineMaker = LevelEngine): Promise<MirroredKv> {
  return MirroredKv.open({ crc32c: crc32cTable, clock, log, engines }, directories(...names), listener, {
    storeId: "node",
    ...options,
  });
}

async function content(kv: MirroredKv): Promise<[string, string][]> {
  const entries = await kv.scan({ begin: "", end: "\xff\xff", limit: 10_000 });
  return entries.map((entry) => [entry.key, Buffer.from(entry.value).toString()]);
}

/** Engines that fail or hang when told to. */
class Saboteur implements EngineMaker {
  readonly broken: Set<string> = new Set();
  readonly hanging: Set<string> = new Set();

  async open(...parts: Parameters<EngineMaker["open"]>): Promise<Engine> {
    const engine = await LevelEngine.open(...parts);
    const check = (): void => {
      if ([...this.broken].some((name) => engine.directory.endsWith(name))) throw new CfsError("IO", "the drive is gone");
    };
    return {
      directory: engine.directory,
      get: (key) => (check(), engine.get(key)),
      marker: () => engine.marker(),
      scan: async (...range) => (check(), engine.scan(...range)),
      write: async (...batch) => {
        check();
        if ([...this.hanging].some((name) => engine.directory.endsWith(name))) await new Promise(() => undefined);
        await engine.write(...batch);
      },
      close: () => engine.close(),
    };
  }

  destroy(directory: string): Promise<void> {
    return LevelEngine.destroy(directory);
  }
}

describe("a state store", () => {
  it("shows writes at once, merged into scans in order, and keeps them", async () => {
    let kv = await openOn(["a"]);
    kv.write([
      { key: "b", value: bytes("1") },
      { key: "a", value: bytes("2") },
      { key: "\xff\x00", value: bytes("3") },
      { key: "empty", value: new Uint8Array(0) },
    ]);
    expect(text(kv.get("a"))).toBe("2");
    expect(text(kv.get("empty"))).toBe("");
    expect(kv.get("c")).toBeNull();
    await kv.flush({ sync: true });
    kv.write([
      { key: "b", value: null },
      { key: "ab", value: bytes("4") },
    ]);
    expect(kv.get("b")).toBeNull();
    expect(await content(kv)).toEqual([
      ["a", "2"],
      ["ab", "4"],
      ["empty", ""],
      ["\xff\x00", "3"],
    ]);
    expect(await kv.scan({ begin: "a", end: "empty", limit: 1 })).toHaveLength(1);
    await kv.close();
    kv = await openOn(["a"]);
    expect((await content(kv)).length).toBe(4);
    await kv.close();
    expect(failed).toEqual([]);
  });

  it("holds back what is above the gate, and knows its log index", async () => {
    let kv = await openOn(["a", "b"], { isGated: true });
    kv.writeAt([{ key: "x", value: bytes("1") }], 5);
    kv.writeAt(
      [
        { key: "x", value: bytes("2") },
        { key: "y", value: bytes("2") },
      ],
      6,
    );
    kv.openGate(5);
    const flushed = kv.flush({ sync: true });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(kv.appliedIndex).toBe(5);
    expect(text(kv.get("x"))).toBe("2");
    flushed.catch(() => undefined);
    await kv.close();
    await expect(flushed).rejects.toThrow(/closed/);
    kv = await openOn(["a", "b"], { isGated: true });
    expect(kv.appliedIndex).toBe(5);
    expect(await content(kv)).toEqual([["x", "1"]]);
    await kv.close();
  });
});

describe("members", () => {
  it("that were away are filled again from the freshest, while writes go on", async () => {
    let kv = await openOn(["a", "b"]);
    kv.write(Array.from({ length: 3500 }, (_, at) => ({ key: `key ${at}`, value: bytes(`old ${at}`) })));
    await kv.close();
    kv = await openOn(["b"]);
    kv.write([
      { key: "key 7", value: null },
      { key: "key 8", value: bytes("new") },
    ]);
    await kv.close();
    kv = await openOn(["a", "b"]);
    expect(text(kv.get("key 8"))).toBe("new");
    for (let at = 0; at < 50; at++) {
      kv.write([
        { key: `key ${at * 70}`, value: bytes("during") },
        { key: `key ${at * 70 + 1}`, value: null },
      ]);
      await kv.flush({ sync: true });
    }
    await kv.resynced();
    expect(kv.directories.length).toBe(2);
    const expected = await content(kv);
    await kv.close();
    for (const name of ["a", "b"]) {
      const one = await openOn([name]);
      expect(await content(one)).toEqual(expected);
      await one.close();
    }
    expect(failed).toEqual([]);
  });

  it("that their owner takes away are gone without an error, but for the last one", async () => {
    const kv = await openOn(["a", "b"]);
    kv.write([{ key: "k", value: bytes("1") }]);
    await kv.flush({ sync: true });
    for (const directory of directories("a", "b")) kv.dropMember(directory, new CfsError("NO_DEVICE", "drive a leaves"));
    kv.write([{ key: "k", value: bytes("2") }]);
    await kv.flush({ sync: true });
    expect([kv.directories, text(kv.get("k")), failed, errors]).toEqual([directories("b"), "2", [], []]);
    await kv.close();
  });

  it("that fail are dropped, reads and writes go on, and a new one can be added", async () => {
    const engines = new Saboteur();
    const kv = await openOn(["a", "b", "c"], {}, engines);
    kv.write([{ key: "k", value: bytes("1") }]);
    await kv.flush({ sync: true });
    engines.broken.add("/a");
    expect(text(kv.get("k"))).toBe("1");
    expect([failed, errors]).toEqual([directories("a"), ["the state store dropped a member"]]);
    engines.broken.add("/b");
    kv.write([{ key: "k", value: bytes("2") }]);
    await kv.flush({ sync: true });
    expect(failed).toEqual(directories("a", "b"));
    await kv.addMember(join(root, "d"));
    expect(kv.directories).toEqual(directories("c", "d"));
    engines.broken.add("/c");
    expect(text(kv.get("k"))).toBe("2");
    engines.broken.add("/d");
    kv.write([{ key: "k", value: bytes("3") }]);
    await expect(kv.flush({ sync: true })).rejects.toThrow(/no member/);
    expect(() => kv.write([])).toThrow(/no member/);
    await kv.close();
  });

  it("that hang are dropped when others were done", async () => {
    const engines = new Saboteur();
    const kv = await openOn(["a", "b"], { stallMs: 50 }, engines);
    engines.hanging.add("/b");
    kv.write([{ key: "k", value: bytes("1") }]);
    await kv.flush({ sync: true });
    expect(failed).toEqual(directories("b"));
    await kv.close();
  });

  it("with a wrong value are outvoted by their own check, and repaired", async () => {
    let kv = await openOn(["a", "b"]);
    kv.write([
      { key: "k", value: bytes("right") },
      { key: "l", value: bytes("right") },
    ]);
    await kv.close();
    const engine = await LevelEngine.open(join(root, "a"), () => 0x1234, {});
    const marker = engine.marker.bind(engine);
    expect(marker).toThrow(/CORRUPT/);
    await engine.close();
    await LevelEngine.destroy(join(root, "a"));
    // A directory whose values carry checks of other content, but with the marker of the right one.
    const right = await LevelEngine.open(join(root, "b"), crc32cTable, {});
    const goodMarker = right.marker();
    await right.close();
    if (goodMarker === null) throw new Error("the store has a marker");
    let isLying = true;
    const lying = (input: Uint8Array): number => (isLying ? 1 : crc32cTable(input));
    const wrong = await LevelEngine.open(join(root, "a"), lying, {});
    await wrong.write(
      encodeBatch(
        [
          ["k", bytes("wrong")],
          ["l", bytes("wrong")],
        ],
        lying,
      ),
      goodMarker,
    );
    isLying = false;
    await wrong.write([], goodMarker);
    await wrong.close();
    kv = await openOn(["a", "b"]);
    expect(text(kv.get("k"))).toBe("right");
    expect(await content(kv)).toEqual([
      ["k", "right"],
      ["l", "right"],
    ]);
    await kv.flush({ sync: true });
    expect(kv.repairedCount).toBe(2);
    await kv.close();
    kv = await openOn(["a"]);
    expect(text(kv.get("k"))).toBe("right");
    await kv.close();
  });

  it("of another node, of a newer cfs, in use, or all half filled are refused", async () => {
    const kv = await openOn(["a"]);
    await expect(openOn(["a"])).rejects.toThrow(/BUSY/);
    kv.write([{ key: "k", value: bytes("1") }]);
    await kv.close();
    await expect(openOn(["a"], { storeId: "other" })).rejects.toThrow(/INVALID.*belongs to node/);
    const engine = await LevelEngine.open(join(root, "a"), crc32cTable);
    await engine.write([], { storeId: "node", appliedIndex: 3, batchNumber: 9, isComplete: false });
    await engine.close();
    await expect(openOn(["a"])).rejects.toThrow(/CORRUPT: no whole copy/);
  });
});
