/**
 * Many operations at once, in whatever order their fetches come back, with a server that pauses and crashes: afterwards what the mount
 * shows from its cache is what a fresh mount reads from the server.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { CfsError, rootInode } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import type { CachedVfsSettings } from "@cfs/vfs";
import { Mounted, newDirectory, newFile, root, turn } from "./fixture.ts";

const name = fc.constantFrom("a", "b", "c", "d");
const directory = fc.nat({ max: 3 });
const operation = fc.record({
  type: fc.constantFrom(
    "make",
    "unlink",
    "rename",
    "link",
    "write",
    "truncate",
    "read",
    "list",
    "lookup",
    "xattr",
    "crash",
    "durable",
    "pause",
  ),
  at: directory,
  name,
  to: directory,
  newName: name,
  value: fc.nat({ max: 9000 }),
  isNow: fc.boolean(),
});
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

/** Smaller than what some operations at once need, larger than what they give up at: five records were evicted by three renames for ever (seed 2050245084). */
const tiny: CachedVfsSettings = {
  cache: { inodes: 12, names: 12, namesPerDirectory: 3, inlineBytes: 5000, xattrBytes: 200 },
  writeBytesMax: 1 << 30,
};

/** Errors of the file system are answers like others here. */
async function tolerant(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (reason) {
    if (!(reason instanceof CfsError) || reason.code === "IO" || reason.code === "CORRUPT") throw reason;
  }
}

async function write(at: Mounted, parent: InodeNumber, op: Operation, isTruncate: boolean): Promise<void> {
  const { ino } = (await at.lookup(op.name, parent)).attributes;
  if (isTruncate) {
    await at.change(ino, { sizeBytes: op.value });
    return;
  }
  const handle = await at.open(ino);
  try {
    await at.write(handle, op.value, Buffer.alloc(op.value % 5000, op.value));
    await at.read(handle, 0, 20_000);
  } finally {
    at.vfs.release(handle);
  }
}

async function run(at: Mounted, parents: readonly InodeNumber[], op: Operation): Promise<void> {
  const parent = parents[op.at] as InodeNumber;
  const target = parents[op.to] as InodeNumber;
  const { vfs } = at;
  switch (op.type) {
    case "make":
      return void (await vfs.makeNode(parent, op.name as Name, op.value % 3 === 0 ? newDirectory : newFile, root));
    case "unlink":
      return op.value % 3 === 0 ? vfs.removeDirectory(parent, op.name as Name, root) : vfs.unlink(parent, op.name as Name, root);
    case "rename":
      return vfs.rename(parent, op.name as Name, target, op.newName as Name, op.value % 3, root);
    case "link":
      return void (await vfs.link((await at.lookup(op.name, parent)).attributes.ino, target, op.newName as Name, root));
    case "write":
      return write(at, parent, op, false);
    case "truncate":
      return write(at, parent, op, true);
    case "xattr":
      return vfs.setXattr(
        (await at.lookup(op.name, parent)).attributes.ino,
        `user.${op.newName}`,
        Buffer.alloc(op.value % 100),
        0,
        false,
        root,
      );
    case "list":
      return void (await at.list(parent, op.isNow, 3));
    default:
      return void (await at.lookup(op.name, parent));
  }
}

/** Everything a program can see, as text. */
async function picture(at: Mounted, ino: InodeNumber, path: string, lines: string[]): Promise<string[]> {
  const { kind, mode, nlink, sizeBytes, allocatedBytes, mtime, ctime } = await at.attributes(ino);
  const xattrs: string[] = [];
  for (const xattr of await at.vfs.listXattr(ino, root)) xattrs.push(`${xattr}=${(await at.vfs.getXattr(ino, xattr)).length}`);
  let content = "";
  if (kind === "file") {
    const handle = await at.open(ino, 0o1000000);
    content = (await at.read(handle, 0, 1 << 20)).toString("base64");
    at.vfs.release(handle);
  }
  lines.push(JSON.stringify([path, ino, kind, mode, nlink, sizeBytes, allocatedBytes, mtime, ctime, xattrs, content]));
  if (kind !== "directory") return lines;
  const entries = (await at.list(ino, true)).filter((entry) => entry.name !== "." && entry.name !== "..");
  for (const entry of entries) await picture(at, entry.ino, `${path}/${entry.name}`, lines);
  return lines;
}

async function property(ops: readonly Operation[], settings: CachedVfsSettings, pageEntriesMax: number): Promise<void> {
  const first = new Mounted({ serverOptions: { pageEntriesMax, grantCount: 5 } });
  const parents = [rootInode];
  for (const one of ["w", "x", "y"]) parents.push(await first.make(one, newDirectory, parents.at(-1)));
  await first.vfs.syncAll();
  const at = await first.again({ ...settings, atime: "noatime" });
  const running: Promise<void>[] = [];
  for (const op of ops) {
    if (op.type === "crash") at.server.crash();
    else if (op.type === "durable") at.server.makeDurable();
    else if (op.type === "pause") at.remote.pause();
    else running.push(tolerant(() => run(at, parents, op)));
    if (!op.isNow) continue;
    at.remote.resume();
    await turn();
  }
  at.remote.resume();
  await Promise.all(running);
  await at.vfs.syncAll();
  const cached = await picture(at, rootInode, "", []);
  const fresh = await at.again({ atime: "noatime" });
  expect(cached).toEqual(await picture(fresh, rootInode, "", []));
  expect(fresh.server.divergences).toEqual([]);
}

test.each([
  ["a cache with room", {}, 10_000],
  ["a cache that holds nearly nothing", tiny, 2],
] as const)(
  "operations at once, %s",
  async (_title, settings, pageEntriesMax) => {
    const ops = fc.array(operation, { maxLength: 60, size: "max" });
    const numRuns = Number(process.env["CFS_PROPERTY_RUNS"] ?? 60);
    await expect(
      fc.assert(
        fc.asyncProperty(ops, (list) => property(list, settings, pageEntriesMax)),
        { numRuns },
      ),
    ).resolves.toBeUndefined();
  },
  120_000,
);
