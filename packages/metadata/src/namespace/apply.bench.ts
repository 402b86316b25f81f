/** Time per command on a warm state over MemoryKv. Run: node --conditions=cfs-source packages/metadata/src/namespace/apply.bench.ts */
import { inodeNumber, rootInode } from "@cfs/core";
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { MemoryKv } from "../kv/memory-kv.ts";
import { applyCommand } from "./apply.ts";
import { decodeCommand, encodeCommand } from "./command-format.ts";
import type { Caller, Command, Moment } from "./commands.ts";
import { nameHash } from "./cookie.ts";
import { KvState } from "./kv-state.ts";
import type { ApplyContext } from "./state.ts";

const clientId = "0123456789abcdef0123456789abcdef" as ClientId;
const caller: Caller = { uid: 0, gid: 0, groups: null };
const time: Moment = { sec: 1_700_000_000, nsec: 1 };
const context: ApplyContext = { clientId, payload: { fileId: 1, recordOffsetBytes: 4096 } };
const count = 100_000;
const kv = new MemoryKv();
const state = new KvState(kv, { inodes: 400_000, dirents: 400_000 });

function run(command: Command): void {
  const { errno } = applyCommand(state, command, context);
  if (errno !== 0) throw new Error(`${command.type} failed with errno ${errno}`);
}

function measure(what: string, times: number, each: (index: number) => void): void {
  const begin = process.hrtime.bigint();
  for (let index = 0; index < times; index++) each(index);
  const ns = Number(process.hrtime.bigint() - begin);
  process.stdout.write(`${what.padEnd(44)} ${(ns / times / 1000).toFixed(2).padStart(8)} µs\n`);
}

function flush(what: string): void {
  const begin = process.hrtime.bigint();
  const batch = state.encodeDirty();
  kv.write(batch);
  const ns = Number(process.hrtime.bigint() - begin);
  process.stdout.write(
    `${what.padEnd(44)} ${(ns / Math.max(batch.length, 1) / 1000).toFixed(2).padStart(8)} µs per record (${batch.length})\n`,
  );
}

const ino = (index: number): InodeNumber => inodeNumber(2 + index, 0);
const name = (prefix: string, index: number): Name => `${prefix}${index}` as Name;
const node = { parent: rootInode, mode: 0o644, umask: 0o022, rdev: 0, target: null, caller, time } as const;
const bytes = new Uint8Array(100);

run({ type: "format", clusterId: "c", drives: [{ index: 0, id: "d", state: "ok" }], uid: 0, gid: 0, time });
run({ type: "openSession", clientId });
run({ type: "grantInodes", clientId, count: 1_000_000 });
measure("name hash", 1_000_000, (index) => nameHash(name("file", index)));
measure("create", count, (index) => run({ type: "makeNode", name: name("file", index), ino: ino(index), kind: "file", ...node }));
flush("encode and write, after create");
measure("inline write of 100 bytes", count, (index) =>
  run({
    type: "write",
    ino: ino(index),
    offsetBytes: 0,
    lengthBytes: 100,
    source: { kind: "inline", bytes },
    setTimes: true,
    killSetId: false,
    spill: false,
    caller,
    time,
  }),
);
measure("rename", count, (index) =>
  run({
    type: "rename",
    parent: rootInode,
    name: name("file", index),
    newParent: rootInode,
    newName: name("other", index),
    flags: 0,
    whiteout: 0,
    caller,
    time,
  }),
);
measure("payload write of 4 KiB into one file", count, (index) =>
  run({
    type: "write",
    ino: ino(0),
    offsetBytes: 4096 * ((index * 7919) % count),
    lengthBytes: 4096,
    source: { kind: "payload" },
    setTimes: true,
    killSetId: false,
    spill: false,
    caller,
    time,
  }),
);
flush("encode and write, after writes");
measure("unlink", count, (index) => run({ type: "unlink", parent: rootInode, name: name("other", index), directory: false, caller, time }));
measure("reap", count, (index) => run({ type: "reap", ino: ino(index) }));
flush("encode and write, after unlink and reap");
const sample: Command = { type: "makeNode", name: name("file", 1), ino: ino(1), kind: "file", ...node };
const encoded = encodeCommand(sample);
measure(`encode a makeNode (${encoded.length} bytes)`, count, () => encodeCommand(sample));
measure("decode a makeNode", count, () => decodeCommand(encoded));
