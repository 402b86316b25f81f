/** The driver against a log and a store whose durability the test decides. */
import { CfsError, inodeNumber, rootInode, silentLogger } from "@cfs/core";
import type { ClientId, Clock, Name } from "@cfs/core";
import { expect, test } from "vitest";
import { MemoryKv } from "../kv/memory-kv.ts";
import type { KvWrite } from "../kv/ordered-kv.ts";
import { KvState } from "../namespace/kv-state.ts";
import type { Command, Write } from "../namespace/commands.ts";
import { SingleReplica, singleReplicaDefaults } from "./single-replica.ts";
import type { LogPlace, ShardLog, ShardStore } from "./shard-driver.ts";

const client = "000102030405060708090a0b0c0d0e0f" as ClientId;
const stillClock: Clock = { wallTime: () => ({ sec: 1, nsec: 0 }), monotonicMs: () => 0, after: () => () => undefined };
const time = { sec: 1, nsec: 0 };
const caller = { uid: 0, gid: 0, groups: [] };

/** Every entry in a file of its own; durable only when the test says so. */
class TestLog implements ShardLog {
  lastIndex = 0;
  readonly files = new Set<number>();

  append(): LogPlace {
    const index = ++this.lastIndex;
    this.files.add(index);
    return { index, fileId: index, recordOffsetBytes: 0 };
  }

  whenRoom(): null {
    return null;
  }

  async replay(): Promise<void> {}

  async retire(upToIndex: number, isFileLive: (fileId: number) => boolean): Promise<void> {
    for (const file of [...this.files]) if (file <= upToIndex && !isFileLive(file)) this.files.delete(file);
  }
}

class TestStore extends MemoryKv implements ShardStore {
  readonly appliedIndex = 0;
  /** Runs while the store is being flushed. */
  onFlush: () => void = () => undefined;

  writeAt(batch: readonly KvWrite[]): void {
    this.write(batch);
  }

  openGate(): void {}

  override async flush(): Promise<void> {
    this.onFlush();
  }
}

async function bed(): Promise<{
  log: TestLog;
  store: TestStore;
  driver: SingleReplica;
  run(command: Command, payload?: Uint8Array): LogPlace;
}> {
  const log = new TestLog();
  const store = new TestStore();
  const driver = await SingleReplica.open({ log, store, state: new KvState(store), clock: stillClock, logger: silentLogger });
  const run = (command: Command, payload?: Uint8Array): LogPlace => {
    const { place, outcome } = driver.propose({ command, clientId: null, seq: 0, payload: payload ? [payload] : [] });
    expect(outcome.errno).toBe(0);
    return place;
  };
  run({ type: "format", clusterId: "test", drives: [], uid: 0, gid: 0, time });
  run({ type: "openSession", clientId: client });
  return { log, store, driver, run };
}

const settled = async (): Promise<void> => {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
};

test("a journal file whose last use went by a command that is not durable yet is kept", async () => {
  const { log, store, driver, run } = await bed();
  const ino = inodeNumber(1, 100);
  run({
    type: "makeNode",
    parent: rootInode,
    name: "a" as Name,
    ino,
    kind: "file",
    mode: 0o600,
    umask: 0,
    rdev: 0,
    target: null,
    caller,
    time,
  });
  const write = { type: "write", ino, offsetBytes: 0, lengthBytes: 8192, source: { kind: "payload" }, caller, time } as const;
  const command: Write = { ...write, spill: false, setTimes: true, killSetId: false };
  const { fileId } = run(command, new Uint8Array(8192));
  driver.logDurable(driver.appliedIndex);
  // While the state is flushed, the bytes are overwritten: applied, but a crash could still take it back.
  store.onFlush = () => {
    run(command, new Uint8Array(8192));
  };
  const checkpoint = driver.checkpoint();
  await settled();
  expect(log.files.has(fileId)).toBe(true);
  driver.logDurable(driver.appliedIndex);
  await checkpoint;
  expect(log.files.has(fileId)).toBe(false);
});

test("who waits for durability hears that the log broke, and so does who asks later", async () => {
  const { driver } = await bed();
  const waiting = driver.durable(driver.appliedIndex);
  const reason = new CfsError("IO", "no drive is left");
  driver.logBroken(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(driver.durable(driver.appliedIndex)).rejects.toBe(reason);
  await expect(driver.close()).rejects.toBe(reason);
});

test("a checkpoint comes when the log has grown by so many bytes, and lets old files go", async () => {
  const { log, driver, run } = await bed();
  const before = driver.appliedIndex;
  const name = (index: number): Name => `f${index}` as Name;
  const makeNode = (index: number): Command => ({
    type: "makeNode",
    parent: rootInode,
    name: name(index),
    ino: inodeNumber(1, 100 + index),
    kind: "file",
    mode: 0o600,
    umask: 0,
    rdev: 0,
    target: null,
    caller,
    time,
  });
  run(makeNode(1), new Uint8Array(singleReplicaDefaults.checkpointBytes - 8192));
  driver.logDurable(driver.appliedIndex);
  await settled();
  expect(log.files.has(before)).toBe(true);
  run(makeNode(2), new Uint8Array(8192));
  driver.logDurable(driver.appliedIndex);
  await settled();
  expect(log.files.has(before)).toBe(false);
});
