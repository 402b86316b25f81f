/** The cached vfs against the naive model: random operations, with crashes of the server, tiny caches, remounts. Always the same answers. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { invariants, silentLogger } from "@cfs/core";
import type { Name } from "@cfs/core";
import { CachedVfs } from "@cfs/vfs";
import type { CachedVfsSettings } from "@cfs/vfs";
import { ManualClock } from "../manual-clock.ts";
import type { MemoryRemote } from "../memory-remote.ts";
import { MemoryServer } from "../memory-server.ts";
import type { ModelKind } from "./model-fs.ts";
import { bytesOf, root, VfsTwin } from "./vfs-twin.ts";

const names = ["a", "b", "c", "d", "e"] as const;
const kinds: readonly ModelKind[] = ["file", "directory", "directory", "symlink", "fifo"];

const index = fc.nat({ max: 20 });
const name = fc.constantFrom(...names);
/** Around the borders of inline data and of regions. */
const offset = fc.oneof(
  fc.nat({ max: 200 }),
  fc.integer({ min: 3900, max: 4200 }),
  fc.integer({ min: 0, max: 20_000 }),
  fc.integer({ min: (1 << 20) - 50, max: (1 << 20) + 50 }),
);
const length = fc.oneof(fc.nat({ max: 300 }), fc.integer({ min: 3800, max: 4200 }), fc.integer({ min: 0, max: 12_000 }));

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("make" as const), at: index, name, kind: fc.constantFrom(...kinds) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("create" as const), at: index, name: fc.option(name, { freq: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("lookup" as const), at: index, name }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("unlink" as const), at: index, name, directory: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("rename" as const),
      at: index,
      name,
      to: index,
      newName: name,
      flags: fc.constantFrom(0, 0, 0, 1, 2),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("link" as const), node: index, at: index, name }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("open" as const), node: index, truncate: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("close" as const), file: index }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("write" as const), file: index, offset, length, seed: fc.nat({ max: 255 }) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("read" as const), file: index, offset, length }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("truncate" as const), node: index, size: offset }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("allocate" as const),
      file: index,
      mode: fc.constantFrom(0, 1, 3, 16, 17),
      offset,
      length: fc.integer({ min: 1, max: 12_000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("copy" as const), file: index, offset, other: index, to: offset, length }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("seek" as const), file: index, offset }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("list" as const),
      at: index,
      withAttributes: fc.boolean(),
      perCall: fc.integer({ min: 1, max: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("setXattr" as const), node: index, name, value: fc.string({ maxLength: 20 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("removeXattr" as const), node: index, name }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom(
        "forgetAll" as const,
        "durable" as const,
        "crash" as const,
        "sync" as const,
        "remount" as const,
        "compare" as const,
      ),
    }),
  },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;
type WorldType = "forgetAll" | "durable" | "crash" | "sync" | "remount" | "compare";
type TreeOperation = Extract<Operation, { type: "make" | "create" | "lookup" | "unlink" | "rename" | "link" | "open" | "close" }>;
type WorldOperation = Extract<Operation, { type: WorldType }>;
type ContentOperation = Exclude<Operation, TreeOperation | WorldOperation>;

function isWorld(op: Operation): op is WorldOperation {
  return ["forgetAll", "durable", "crash", "sync", "remount", "compare"].includes(op.type);
}

class Harness {
  readonly server: MemoryServer;
  readonly #clock: ManualClock = new ManualClock({ tickMs: 1 });
  readonly #settings: CachedVfsSettings;
  #remote: MemoryRemote;
  readonly twin: VfsTwin;

  constructor(isDurableAtOnce: boolean, settings: CachedVfsSettings, pageEntriesMax: number) {
    this.server = new MemoryServer({ isDurableAtOnce, pageEntriesMax, grantCount: 7 });
    this.#settings = settings;
    this.#remote = this.server.connect();
    this.twin = new VfsTwin(this.#newVfs());
  }

  #newVfs(): CachedVfs {
    return new CachedVfs({ remote: this.#remote, clock: this.#clock, logger: silentLogger }, this.#settings);
  }

  async run(op: Operation): Promise<void> {
    const { twin } = this;
    switch (op.type) {
      case "make":
        return twin.make(twin.directory(op.at), op.name, op.kind);
      case "create":
        return twin.create(twin.directory(op.at), op.name);
      case "lookup":
        return twin.lookup(twin.directory(op.at), op.name);
      case "unlink": {
        const parent = twin.directory(op.at);
        const call = () =>
          op.directory
            ? twin.vfs.removeDirectory(twin.ino(parent), op.name as Name, root)
            : twin.vfs.unlink(twin.ino(parent), op.name as Name, root);
        await twin.both(`unlink ${op.name}`, () => twin.model.remove(parent, op.name, op.directory), call);
        return;
      }
      case "rename": {
        const [parent, newParent] = [twin.directory(op.at), twin.directory(op.to)];
        await twin.both(
          `rename ${op.name} ${op.newName} ${op.flags}`,
          () => twin.model.rename(parent, op.name, newParent, op.newName, op.flags),
          () => twin.vfs.rename(twin.ino(parent), op.name as Name, twin.ino(newParent), op.newName as Name, op.flags, root),
        );
        return;
      }
      case "link": {
        const [node, parent] = [twin.node(op.node), twin.directory(op.at)];
        const entry = await twin.both(
          `link ${op.name}`,
          () => twin.model.link(node, parent, op.name),
          () => twin.vfs.link(twin.ino(node), twin.ino(parent), op.name as Name, root),
        );
        if (entry !== null) twin.counted(entry);
        return;
      }
      case "open":
        return twin.openFile(twin.node(op.node), op.truncate);
      case "close":
        return twin.closeFile(op.file);
      default:
        return isWorld(op) ? this.#runWorld(op.type) : this.#runContent(op);
    }
  }

  async #runContent(op: ContentOperation): Promise<void> {
    const { twin } = this;
    if (op.type === "list") return twin.list(twin.directory(op.at), op.withAttributes, op.perCall);
    if (op.type === "truncate") {
      const node = twin.node(op.node);
      await twin.both(
        "truncate",
        () => twin.model.truncate(node, op.size),
        () => twin.vfs.setAttributes(twin.ino(node), { sizeBytes: op.size }, root),
      );
      return;
    }
    if (op.type === "setXattr" || op.type === "removeXattr") return this.#runXattr(op);
    const pair = twin.open[op.file % Math.max(1, twin.open.length)];
    if (pair === undefined) return;
    const { node, handle } = pair;
    if (op.type === "write") {
      const bytes = Buffer.alloc(op.length, op.seed);
      for (let at = 0; at < bytes.length; at += 97) bytes[at] = (op.seed + at) & 255;
      const expected = Buffer.from(bytes);
      const writing = twin.both(
        "write",
        () => twin.model.write(node, op.offset, expected),
        () => {
          const written = twin.vfs.write(handle, op.offset, bytes, { killSetId: false, fromPageCache: false });
          bytes.fill(0xee); // Borrowed until the call has returned.
          return written;
        },
      );
      assert.equal(await writing, op.length);
    } else if (op.type === "read") {
      const bytes = bytesOf(await twin.vfs.read(handle, op.offset, op.length));
      assert.equal(bytes.equals(node.data.subarray(op.offset, op.offset + op.length)), true, `read of node ${node.id}`);
    } else if (op.type === "allocate") {
      await twin.both(
        "allocate",
        () => twin.model.allocate(node, op.mode, op.offset, op.length),
        () => twin.vfs.allocate(handle, op.mode, op.offset, op.length, root),
      );
    } else if (op.type === "copy") {
      const target = twin.open[op.other % twin.open.length] as (typeof twin.open)[number];
      let count = 0;
      const copied = await twin.both(
        "copy",
        () => (count = twin.model.copy(node, op.offset, target.node, op.to, op.length)),
        () => twin.vfs.copyRange(handle, op.offset, target.handle, op.to, op.length, root),
      );
      if (copied !== null) assert.equal(copied, count);
    } else {
      await this.#runSeek(node.data, handle, op.offset);
    }
  }

  /** Whatever is skipped as a hole must be zeros, and a hole must be where one is said to be. */
  async #runSeek(data: Buffer, handle: number, offset: number): Promise<void> {
    if (offset >= data.length) return;
    const { vfs } = this.twin;
    const dataAt = await Promise.resolve()
      .then(() => vfs.seek(handle, offset, 3))
      .catch(() => data.length);
    assert.equal(
      data.subarray(offset, dataAt).every((byte) => byte === 0),
      true,
      "no data is skipped",
    );
    const holeAt = await vfs.seek(handle, offset, 4);
    assert.ok(holeAt >= offset);
    assert.ok(holeAt <= data.length);
  }

  async #runXattr(op: { readonly type: string; readonly node: number; readonly name: string; readonly value?: string }): Promise<void> {
    const { twin } = this;
    const node = twin.node(op.node);
    if (node.kind !== "file" && node.kind !== "directory") return;
    const xattr = `user.${op.name}`;
    if (op.value !== undefined) {
      await twin.vfs.setXattr(twin.ino(node), xattr, Buffer.from(op.value), 0, false, root);
      node.xattrs.set(xattr, op.value);
      return;
    }
    const existed = node.xattrs.delete(xattr);
    const result = await Promise.resolve()
      .then(() => twin.vfs.removeXattr(twin.ino(node), xattr, root))
      .then(
        () => true,
        () => false,
      );
    assert.equal(result, existed);
  }

  async #runWorld(type: WorldType): Promise<void> {
    const { twin } = this;
    if (type === "forgetAll") twin.forgetAll();
    else if (type === "durable") this.server.makeDurable();
    else if (type === "crash") this.server.crash();
    else if (type === "compare") await twin.compareAll();
    else if (type === "sync") await this.#settled(Promise.resolve(twin.vfs.syncAll()));
    else await this.remount();
  }

  /** Makes everything durable until what waits for it is done. */
  async #settled(waiting: Promise<void>): Promise<void> {
    let isDone = false;
    const done = waiting.finally(() => (isDone = true));
    for (let turn = 0; !isDone && turn < 1000; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.server.makeDurable();
    }
    await done;
  }

  async remount(): Promise<void> {
    const { twin } = this;
    while (twin.open.length > 0) await twin.closeFile(0);
    twin.forgetAll();
    await this.#settled(twin.vfs.close());
    assert.equal(twin.vfs.holdings.openFiles, 0);
    await this.#remote.close();
    this.#remote = this.server.connect();
    twin.vfs = this.#newVfs();
  }

  async finish(): Promise<void> {
    await this.twin.compareAll();
    await this.remount();
    await this.twin.compareAll();
    const live = [...this.twin.inoOf.keys()].filter((node) => node.nlink > 0).length;
    assert.equal(this.server.state.usage().inodes, live, "no inode is left over");
    await this.remount();
    assert.deepEqual(this.server.divergences, []);
  }
}

const tiny: CachedVfsSettings = {
  cache: { inodes: 6, names: 8, namesPerDirectory: 4, inlineBytes: 6000, xattrBytes: 300 },
  writeBytesMax: 1 << 30,
  poolBytesMax: 1 << 20,
};

beforeAll(() => {
  invariants.enabled = true;
});
afterAll(() => {
  invariants.enabled = false;
});

async function runAll(ops: readonly Operation[], harness: Harness): Promise<void> {
  for (const op of ops) await harness.run(op);
  await harness.finish();
}

describe("the cached vfs answers as the model does", () => {
  const settings = { writeBytesMax: 1 << 30 };

  test.each([
    ["with room for everything", (): Harness => new Harness(true, {}, 10_000)],
    ["with a cache that holds nearly nothing", (): Harness => new Harness(true, tiny, 2)],
    ["with a server that crashes and loses what is not durable", (): Harness => new Harness(false, settings, 3)],
    ["with crashes and a cache that holds nearly nothing", (): Harness => new Harness(false, tiny, 2)],
  ])(
    "%s",
    async (_title, newHarness) => {
      const ops = fc.array(operation, { maxLength: 120, size: "max" });
      const numRuns = Number(process.env["CFS_PROPERTY_RUNS"] ?? 60);
      await expect(
        fc.assert(
          fc.asyncProperty(ops, (list) => runAll(list, newHarness())),
          { numRuns },
        ),
      ).resolves.toBeUndefined();
    },
    120_000,
  );
});
