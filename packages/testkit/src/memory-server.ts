/**
 * A whole server in memory behind the vfs's Remote port: the real namespace over a key-value store, content as bytes in a Map.
 *
 * It keeps the port's promises as a real one must: one order of everything a session sends, replies before the progress of later
 * commands, exactly once after a reconnect. Tests turn its knobs: pause, durability by hand, a crash that loses what is not durable,
 * refused commands, a lost session. Payloads get made-up journal positions.
 * Invariant: store + log up to `durableCount` is what survives a crash; `divergences` stays empty: the server never fails a
 * command that the client's own copy of the state let pass.
 */
import { assert, CfsError } from "@cfs/core";
import type { ClientId, InodeNumber } from "@cfs/core";
import { advanceSession, applyCommand, decodeCommand, encodeCommand, KvState, listOrphans, locate, MemoryKv } from "@cfs/metadata";
import type { Command, Inode, Outcome } from "@cfs/metadata";
import type { FileSystemStatistics, ReadResult } from "@cfs/vfs";
import { MemoryRemote } from "./memory-remote.ts";

interface LogEntry {
  readonly command: Command;
  readonly clientId: ClientId | null;
  readonly seq: number;
  readonly payload: { readonly fileId: number; readonly recordOffsetBytes: number } | null;
  /** A command that was refused takes only its number. */
  readonly isRefused: boolean;
}

export interface MemoryServerOptions {
  /** Payload bytes that fit. Default 1 TiB. */
  readonly capacityBytes: number;
  /** Everything becomes durable as soon as it was applied; else `makeDurable` does it. Default true. */
  readonly isDurableAtOnce: boolean;
  /** Inode counts per grant. Default 1024. */
  readonly grantCount: number;
  /** Names have at most this many entries in one page of a listing, whatever was asked. Default 10,000. */
  readonly pageEntriesMax: number;
}

const defaults: MemoryServerOptions = { capacityBytes: 2 ** 40, isDurableAtOnce: true, grantCount: 1024, pageEntriesMax: 10_000 };
const blockSizeBytes = 4096;
const checkpointEntries = 256;

export class MemoryServer {
  readonly options: MemoryServerOptions;
  readonly divergences: string[] = [];
  /** Errno to refuse a command with, 0 to let it pass. */
  refuse: (command: Command) => number = () => 0;
  state: KvState;
  readonly kv: MemoryKv = new MemoryKv();
  readonly #payloads: Map<number, Uint8Array> = new Map();
  readonly #remotes: Set<MemoryRemote> = new Set();
  #log: LogEntry[] = [];
  #durableCount = 0;
  #nextOffset = 0;
  #clients = 0;

  constructor(options: Partial<MemoryServerOptions> = {}) {
    this.options = { ...defaults, ...options };
    this.state = new KvState(this.kv);
    const drives = [0, 1, 2].map((index) => ({ index, id: `drive${index}`, state: "ok" as const }));
    this.#mustRun({ type: "format", clusterId: "memory", drives, uid: 0, gid: 0, time: { sec: 1, nsec: 0 } });
  }

  /** Opens a session of its own. */
  connect(): MemoryRemote {
    const remote = new MemoryRemote(this, this.newSession());
    this.#remotes.add(remote);
    return remote;
  }

  newSession(): ClientId {
    const clientId = (++this.#clients).toString(16).padStart(32, "0") as ClientId;
    this.#mustRun({ type: "openSession", clientId });
    return clientId;
  }

  /** Ends a session: its orphans go, as after an unmount or a fence. */
  async endSession(clientId: ClientId): Promise<void> {
    this.#mustRun({ type: "closeSession", clientId });
    for (const { ino, owner } of await listOrphans(this.state, 0, 10_000)) {
      if (owner === clientId) this.#mustRun({ type: "reap", ino });
    }
    this.makeDurable();
  }

  disconnected(remote: MemoryRemote): void {
    this.#remotes.delete(remote);
  }

  grant(clientId: ClientId): { readonly begin: number; readonly end: number } {
    const begin = this.state.superblock()?.nextInodeCount ?? 0;
    this.#mustRun({ type: "grantInodes", clientId, count: this.options.grantCount });
    return { begin, end: begin + this.options.grantCount };
  }

  /** Runs a session's command once, whatever was sent before. Returns the errno of a refusal. */
  run(clientId: ClientId, seq: number, command: Command, payload: readonly Uint8Array[]): number {
    const session = this.state.session(clientId);
    if (session === null) throw new CfsError("STALE_HANDLE", `session ${clientId} is unknown`);
    if (seq <= session.seq) return 0;
    assert(seq === session.seq + 1, `command ${seq} follows ${session.seq}`);
    const errno = this.refuse(command);
    const entry: LogEntry = {
      command: decodeCommand(encodeCommand(command)),
      clientId,
      seq,
      payload: this.#store(payload),
      isRefused: errno !== 0,
    };
    const outcome = this.#apply(entry);
    this.#log.push(entry);
    if (outcome.errno === 0 || errno !== 0) return errno;
    this.divergences.push(`command ${seq} failed with ${outcome.errno}: ${JSON.stringify(command)}`);
    return outcome.errno;
  }

  /** Everything applied so far survives a crash. Sessions hear of it. */
  makeDurable(): void {
    this.#durableCount = this.#log.length;
    if (this.#log.length >= checkpointEntries) this.#checkpoint();
    for (const remote of this.#remotes) remote.noteDurable();
  }

  durableSeqOf(clientId: ClientId): number {
    for (let at = this.#durableCount - 1; at >= 0; at--) {
      const entry = this.#log[at] as LogEntry;
      if (entry.clientId === clientId && entry.seq > 0) return entry.seq;
    }
    const firstLater = this.#log.slice(this.#durableCount).find((entry) => entry.clientId === clientId && entry.seq > 0);
    return firstLater === undefined ? (this.state.session(clientId)?.seq ?? 0) : firstLater.seq - 1;
  }

  /** Loses everything that is not durable; sessions reconnect and send it again. */
  crash(): void {
    this.#log = this.#log.slice(0, this.#durableCount);
    this.state = new KvState(this.kv);
    for (const entry of this.#log) this.#apply(entry);
    for (const remote of this.#remotes) remote.reconnect();
  }

  /** Forgets a session without a word, as a server that lost patience does. */
  async loseSession(remote: MemoryRemote, message: string): Promise<void> {
    const old = remote.clientId;
    await this.endSession(old);
    remote.sessionLost(this.newSession(), message);
  }

  get availableBytes(): number {
    return Math.max(0, this.options.capacityBytes - this.state.usage().allocatedBytes);
  }

  statistics(): FileSystemStatistics {
    const free = Math.floor(this.availableBytes / blockSizeBytes);
    const blocks = Math.floor(this.options.capacityBytes / blockSizeBytes);
    const files = this.state.usage().inodes;
    return {
      blockSizeBytes,
      blocks,
      blocksFree: free,
      blocksAvailable: free,
      files: files + 1_000_000,
      filesFree: 1_000_000,
      nameBytesMax: 255,
    };
  }

  read(ino: InodeNumber, offsetBytes: number, lengthBytes: number): ReadResult {
    const inode = this.mustInode(ino);
    const parts: Uint8Array[] = [];
    for (const piece of locate(this.state, inode, offsetBytes, lengthBytes)) {
      if (piece.source.kind !== "journal") {
        parts.push(new Uint8Array(piece.lengthBytes));
        continue;
      }
      const { recordOffsetBytes, payloadOffsetBytes } = piece.source;
      const bytes = this.#payloads.get(recordOffsetBytes);
      assert(bytes !== undefined, "the payload of an extent is here");
      parts.push(bytes.subarray(payloadOffsetBytes, payloadOffsetBytes + piece.lengthBytes));
    }
    return { lengthBytes: parts.reduce((sum, part) => sum + part.length, 0), parts, release: () => {} };
  }

  mustInode(ino: InodeNumber): Inode {
    const inode = this.state.inode(ino);
    if (inode === null) throw new CfsError("STALE_HANDLE", `inode ${ino} is gone`);
    return inode;
  }

  #mustRun(command: Command): void {
    const entry: LogEntry = { command, clientId: null, seq: 0, payload: null, isRefused: false };
    const { errno } = this.#apply(entry);
    assert(errno === 0, `the server's own ${command.type} succeeds`);
    this.#log.push(entry);
    this.makeDurable();
  }

  #apply(entry: LogEntry): Outcome {
    if (entry.clientId !== null && !advanceSession(this.state, entry.clientId, entry.seq)) return { errno: 0 };
    if (entry.isRefused) return { errno: 0 };
    return applyCommand(this.state, entry.command, { clientId: entry.clientId, payload: entry.payload });
  }

  #store(payload: readonly Uint8Array[]): LogEntry["payload"] {
    if (payload.length === 0) return null;
    const bytes = Buffer.concat(payload);
    const recordOffsetBytes = this.#nextOffset;
    this.#nextOffset += bytes.length;
    this.#payloads.set(recordOffsetBytes, bytes);
    return { fileId: 1, recordOffsetBytes };
  }

  /** Only while everything is durable: the store never gets ahead of what survives. */
  #checkpoint(): void {
    this.kv.write(this.state.encodeDirty());
    this.#log = [];
    this.#durableCount = 0;
  }
}
