/** A real engine over drives in memory, driven by commands, with a plain copy of every file to compare with. For tests. */
import { randomFillSync } from "node:crypto";
import { assert, inodeNumber, rootInode, silentLogger, systemClock } from "@cfs/core";
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { checkState, MemoryKv } from "@cfs/metadata";
import type { Command, KvWrite, Segment, ShardStore, Write } from "@cfs/metadata";
import { Ballast, MemoryIo, seededRandom, StateSnapshot } from "@cfs/storage";
import { Engine } from "../engine.ts";

const change = { caller: { uid: 0, gid: 0, groups: null }, time: { sec: 1, nsec: 0 } } as const;
const clientId = "000102030405060708090a0b0c0d0e0f" as ClientId;
const driveBytes = 2 ** 40;

/** Its batches are in force at once: what it says is only looked at while the engine runs or after it was closed. */
class StoreInMemory extends MemoryKv implements ShardStore {
  appliedIndex = 0;

  writeAt(batch: readonly KvWrite[], index: number): void {
    this.write(batch);
    this.appliedIndex = index;
  }

  openGate(): void {
    // Nothing is held back.
  }
}

export class EngineBed implements AsyncDisposable {
  readonly files: Map<InodeNumber, Buffer> = new Map();
  readonly #store = new StoreInMemory();
  readonly engine: Engine;
  readonly io: MemoryIo;
  #count: number;

  private constructor(engine: Engine, store: StoreInMemory, io: MemoryIo) {
    this.engine = engine;
    this.io = io;
    this.#store = store;
    this.#count = engine.state.content.superblock()?.nextInodeCount ?? 1;
    this.run({ type: "openSession", clientId });
    this.run({ type: "grantInodes", clientId, count: 1000 });
  }

  static async start(driveCount = 6): Promise<EngineBed> {
    const io = new MemoryIo({ random: seededRandom(1) }, { poolBytes: 64 << 20 });
    const paths = Array.from({ length: driveCount }, (_, index) => `/d${index}`);
    for (const path of paths) for (const folder of [path, `${path}/journal`, `${path}/segments`]) await io.makeDirectory(folder);
    const drives = await Promise.all(
      paths.map(async (path, index) => ({ driveId: `${index}`.repeat(32), path, ballast: await Ballast.open(io, path) })),
    );
    const store = new StoreInMemory();
    const measure = async () => drives.map((_, drive) => ({ drive, device: drive, totalBytes: driveBytes, freeBytes: driveBytes }));
    const engine = await Engine.open(
      { io, store, drives, measure, clock: systemClock(), random: seededRandom(2), logger: silentLogger },
      {
        clusterId: "00112233445566778899aabbccddeeff",
        nodeId: "ffeeddccbbaa99887766554433221100",
        journalCacheBytes: 1 << 20,
        driveName: (driveId) => driveId,
        isDegraded: false,
        rootUid: 0,
        rootGid: 0,
      },
    );
    return new EngineBed(engine, store, io);
  }

  run(command: Command): void {
    const { outcome } = this.engine.driver.propose({ command, clientId: null, seq: 0, payload: [] });
    assert(outcome.errno === 0, `${command.type} succeeds`);
  }

  create(): InodeNumber {
    const ino = inodeNumber(this.#count++, 0);
    const name = `f${this.#count}` as Name;
    this.run({ type: "makeNode", parent: rootInode, name, ino, kind: "file", mode: 0o644, umask: 0, rdev: 0, target: null, ...change });
    this.files.set(ino, Buffer.alloc(0));
    return ino;
  }

  /** Bytes that do not compress, one segment for all the writes. */
  async write(...writes: readonly { ino: InodeNumber; offsetBytes: number; lengthBytes: number }[]): Promise<void> {
    const pieces = writes.map((write) => ({ ...write, views: [randomFillSync(Buffer.alloc(write.lengthBytes))] }));
    const { segment, extents } = await this.engine.writer.write(pieces);
    const commands = pieces.map(({ ino, offsetBytes, lengthBytes }, index): Write => {
      const source = { kind: "extents", extents: extents[index] ?? [] } as const;
      return { type: "write", ino, offsetBytes, lengthBytes, source, setTimes: true, killSetId: false, spill: false, ...change };
    });
    this.run({ type: "writeSegment", segment, writes: commands });
    for (const { ino, offsetBytes, views } of pieces) this.#put(ino, offsetBytes, views[0] ?? Buffer.alloc(0));
  }

  #put(ino: InodeNumber, offsetBytes: number, bytes: Uint8Array): void {
    const old = this.files.get(ino) ?? Buffer.alloc(0);
    const grown = Buffer.concat([old, Buffer.alloc(Math.max(0, offsetBytes + bytes.length - old.length))]);
    grown.set(bytes, offsetBytes);
    this.files.set(ino, grown);
  }

  copy(source: InodeNumber, sourceOffsetBytes: number, target: InodeNumber, targetOffsetBytes: number, lengthBytes: number): void {
    this.run({ type: "copyRange", source, sourceOffsetBytes, target, targetOffsetBytes, lengthBytes, ...change });
    const from = this.files.get(source) ?? Buffer.alloc(0);
    this.#put(target, targetOffsetBytes, Buffer.from(from.subarray(sourceOffsetBytes, sourceOffsetBytes + lengthBytes)));
  }

  punch(ino: InodeNumber, offsetBytes: number, lengthBytes: number): void {
    this.run({ type: "allocate", ino, action: "punch", keepSize: true, offsetBytes, lengthBytes, ...change });
    this.files.get(ino)?.fill(0, offsetBytes, offsetBytes + lengthBytes);
  }

  async segments(): Promise<Segment[]> {
    const found: Segment[] = [];
    for await (const segment of this.engine.allSegments()) found.push(segment);
    return found;
  }

  /** What is wrong of every byte of every file, and of every counter. */
  async check(): Promise<string[]> {
    const problems: string[] = [];
    for (const [ino, bytes] of this.files) {
      for (let at = 0; at < bytes.length; at += 1 << 20) {
        const want = bytes.subarray(at, at + (1 << 20));
        const range = await this.engine.reads.read(ino, at, want.length);
        if (!Buffer.concat(range.parts).equals(want)) problems.push(`inode ${ino} has other bytes at ${at}`);
        range.release();
      }
    }
    await this.engine.driver.checkpoint();
    return [...problems, ...(await checkState(this.#store)).map(({ what, id, message }) => `${what} ${id}: ${message}`)];
  }

  /** The state as it is now; not for use while commands run. */
  async snapshot(): Promise<StateSnapshot> {
    return new StateSnapshot({
      get: (key) => this.#store.get(key),
      scan: async (begin, end, limit) => [...(await this.#store.scan({ begin, end, limit }))],
      close: () => Promise.resolve(),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.close();
  }
}
