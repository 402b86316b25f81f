/**
 * The checker of the crash tests, proved on a plain directory: a writer's work passes, and each planted fault is told. Needs nothing.
 */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@cfs/storage";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentOf } from "./content.ts";
import { FileModel } from "./file-model.ts";
import { Generator } from "./generate.ts";
import { modelOf, observe } from "./observe.ts";
import { parseManifest } from "./operations.ts";
import { TreeModel } from "./tree-model.ts";
import { verifyAfterCrash, verifyNow } from "./verify.ts";
import { replay, WriterProcess } from "./writer-process.ts";

interface Worked extends Disposable {
  readonly root: string;
  readonly model: TreeModel;
}

/** A directory in which a writer has done `count` operations, and the model of it. */
async function worked(seed: number, count: number): Promise<Worked> {
  const base = mkdtempSync(join(tmpdir(), "cfs-crash-model-"));
  const root = join(base, "root");
  mkdirSync(root);
  const model = modelOf(await observe(root));
  const writer = WriterProcess.start({ root, manifest: join(base, "manifest"), seed, environment: process.env });
  await writer.untilProgress(2 * count);
  const { entries, failed } = await writer.stop();
  expect(failed).toBeNull();
  replay(model, entries);
  return { root, model, [Symbol.dispose]: () => rmSync(base, { recursive: true, force: true }) };
}

function filesOf(model: TreeModel, isWanted: (file: FileModel) => boolean): string[] {
  return [...model.current].filter(([, node]) => node instanceof FileModel && isWanted(node)).map(([path]) => path);
}

describe("a writer on a plain directory", () => {
  test.each([1, 2, 3])("seed %i: the model agrees with the disk, now and as after a crash", async (seed) => {
    using work = await worked(seed, 250);
    const observed = await observe(work.root);
    expect(verifyNow(work.model, observed).problems).toEqual([]);
    const verdict = verifyAfterCrash(work.model, observed);
    expect(verdict.problems).toEqual([]);
    expect(verdict.certainFiles).toBeGreaterThan(2);
  });

  test("it goes on from what it finds, and a killed one leaves a manifest that can be read", async () => {
    using work = await worked(4, 100);
    const model = modelOf(await observe(work.root));
    const manifest = join(work.root, "..", "manifest2");
    const writer = WriterProcess.start({ root: work.root, manifest, seed: 5, environment: process.env });
    await writer.untilProgress(200);
    const { entries } = await writer.kill();
    replay(model, entries);
    expect(entries.length).toBeGreaterThan(90);
    expect(verifyAfterCrash(model, await observe(work.root)).problems).toEqual([]);
  });

  test("an operation that fails ends it and is in the manifest", async () => {
    using work = await worked(6, 50);
    const writer = WriterProcess.start({
      root: work.root,
      manifest: join(work.root, "..", "manifest2"),
      seed: 7,
      environment: process.env,
    });
    await writer.untilProgress(100);
    // In one step: a tree that is removed name by name gets new names meanwhile.
    renameSync(work.root, `${work.root}-gone`);
    const { failed } = await writer.ended();
    expect(failed?.error).toBe("ENOENT");
  });
});

const faults: readonly (readonly [name: string, plant: (root: string, path: string) => void])[] = [
  ["a file that was synced is gone", (root, path) => unlinkSync(join(root, path))],
  ["a synced file is shorter", (root, path) => truncateSync(join(root, path), readFileSync(join(root, path)).length - 1)],
  ["a synced file is longer", (root, path) => appendFileSync(join(root, path), "x")],
  ["a synced file has one other bit", (root, path) => flip(join(root, path))],
  ["a synced file has its old name as well", (root, path) => linkSync(join(root, path), join(root, "second-name"))],
  ["a synced file has another name only", (root, path) => renameSync(join(root, path), join(root, "second-name"))],
  ["a synced file holds zeros", (root, path) => writeFileSync(join(root, path), Buffer.alloc(readFileSync(join(root, path)).length))],
  ["a file is there that nobody made", (root) => writeFileSync(join(root, "stranger"), "")],
];

function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}

describe("planted faults are told", () => {
  let work: Worked;
  beforeAll(async () => {
    work = await worked(8, 150);
  });
  afterAll(() => work[Symbol.dispose]());

  test.each(faults)("%s", async (_name, plant) => {
    const [path] = filesOf(work.model, (file) => file.isSynced && file.current.length > 100);
    const root = join(work.root, "..", "damaged");
    rmSync(root, { recursive: true, force: true });
    execFileSync("cp", ["-a", work.root, root]);
    expect(verifyNow(work.model, await observe(root)).problems).toEqual([]);
    plant(root, path ?? "");
    const observed = await observe(root);
    expect(verifyNow(work.model, observed).problems).not.toEqual([]);
    expect(verifyAfterCrash(work.model, observed).problems).not.toEqual([]);
  });
});

describe("what a crash may leave", () => {
  const base = contentOf(1, 10_000);
  const over = contentOf(2, 5_000);

  function changed(): FileModel {
    const file = new FileModel(base);
    file.write(8_000, over);
    return file;
  }

  test("the old bytes, the new ones, and zeros where the file grew; nothing else", () => {
    const file = changed();
    const now = Buffer.from(file.current);
    const grown = Buffer.concat([base, Buffer.alloc(3_000)]);
    const mixed = Buffer.concat([base.subarray(0, 9_000), now.subarray(9_000, 11_000), Buffer.alloc(1_000)]);
    for (const found of [base, now, grown, mixed]) expect(file.explainAfterCrash(found)).toBeNull();
    const zeroInside = Buffer.from(now);
    zeroInside.fill(0, 8_500, 8_700);
    const garbage = Buffer.from(now);
    contentOf(3, 100).copy(garbage, 12_000);
    const shifted = Buffer.concat([base.subarray(0, 8_000), over.subarray(1), base.subarray(0, 1)]);
    for (const found of [zeroInside, garbage, shifted, base.subarray(0, 9_999), Buffer.concat([now, Buffer.alloc(1)])]) {
      expect(file.explainAfterCrash(found)).not.toBeNull();
    }
  });

  test("after an fsync only the new bytes", () => {
    const file = changed();
    const now = Buffer.from(file.current);
    file.sync();
    expect(file.explainAfterCrash(now)).toBeNull();
    expect(file.explainAfterCrash(base)).not.toBeNull();
  });

  test("what was cut off may be zero afterwards", () => {
    const file = new FileModel(base);
    file.truncate(4_000);
    file.truncate(6_000);
    const zeros = Buffer.concat([base.subarray(0, 4_000), Buffer.alloc(2_000)]);
    for (const found of [base, zeros, base.subarray(0, 4_000)]) expect(file.explainAfterCrash(found)).toBeNull();
    expect(file.explainAfterCrash(base.subarray(0, 3_999))).not.toBeNull();
    expect(file.explainAfterCrash(Buffer.alloc(6_000))).not.toBeNull();
  });

  test("names are a prefix of the changes since the last fsync", () => {
    const model = new TreeModel();
    model.apply({ type: "create", path: "a" }, true);
    model.apply({ type: "fsyncdir", path: "" }, true);
    model.apply({ type: "create", path: "b" }, true);
    model.apply({ type: "rename", from: "b", to: "a" }, true);
    model.apply({ type: "mkdir", path: "d" }, false);
    const file = (ino: number) => ({ kind: "file", bytes: Buffer.alloc(0), ino, nlink: 1 }) as const;
    const problems = (nodes: [string, ReturnType<typeof file> | { kind: "directory" }][]): number =>
      verifyAfterCrash(model, { nodes: new Map(nodes), problems: [] }).problems.length;
    expect(problems([["a", file(1)]])).toBe(0);
    expect(
      problems([
        ["a", file(1)],
        ["b", file(2)],
      ]),
    ).toBe(0);
    expect(
      problems([
        ["a", file(2)],
        ["d", { kind: "directory" }],
      ]),
    ).toBe(0);
    expect(problems([])).toBeGreaterThan(0);
    expect(problems([["b", file(2)]])).toBeGreaterThan(0);
    expect(
      problems([
        ["a", file(1)],
        ["b", file(1)],
      ]),
    ).toBeGreaterThan(0);
    expect(
      problems([
        ["a", file(1)],
        ["b", file(2)],
        ["d", { kind: "directory" }],
      ]),
    ).toBeGreaterThan(0);
  });
});

describe("an fsync covers", () => {
  function pendingAfter(path: string, type: "fsync" | "fsyncdir"): number {
    const model = new TreeModel();
    model.apply({ type: "mkdir", path: "d" }, true);
    model.apply({ type: "create", path: "d/early" }, true);
    model.apply({ type: "create", path: "written" }, true);
    model.apply({ type: "create", path: "d/late" }, true);
    model.apply({ type: "write", path: "written", offset: 0, length: 10, seed: 1, how: "plain" }, true);
    model.apply({ type: "rename", from: "d/late", to: "moved" }, true);
    model.apply({ type, path }, true);
    return model.pendingCount;
  }

  test("the last change that concerns the file or directory, and all before", () => {
    expect(pendingAfter("d/early", "fsync")).toBe(3);
    expect(pendingAfter("written", "fsync")).toBe(1);
    expect(pendingAfter("moved", "fsync")).toBe(0);
    expect(pendingAfter("d", "fsyncdir")).toBe(0);
    expect(pendingAfter("", "fsyncdir")).toBe(0);
  });
});

test("the same seed does the same", () => {
  const sequence = (): string[] => {
    const model = new TreeModel();
    const generator = new Generator(seededRandom(11), model);
    return Array.from({ length: 300 }, () => {
      const operation = generator.next();
      model.apply(operation, true);
      return JSON.stringify(operation);
    });
  };
  expect(sequence()).toEqual(sequence());
});

test("a torn last line of a manifest says nothing", () => {
  const lines = '{"begin":0,"operation":{"type":"fsync","path":"a"}}\n{"end":0,"error":null}\n{"begin":1,"operation":{"type":"mk';
  expect(parseManifest(lines)).toEqual([{ operation: { type: "fsync", path: "a" }, state: "done", error: null }]);
});
