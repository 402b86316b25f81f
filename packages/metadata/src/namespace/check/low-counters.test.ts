/** Counters that are too small already: whatever is removed, every record can still be read, it is noted, and a check finds nothing but counts. */
import { rootInode } from "@cfs/core";
import type { InodeNumber, Name, SegmentId } from "@cfs/core";
import { expect, test } from "vitest";
import { Shell } from "../testing/shell.ts";
import { root } from "../testing/world.ts";
import { checkState } from "./check.ts";

const segment = 1 as SegmentId;

interface Tree {
  readonly shell: Shell;
  readonly directory: InodeNumber;
  readonly child: InodeNumber;
  readonly file: InodeNumber;
  readonly packed: InodeNumber;
}

/** d with e (a directory) and f (a file in the journal) in it, p (a file in a segment) and x beside it. */
function tree(): Tree {
  const shell = new Shell();
  const { world } = shell;
  const directory = shell.make("d", "directory", 0o755);
  const child = shell.make("e", "directory", 0o755, { parent: directory });
  const file = shell.make("f", "file", 0o644, { parent: directory });
  const packed = shell.make("p", "file", 0o644);
  shell.make("x", "file", 0o644);
  for (const [recordOffsetBytes, ino] of [file, packed].entries()) {
    const write = { type: "write", ino, offsetBytes: 0, lengthBytes: 100, source: { kind: "payload" } } as const;
    const change = { setTimes: true, killSetId: false, spill: false, caller: root, time: world.time() };
    world.must({ ...write, ...change }, { fileId: 1, recordOffsetBytes });
  }
  const places = [0, 1, 2].map((drive) => ({ drive, container: 1, offsetBytes: 0 }));
  const chunks = [{ storedOffsetBytes: 0, storedBytes: 60, rawBytes: 100, codec: 1 }];
  const from = { kind: "journal", fileId: 1, recordOffsetBytes: 1, payloadOffsetBytes: 0 } as const;
  const to = { kind: "chunk", segment, chunkIndex: 0, rawOffsetBytes: 0 } as const;
  const added = { id: segment, k: 2, m: 1, fragmentBytes: 4096, segmentBytes: 60, places, chunks };
  world.must({ type: "publish", segment: added, swaps: [{ ino: packed, offsetBytes: 0, lengthBytes: 100, from, to }] });
  return { shell, directory, child, file, packed };
}

/** As a fault or damage may leave them: nothing counts what there is. */
function loseCounts({ shell: { world }, directory, child, file, packed }: Tree): void {
  const { server } = world;
  const usage = server.usage();
  server.setUsage(usage);
  for (const name of Object.keys(usage) as (keyof typeof usage)[]) usage[name] = 0;
  for (const ino of [rootInode, directory, child, file, packed]) {
    const inode = world.inode(ino);
    server.changeInode(inode);
    Object.assign(inode, { allocatedBytes: 0, entryCount: 0, nlink: inode.kind === "directory" ? 2 : 1 });
  }
  const known = server.segment(segment);
  if (known === null) expect.unreachable("the segment is there");
  server.setSegment(segment, known);
  known.liveBytes = 0;
}

test("removing what was never counted leaves no record that cannot be read", async () => {
  const sample = tree();
  const { shell, directory, file, packed } = sample;
  const { world } = shell;
  loseCounts(sample);
  const change = { caller: root, time: world.time() };
  const unlink = (parent: InodeNumber, name: string, isDirectory = false): void =>
    world.must({ type: "unlink", parent, name: name as Name, directory: isDirectory, ...change });
  const to = { newParent: directory, newName: "y" as Name, flags: 0, whiteout: 0 as const };
  world.must({ type: "rename", parent: rootInode, name: "x" as Name, ...to, ...change });
  world.must({ type: "allocate", ino: packed, action: "punch", keepSize: true, offsetBytes: 10, lengthBytes: 20, ...change });
  unlink(directory, "f");
  unlink(directory, "e", true);
  unlink(rootInode, "p");
  for (const ino of [file, packed]) world.must({ type: "reap", ino });
  world.must({ type: "dropSegment", segment });

  const { damage } = world.server;
  world.restart();
  expect(world.server.usage()).toEqual(Object.fromEntries(Object.keys(world.server.usage()).map((name) => [name, 0])));
  for (const ino of [rootInode, directory]) expect(world.inode(ino)).toMatchObject({ ino, kind: "directory" });
  expect(damage.size).toBeGreaterThan(6);
  const messages = (await checkState(world.kv)).map(({ message }) => message);
  expect(messages.filter((message) => !/counts|links|entries|inodes|says|sum/.test(message))).toEqual([]);
});
