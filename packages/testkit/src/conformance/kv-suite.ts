/**
 * What every ordered key-value store must do (metadata, kv/ordered-kv.ts): call `kvSuite` from a test file with a factory.
 *
 * The factory opens an empty store. `reopen`, when given, closes a store that was flushed and opens it again on the same data.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KvEntry, KvWrite, OrderedKv } from "@cfs/metadata";

export interface KvSuiteFactory {
  readonly open: () => Promise<OrderedKv>;
  readonly reopen?: (kv: OrderedKv) => Promise<OrderedKv>;
}

const everything = { begin: "", end: "\u00ff\u00ff\u00ff\u00ff" };

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

function text(entries: readonly KvEntry[]): string[] {
  return entries.map(({ key, value }) => `${key}=${Buffer.from(value).toString("latin1")}`);
}

function put(...pairs: readonly (readonly [string, string | null])[]): KvWrite[] {
  return pairs.map(([key, value]) => ({ key, value: value === null ? null : bytesOf(value) }));
}

async function withKv(open: () => Promise<OrderedKv>, use: (kv: OrderedKv) => Promise<void>): Promise<void> {
  const kv = await open();
  try {
    await use(kv);
  } finally {
    await kv.close();
  }
}

/** Point reads and batches. */
function pointTests(open: KvSuiteFactory["open"]): void {
  test("a key that was never written is null", async () => {
    await withKv(open, async (kv) => {
      expect(kv.get("a")).toBeNull();
    });
  });

  test("what was written is read at once, without a flush", async () => {
    await withKv(open, async (kv) => {
      kv.write(put(["a", "1"], ["b", "2"]));
      expect(text([{ key: "a", value: kv.get("a") ?? bytesOf("") }])).toEqual(["a=1"]);
      kv.write(put(["a", "3"], ["b", null]));
      expect(Buffer.from(kv.get("a") ?? []).toString()).toBe("3");
      expect(kv.get("b")).toBeNull();
    });
  });

  test("an empty value is not an absent one", async () => {
    await withKv(open, async (kv) => {
      kv.write([{ key: "empty", value: new Uint8Array(0) }]);
      expect(kv.get("empty")?.length).toBe(0);
      await kv.flush({ sync: true });
      expect(kv.get("empty")?.length).toBe(0);
      expect((await kv.scan({ ...everything, limit: 10 })).length).toBe(1);
    });
  });

  test("the last write of a key in one batch counts", async () => {
    await withKv(open, async (kv) => {
      kv.write(put(["a", "1"], ["a", null], ["a", "2"], ["b", "1"], ["b", null]));
      expect(text(await kv.scan({ ...everything, limit: 10 }))).toEqual(["a=2"]);
    });
  });

  test("an empty batch changes nothing", async () => {
    await withKv(open, async (kv) => {
      kv.write([]);
      await kv.flush({ sync: false });
      expect(await kv.scan({ ...everything, limit: 1 })).toEqual([]);
    });
  });

  test("values of many bytes come back whole", async () => {
    await withKv(open, async (kv) => {
      const value = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >>> 8)) & 255);
      kv.write([{ key: "large", value }]);
      await kv.flush({ sync: true });
      expect(Buffer.compare(kv.get("large") ?? new Uint8Array(0), value)).toBe(0);
    });
  });

  test("every char code from 0 to 255 is a part of a key like any other", async () => {
    await withKv(open, async (kv) => {
      const keys = Array.from({ length: 256 }, (_, code) => `k${String.fromCharCode(code)}`);
      kv.write(keys.map((key, index) => ({ key, value: Uint8Array.of(index) })));
      for (const flushed of [false, true]) {
        if (flushed) await kv.flush({ sync: false });
        keys.forEach((key, index) => expect(kv.get(key)?.[0]).toBe(index));
        expect((await kv.scan({ begin: "k", end: "l", limit: 1000 })).map((entry) => entry.key)).toEqual(keys);
      }
    });
  });
}

function scanTests(open: KvSuiteFactory["open"]): void {
  test("a scan gives [begin, end) in order, up to its limit", async () => {
    await withKv(open, async (kv) => {
      kv.write(put(["b", "2"], ["d", "4"], ["a", "1"], ["c", "3"]));
      expect(text(await kv.scan({ begin: "b", end: "d", limit: 10 }))).toEqual(["b=2", "c=3"]);
      expect(text(await kv.scan({ begin: "a", end: "z", limit: 2 }))).toEqual(["a=1", "b=2"]);
      expect(text(await kv.scan({ begin: "b\0", end: "z", limit: 2 }))).toEqual(["c=3", "d=4"]);
      expect(await kv.scan({ begin: "e", end: "z", limit: 2 })).toEqual([]);
      expect(await kv.scan({ begin: "b", end: "b", limit: 2 })).toEqual([]);
    });
  });

  test("a scan sees writes and deletes that were not flushed", async () => {
    await withKv(open, async (kv) => {
      kv.write(put(["a", "1"], ["b", "2"], ["c", "3"]));
      await kv.flush({ sync: false });
      kv.write(put(["b", null], ["bb", "x"], ["c", "4"]));
      expect(text(await kv.scan({ ...everything, limit: 10 }))).toEqual(["a=1", "bb=x", "c=4"]);
      kv.write(put(["a", null]));
      expect(text(await kv.scan({ ...everything, limit: 1 }))).toEqual(["bb=x"]);
    });
  });

  test("pages of ten thousand go on where the last one ended", async () => {
    await withKv(open, async (kv) => {
      const count = 25_000;
      const keys = Array.from({ length: count }, (_, index) => `p${String(index).padStart(6, "0")}`);
      kv.write(keys.map((key) => ({ key, value: bytesOf(key) })));
      const found: string[] = [];
      for (let begin = "p"; ;) {
        const page = await kv.scan({ begin, end: "q", limit: 10_000 });
        found.push(...page.map((entry) => entry.key));
        if (page.length < 10_000) break;
        begin = `${page.at(-1)?.key ?? ""}\0`;
      }
      expect(found).toEqual(keys);
    });
  });

  test("a scan is one moment: a batch made while it runs is in it whole or not at all", async () => {
    await withKv(open, async (kv) => {
      kv.write(put(["a", "1"], ["b", "1"]));
      const scans: Promise<readonly KvEntry[]>[] = [];
      for (let round = 2; round < 50; round++) {
        scans.push(kv.scan({ ...everything, limit: 10 }));
        kv.write(put(["a", String(round)], ["b", String(round)]));
      }
      for (const page of await Promise.all(scans)) {
        const values = page.map((entry) => Buffer.from(entry.value).toString());
        expect(values.length).toBe(2);
        expect(values[0]).toBe(values[1]);
      }
    });
  });
}

function modelTest({ open, reopen }: KvSuiteFactory): void {
  const key = fc
    .array(fc.constantFrom(0, 1, 97, 98, 254, 255), { minLength: 1, maxLength: 3 })
    .map((codes) => String.fromCharCode(...codes));
  const batch = fc.array(fc.tuple(key, fc.option(fc.uint8Array({ maxLength: 5 }))), { maxLength: 12 });
  const step = fc.oneof(
    { weight: 4, arbitrary: batch.map((writes) => ({ kind: "write" as const, writes })) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("scan" as const), begin: key, end: key, limit: fc.integer({ min: 1, max: 6 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("flush" as const), sync: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
  );

  test("random batches, scans, flushes and restarts agree with a sorted Map", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        let kv = await open();
        const model = new Map<string, string>();
        try {
          for (const next of steps) {
            if (next.kind === "write") {
              kv.write(next.writes.map(([at, value]) => ({ key: at, value })));
              for (const [at, value] of next.writes) {
                if (value === null) model.delete(at);
                else model.set(at, Buffer.from(value).toString("latin1"));
              }
              for (const [at] of next.writes) expect(kv.get(at) === null).toBe(!model.has(at));
            } else if (next.kind === "scan") {
              const expected = [...model].filter(([at]) => at >= next.begin && at < next.end).toSorted((a, b) => (a[0] < b[0] ? -1 : 1));
              expect(text(await kv.scan(next))).toEqual(expected.slice(0, next.limit).map(([at, value]) => `${at}=${value}`));
            } else if (next.kind === "flush") {
              await kv.flush({ sync: next.sync });
            } else if (reopen !== undefined) {
              await kv.flush({ sync: true });
              kv = await reopen(kv);
            }
          }
          const all = text(await kv.scan({ ...everything, limit: 10_000 }));
          expect(all).toEqual([...model].toSorted((a, b) => (a[0] < b[0] ? -1 : 1)).map(([at, value]) => `${at}=${value}`));
        } finally {
          await kv.close();
        }
      }),
      { numRuns: 40 },
    );
  });
}

function lifeTests({ open, reopen }: KvSuiteFactory): void {
  test("close is safe twice, and afterwards calls fail", async () => {
    const kv = await open();
    kv.write(put(["a", "1"]));
    await kv.close();
    await kv.close();
    expect(() => kv.get("a")).toThrow();
    expect(() => kv.write(put(["a", "2"]))).toThrow();
    await expect((async () => kv.scan({ ...everything, limit: 1 }))()).rejects.toThrow();
  });

  if (reopen === undefined) return;
  test("what was flushed with sync is there after a restart", async () => {
    let kv = await open();
    try {
      kv.write(put(["a", "1"], ["b", "2"]));
      await kv.flush({ sync: true });
      kv.write(put(["a", null], ["c", "3"]));
      await kv.flush({ sync: true });
      kv = await reopen(kv);
      expect(text(await kv.scan({ ...everything, limit: 10 }))).toEqual(["b=2", "c=3"]);
    } finally {
      await kv.close();
    }
  });
}

export function kvSuite(name: string, factory: KvSuiteFactory): void {
  describe(`${name} as an ordered key-value store`, () => {
    pointTests(factory.open);
    scanTests(factory.open);
    modelTest(factory);
    lifeTests(factory);
  });
}
