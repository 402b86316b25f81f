/**
 * A server state, a client's partial state, and a log between them, for tests: every command runs on both and must end the same.
 *
 * On the partial state a command is run again after each NotCached, and must not have changed anything before. Commands travel in
 * their binary form. `restart` writes what is dirty and goes on from the store alone.
 */
/* oxlint-disable vitest/no-standalone-expect -- what is expected stands in the methods that every test calls */
import { expect } from "vitest";
import { inodeNumber } from "@cfs/core";
import type { ClientId, InodeNumber } from "@cfs/core";
import { MemoryKv } from "../../kv/memory-kv.ts";
import { applyCommand } from "../apply.ts";
import { checkState } from "../check/check.ts";
import { decodeCommand, encodeCommand } from "../command-format.ts";
import type { Caller, Command, Moment } from "../commands.ts";
import { KvState } from "../kv-state.ts";
import type { KvStateOptions } from "../kv-state.ts";
import type { Inode } from "../records.ts";
import { NotCached } from "../state.ts";
import type { ApplyContext, State } from "../state.ts";
import { PartialState } from "./partial-state.ts";

export const clientId = "000102030405060708090a0b0c0d0e0f" as ClientId;
export const root: Caller = { uid: 0, gid: 0, groups: [] };
export const ada: Caller = { uid: 1000, gid: 100, groups: [100, 300] };
export const bob: Caller = { uid: 1001, gid: 200, groups: [200] };
/** Checked by a kernel already. */
export const kernelAda: Caller = { uid: 1000, gid: 100, groups: null };

/** So small that nearly every read goes to the store. */
export const tinyCaches: Partial<KvStateOptions> = { inodes: 2, dirents: 2, regions: 2, segments: 2, xattrs: 2, others: 2 };

/** Types of commands that a client sends, and so runs itself. */
const clientTypes: ReadonlySet<string> = new Set([
  "makeNode",
  "link",
  "unlink",
  "rename",
  "setAttributes",
  "setXattr",
  "write",
  "allocate",
  "copyRange",
  "reap",
]);

export class World {
  readonly kv: MemoryKv = new MemoryKv();
  readonly client: PartialState = new PartialState();
  readonly #options: Partial<KvStateOptions>;
  server: KvState;
  #count = 1;
  #now = 1000;

  constructor(options: Partial<KvStateOptions> = {}) {
    this.#options = options;
    this.server = new KvState(this.kv, options);
    this.must({
      type: "format",
      clusterId: "test",
      drives: [0, 1, 2].map((index) => ({ index, id: `drive${index}`, state: "ok" })),
      uid: 0,
      gid: 0,
      time: this.time(),
    });
    this.must({ type: "openSession", clientId });
    this.must({ type: "grantInodes", clientId, count: 100_000 });
  }

  newInode(): InodeNumber {
    this.#count += 1;
    return inodeNumber(this.#count, 0);
  }

  /** A moment of its own for every command. */
  time(): Moment {
    this.#now += 1;
    return { sec: this.#now, nsec: this.#now % 1_000_000_000 };
  }

  inode(ino: InodeNumber): Inode {
    const inode = this.server.inode(ino);
    if (inode === null) throw new Error(`inode ${ino} does not exist`);
    return inode;
  }

  must(command: Command, payload: ApplyContext["payload"] = null): void {
    expect(this.run(command, payload), JSON.stringify(command)).toBe(0);
  }

  /** The errno; the same on both sides. */
  run(command: Command, payload: ApplyContext["payload"] = null): number {
    const fromLog = decodeCommand(encodeCommand(command));
    const isClients = clientTypes.has(command.type);
    const expected = isClients ? this.#runOnClient(command) : null;
    const { errno } = applyCommand(this.server, fromLog, { clientId: isClients ? clientId : null, payload });
    if (expected !== null) expect(errno, `outcome on the client and the server of ${JSON.stringify(command)}`).toBe(expected);
    return errno;
  }

  /** The client ran these writes as payloads; the server has put their bytes into a segment. */
  runSegment(command: Command & { readonly type: "writeSegment" }): number {
    for (const write of command.writes) {
      const inode = this.client.inodes.get(write.ino);
      if (inode !== null) this.#runOnClient({ ...write, source: { kind: "payload" } });
    }
    return this.run(command);
  }

  #runOnClient(command: Command): number {
    for (let attempt = 0; attempt < 1000; attempt++) {
      const before = this.client.snapshot();
      try {
        return applyCommand(this.client, command, { clientId, payload: null }).errno;
      } catch (reason) {
        if (!(reason instanceof NotCached)) throw reason;
        expect(this.client.snapshot(), "NotCached leaves no change").toBe(before);
        this.client.fetch(reason.missing, this.server);
      }
    }
    throw new Error("the command never found what it needs");
  }

  /** What the client knows is what the server has, except what only the server can know. */
  compareClient(): void {
    for (const [ino, inode] of this.client.inodes)
      expect(comparable(inode, inode), `inode ${ino}`).toEqual(comparable(this.server.inode(ino), inode));
    for (const [key, dirent] of this.client.dirents) {
      const slash = key.indexOf("/");
      expect(dirent, key).toEqual(
        this.server.dirent(Number(key.slice(0, slash)) as InodeNumber, key.slice(slash + 1) as Parameters<State["dirent"]>[1]),
      );
    }
    for (const [key, value] of this.client.xattrs) {
      const slash = key.indexOf("/");
      expect(value, key).toEqual(this.server.xattr(Number(key.slice(0, slash)) as InodeNumber, key.slice(slash + 1)));
    }
  }

  flush(): void {
    this.kv.write(this.server.encodeDirty());
  }

  /** As after a stop: only the store is left. */
  restart(): void {
    this.flush();
    this.server = new KvState(this.kv, this.#options);
  }

  /** Recounts everything. */
  async check(): Promise<void> {
    this.flush();
    expect([...this.server.damage]).toEqual([]);
    expect(await checkState(this.kv)).toEqual([]);
  }
}

/** `known`: the client's record, which may be without inline bytes. */
function comparable(inode: Inode | null, known: Inode | null): unknown {
  if (inode === null) return null;
  const { allocatedBytes: _allocated, isAllocatedStale: _stale, inline, target, ...rest } = inode;
  const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString("hex"));
  const hasInline = known !== null && known.inline !== null;
  return { ...rest, target: hex(target), inline: hasInline ? hex(inline) : null };
}
