/**
 * One session with a MemoryServer: a queue of requests that are handled in order, a little later than they were made.
 *
 * Whatever has not been answered (calls) or is not durable (commands) stays in `#pending` in its order, and is sent again after a
 * reconnect. Requests are handled from a microtask, so nothing is ever answered inside the call.
 */
import { assert, CfsError } from "@cfs/core";
import type { ClientId, InodeNumber, Name } from "@cfs/core";
import { listDirectory, nameCookie, promisedBytes, seek } from "@cfs/metadata";
import type { ClientCommand, Inode, NamedDirent } from "@cfs/metadata";
import type { FileSystemStatistics, ListedEntry, ReadResult, Remote, RemoteListener } from "@cfs/vfs";
import type { MemoryServer } from "./memory-server.ts";

interface PendingCommand {
  readonly kind: "command";
  readonly seq: number;
  readonly command: ClientCommand;
  readonly payload: readonly Uint8Array[];
  readonly release: (() => void) | null;
}

interface PendingCall {
  readonly kind: "call";
  readonly run: () => Promise<void>;
  readonly reject: (reason: CfsError) => void;
}

type Pending = PendingCommand | PendingCall;

export class MemoryRemote implements Remote {
  listener: RemoteListener | null = null;
  /** Round trips, by kind of call. */
  readonly calls: Map<string, number> = new Map();
  clientId: ClientId;
  readonly #server: MemoryServer;
  /** Not answered or not durable yet, in order. */
  readonly #pending: Set<Pending> = new Set();
  /** Not handled by the server since the last (re)connect. */
  #unsent: Pending[] = [];
  /** Counts connections: what an older one was about to handle is not handled. */
  #connection = 0;
  #lastSeq = 0;
  #isPaused = false;
  #isPumping = false;
  #isClosed = false;

  constructor(server: MemoryServer, clientId: ClientId) {
    this.#server = server;
    this.clientId = clientId;
  }

  get callCount(): number {
    return [...this.calls.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The server does not answer. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#wake();
  }

  /** Everything goes out at once here. */
  hurry(): void {}

  submit(seq: number, command: ClientCommand, payload: readonly Uint8Array[], release: (() => void) | null): void {
    assert(seq === this.#lastSeq + 1, "commands are numbered without a gap");
    assert(!this.#isClosed, "a closed session takes no commands");
    this.#lastSeq = seq;
    this.#send({ kind: "command", seq, command, payload, release });
  }

  takeGrant(): Promise<{ readonly begin: number; readonly end: number }> {
    return this.#call("takeGrant", () => this.#server.grant(this.clientId));
  }

  fetchInode(ino: InodeNumber, withInline: boolean): Promise<Inode | null> {
    return this.#call("fetchInode", () => {
      const inode = this.#server.state.inode(ino);
      return inode === null ? null : copyOf(inode, withInline);
    });
  }

  fetchDirent(
    parent: InodeNumber,
    name: Name,
    withInline: boolean,
  ): Promise<{ readonly dirent: NamedDirent; readonly inode: Inode } | null> {
    return this.#call("fetchDirent", () => {
      const dirent = this.#server.state.dirent(parent, name);
      if (dirent === null) return null;
      return { dirent: { ...dirent, name, cookie: nameCookie(name) }, inode: copyOf(this.#server.mustInode(dirent.ino), withInline) };
    });
  }

  fetchDirectory(
    parent: InodeNumber,
    cookie: number,
    limit: number,
    withInline: boolean,
  ): Promise<{ readonly entries: readonly ListedEntry[]; readonly isEnd: boolean }> {
    return this.#call("fetchDirectory", async () => {
      const count = Math.min(limit, this.#server.options.pageEntriesMax);
      const found = await listDirectory(this.#server.state, parent, cookie, count);
      const entries = found.map((entry) => ({ ...entry, inode: copyOf(this.#server.mustInode(entry.ino), withInline) }));
      return { entries, isEnd: found.length < count };
    });
  }

  fetchXattr(ino: InodeNumber, name: string): Promise<Uint8Array | null> {
    return this.#call("fetchXattr", () => this.#server.state.xattr(ino, name));
  }

  read(ino: InodeNumber, offsetBytes: number, lengthBytes: number): Promise<ReadResult> {
    return this.#call("read", () => this.#server.read(ino, offsetBytes, lengthBytes));
  }

  seek(ino: InodeNumber, offsetBytes: number, whence: number): Promise<number> {
    return this.#call("seek", () => {
      const found = seek(this.#server.state, this.#server.mustInode(ino), offsetBytes, whence);
      if (found === null) throw new CfsError("NO_DEVICE", `nothing after ${offsetBytes} of inode ${ino}`);
      return found;
    });
  }

  promisedBytes(ino: InodeNumber, offsetBytes: number, lengthBytes: number): Promise<number> {
    return this.#call("promisedBytes", () => promisedBytes(this.#server.state, ino, offsetBytes, lengthBytes));
  }

  statistics(): Promise<FileSystemStatistics> {
    return this.#call("statistics", () => this.#server.statistics());
  }

  /** Ends the session; what was not sent is lost. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#dropPending(new CfsError("IO", "the session is closed"));
    this.#server.disconnected(this);
    await this.#server.endSession(this.clientId);
  }

  /** Called by the server. */
  noteDurable(): void {
    const durableSeq = this.#server.durableSeqOf(this.clientId);
    for (const item of this.#pending) {
      if (item.kind === "call") continue;
      if (item.seq > durableSeq) break;
      this.#pending.delete(item);
      item.release?.();
    }
    this.listener?.onProgress({ durableSeq, availableBytes: this.#server.availableBytes });
  }

  /** Called by the server after a crash: everything unanswered is sent again, in its order. */
  reconnect(): void {
    this.noteDurable();
    this.#connection++;
    this.#unsent = [...this.#pending];
    this.#wake();
  }

  /** Called by the server: a new session, and everything of the old one is void. */
  sessionLost(clientId: ClientId, message: string): void {
    this.clientId = clientId;
    this.#lastSeq = 0;
    this.#dropPending(new CfsError("IO", "the session is lost"));
    this.listener?.onSessionLost(message);
  }

  #dropPending(reason: CfsError): void {
    const pending = [...this.#pending];
    this.#pending.clear();
    this.#connection++;
    this.#unsent = [];
    for (const item of pending) {
      if (item.kind === "call") item.reject(reason);
      else item.release?.();
    }
  }

  #call<T>(kind: string, answer: () => T | Promise<T>): Promise<T> {
    this.calls.set(kind, (this.calls.get(kind) ?? 0) + 1);
    return new Promise<T>((resolve, reject) => {
      if (this.#isClosed) {
        reject(new CfsError("IO", "the session is closed"));
        return;
      }
      const run = async (): Promise<void> => {
        try {
          resolve(await answer());
        } catch (reason) {
          reject(CfsError.from(reason));
        }
      };
      this.#send({ kind: "call", run, reject });
    });
  }

  #wake(): void {
    if (this.#isPumping || this.#isPaused || this.#isClosed) return;
    this.#isPumping = true;
    queueMicrotask(() => void this.#pump());
  }

  #send(item: Pending): void {
    this.#pending.add(item);
    this.#unsent.push(item);
    this.#wake();
  }

  async #pump(): Promise<void> {
    let hasRun = false;
    while (this.#unsent.length > 0 && !this.#isPaused) {
      const batch = this.#unsent;
      const connection = this.#connection;
      this.#unsent = [];
      for (let at = 0; at < batch.length && connection === this.#connection; at++) {
        if (this.#isPaused) {
          this.#unsent = [...batch.slice(at), ...this.#unsent];
          break;
        }
        const item = batch[at] as Pending;
        hasRun ||= item.kind === "command";
        await this.#handle(item);
      }
    }
    this.#isPumping = false;
    if (hasRun && this.#server.options.isDurableAtOnce) this.#server.makeDurable();
  }

  async #handle(item: Pending): Promise<void> {
    if (item.kind === "call") {
      await item.run();
      this.#pending.delete(item);
      return;
    }
    const errno = this.#server.run(this.clientId, item.seq, item.command, item.payload);
    if (errno !== 0) this.listener?.onRejected({ seq: item.seq, errno, message: "refused by the server", ino: inodeOf(item.command) });
  }
}

function copyOf(inode: Inode, withInline: boolean): Inode {
  return { ...inode, inline: withInline ? inode.inline : null };
}

function inodeOf(command: ClientCommand): InodeNumber | 0 {
  if ("ino" in command) return command.ino;
  return command.type === "copyRange" ? command.target : 0;
}
