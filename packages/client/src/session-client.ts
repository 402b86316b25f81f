/**
 * The client's end of a session: implements the vfs's Remote on a hot-stream connection.
 *
 * Invariant: what was submitted is kept, bytes included, until the server says that it is durable; after a reconnect everything that the server
 * does not have is sent again in order, before anything new. Requests that were not answered are sent again behind it.
 * While the server is away, calls wait and `state` says since when. When the server no longer knows the session, the listener is told, everything
 * that waits fails with STALE_HANDLE, and a new session under a new client id begins: what was not durable is gone, the mount goes on.
 */
import { CfsError } from "@cfs/core";
import type { ClientId, Clock, InodeNumber, Logger, Name } from "@cfs/core";
import {
  decodeDirectoryReply,
  decodeDirentReply,
  decodeInodeReply,
  decodeNumbersReply,
  decodeServerMessage,
  decodeXattrReply,
  encodeClientMessage,
  sessionVersion,
} from "@cfs/metadata";
import type { ClientCommand, Inode, NamedDirent, Request, ServerMessage } from "@cfs/metadata";
import type { Connection, Frame, ReceivedFrame } from "@cfs/rpc";
import type { FileSystemStatistics, ListedEntry, ReadResult, Remote, RemoteListener, VfsWait } from "@cfs/vfs";

export interface SessionClientParts {
  readonly connect: (signal: AbortSignal) => Promise<Connection>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Takes back the memory of a received payload. */
  readonly give: (buffer: Uint8Array) => void;
  /** A name that no session had before: at the start, and after a session was lost. */
  readonly newClientId: () => ClientId;
}

export interface SessionClientOptions {
  readonly host: string;
  readonly mountpoint: string;
  /** Pause between two attempts to reach the server, milliseconds. */
  readonly retryMs: number;
}

interface Submitted {
  readonly seq: number;
  readonly frame: Frame;
  readonly release: (() => void) | null;
}

interface Waiting {
  readonly request: Request;
  resolve(reply: { body: Uint8Array; payload: Uint8Array }): void;
  reject(reason: unknown): void;
}

export type SessionState =
  | { readonly kind: "connecting"; readonly sinceMs: number; readonly lastError: string }
  | { readonly kind: "connected" }
  | { readonly kind: "closed" };

/** How long a command waits for company, milliseconds; and how much company is enough. */
const lazyMs = 3;
const lazyBytesMax = 256 << 10;
const lazyFramesMax = 128;
/** How long after somebody waited for durability writes go out at once, milliseconds. */
const hurryMs = 5;
/** More than this is not given to the connection at once. */
const connectionBytesMax = 8 << 20;

const nothing: Uint8Array = new Uint8Array(0);

function requestFrame(id: number, request: Request): Frame {
  return { head: encodeClientMessage({ type: "request", id, request }), payload: [] };
}

export class SessionClient implements Remote {
  listener: RemoteListener | null = null;
  readonly #parts: SessionClientParts;
  readonly #options: SessionClientOptions;
  readonly #stop = new AbortController();
  #connection: Connection | null = null;
  /** True once welcome came: before that nothing but hello is sent. */
  #isWelcome = false;
  #state: SessionState;
  #clientId: ClientId;
  /** The server welcomed this client id before. */
  #isReturning = false;
  /** Not yet durable, in order of seq. */
  #submitted: Submitted[] = [];
  #submittedBegin = 0;
  /** Frames that wait for the connection to take them, in order. */
  #outgoing: Frame[] = [];
  #isDraining = false;
  #lazyBytes = 0;
  #cancelLazy: (() => void) | null = null;
  #hurriedUntilMs = 0;
  readonly #waiting = new Map<number, Waiting>();
  #nextRequest = 1;
  #durableSeq = 0;
  #availableBytes = 0;
  #goodbye: (() => void) | null = null;
  #reconnecting: Promise<void> | null = null;

  private constructor(parts: SessionClientParts, options: SessionClientOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#clientId = parts.newClientId();
    this.#state = { kind: "connecting", sinceMs: parts.clock.monotonicMs(), lastError: "" };
  }

  /** Connects and is welcomed, or fails: nothing is retried before the first welcome. */
  static async open(parts: SessionClientParts, options: SessionClientOptions): Promise<SessionClient> {
    const client = new SessionClient(parts, options);
    await client.#connect();
    return client;
  }

  get state(): SessionState {
    return this.#state;
  }

  get clientId(): ClientId {
    return this.#clientId;
  }

  get clusterId(): string {
    return this.#clusterId;
  }
  #clusterId = "";

  get durableSeq(): number {
    return this.#durableSeq;
  }

  get availableBytes(): number {
    return this.#availableBytes;
  }

  /** Commands that are not yet durable. */
  get undurableCount(): number {
    return this.#submitted.length - this.#submittedBegin;
  }

  async #connect(): Promise<void> {
    const connection = await this.#parts.connect(this.#stop.signal);
    this.#connection = connection;
    this.#isWelcome = false;
    await new Promise<void>((resolve, reject) => {
      connection.onClosed = (reason) => {
        const error = reason ?? new CfsError("UNREACHABLE", "the server closed the connection");
        reject(this.#refused ?? error);
        this.#disconnected(connection, error);
      };
      connection.onFrames = (frames) => {
        try {
          this.#receive(frames, resolve);
        } catch (reason) {
          this.#parts.logger.error("the server sent what this client does not understand", { reason: CfsError.from(reason).message });
          connection.close().catch((failure: unknown) => {
            this.#parts.logger.error("closing the connection failed", { reason: CfsError.from(failure).message });
          });
        }
      };
      const session = { clientId: this.#clientId, durableSeq: this.#durableSeq, isReturning: this.#isReturning };
      const { host, mountpoint } = this.#options;
      connection.send({
        head: encodeClientMessage({ type: "hello", version: sessionVersion, ...session, host, mountpoint }),
        payload: [],
      });
    });
  }

  #refused: CfsError | null = null;

  #receive(frames: readonly ReceivedFrame[], welcomed: () => void): void {
    for (const frame of frames) {
      const message = decodeServerMessage(frame.head);
      if (message.type === "reply") this.#reply(message, frame.payload);
      else this.#take(message, welcomed);
    }
  }

  #take(message: Exclude<ServerMessage, { type: "reply" }>, welcomed: () => void): void {
    if (message.type === "welcome") {
      this.#clusterId = message.clusterId;
      this.#isWelcome = true;
      this.#isReturning = true;
      this.#state = { kind: "connected" };
      this.#progress(Math.max(message.seq, this.#durableSeq), message.availableBytes);
      this.#sendAgain();
      welcomed();
    } else if (message.type === "progress") {
      // What an old session still says after it was lost is about numbers that begin anew.
      if (this.#isWelcome) this.#progress(message.durableSeq, message.availableBytes);
    } else if (message.seq === 0) this.#refuse(CfsError.fromErrno(message.errno, message.message.replace(/^[A-Z_]+: /, "")));
    else
      this.listener?.onRejected({ seq: message.seq, errno: message.errno, message: message.message, ino: message.ino as InodeNumber | 0 });
  }

  /** The server ends the session or does not begin it. */
  #refuse(error: CfsError): void {
    this.#refused = error;
    if (error.code === "STALE_HANDLE") this.#lost(error.message);
  }

  /** Nothing of the old session counts any more; the next hello begins a new one. */
  #lost(reason: string): void {
    if (this.#state.kind === "closed" || this.#goodbye) return;
    this.#parts.logger.error("the session is lost; a new one begins", { reason, undurableCommands: this.undurableCount });
    this.#isWelcome = false;
    this.#clientId = this.#parts.newClientId();
    this.#isReturning = false;
    this.#durableSeq = 0;
    this.#outgoing = [];
    const error = new CfsError("STALE_HANDLE", reason);
    for (const waiting of [...this.#waiting.values()]) waiting.reject(error);
    this.#waiting.clear();
    for (const { release } of this.#submitted.splice(0).slice(this.#submittedBegin)) release?.();
    this.#submittedBegin = 0;
    this.listener?.onSessionLost(reason);
  }

  #progress(durableSeq: number, availableBytes: number): void {
    this.#availableBytes = availableBytes;
    this.#durableSeq = Math.max(this.#durableSeq, durableSeq);
    while (this.#submittedBegin < this.#submitted.length) {
      const first = this.#submitted[this.#submittedBegin] as Submitted;
      if (first.seq > this.#durableSeq) break;
      first.release?.();
      this.#submittedBegin++;
    }
    if (this.#submittedBegin > 1024 && this.#submittedBegin * 2 > this.#submitted.length) {
      this.#submitted = this.#submitted.slice(this.#submittedBegin);
      this.#submittedBegin = 0;
    } else if (this.#submittedBegin === this.#submitted.length) {
      this.#submitted = [];
      this.#submittedBegin = 0;
    }
    this.listener?.onProgress({ durableSeq: this.#durableSeq, availableBytes });
  }

  #sendAgain(): void {
    this.#outgoing = this.#submitted.slice(this.#submittedBegin).map(({ frame }) => frame);
    for (const [id, { request }] of this.#waiting) this.#outgoing.push(requestFrame(id, request));
    this.#pump();
  }

  /** Queues a frame and everything before it to go out now; what is sent before the welcome goes out with it. */
  #send(frame: Frame): void {
    if (!this.#isWelcome) return;
    this.#outgoing.push(frame);
    this.#pump();
    this.#connection?.flush();
  }

  /** A command may wait for company: one message, one turn of the server and one journal write then serve many. */
  #sendLazily(frame: Frame, payloadBytes: number): void {
    if (!this.#isWelcome) return;
    this.#outgoing.push(frame);
    this.#lazyBytes += payloadBytes + frame.head.length;
    // Where somebody just waited for durability, the next write is likely to be waited for too.
    const isUrgent = payloadBytes > 0 && this.#parts.clock.monotonicMs() < this.#hurriedUntilMs;
    if (isUrgent || this.#lazyBytes >= lazyBytesMax || this.#outgoing.length >= lazyFramesMax) this.#pump();
    else this.#cancelLazy ??= this.#parts.clock.after(lazyMs, () => this.#pump());
  }

  hurry(): void {
    this.#hurriedUntilMs = this.#parts.clock.monotonicMs() + hurryMs;
    this.#pump();
  }

  /** Gives frames to the connection as long as it keeps up, so that little is in flight twice when it breaks. */
  #pump(): void {
    const connection = this.#connection;
    this.#cancelLazy?.();
    this.#cancelLazy = null;
    if (!connection || !this.#isWelcome || this.#isDraining) return;
    let sent = 0;
    while (sent < this.#outgoing.length && connection.queuedBytes < connectionBytesMax) connection.send(this.#outgoing[sent++] as Frame);
    this.#outgoing.splice(0, sent);
    this.#lazyBytes = 0;
    if (this.#outgoing.length === 0) return;
    this.#isDraining = true;
    connection.drained().then(
      () => this.#drained(),
      (reason: unknown) => this.#parts.logger.error("sending stopped", { reason: CfsError.from(reason).message }),
    );
  }

  #drained(): void {
    this.#isDraining = false;
    this.#pump();
  }

  #disconnected(connection: Connection, reason: CfsError): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    this.#isWelcome = false;
    this.#outgoing = [];
    if (this.#goodbye || this.#state.kind === "closed") {
      this.#goodbye?.();
      return;
    }
    if (this.#state.kind === "connected") {
      this.#parts.logger.warn("the server is away; operations wait", { reason: reason.message });
      this.#state = { kind: "connecting", sinceMs: this.#parts.clock.monotonicMs(), lastError: reason.message };
      this.#reconnecting ??= this.#reconnect().finally(() => {
        this.#reconnecting = null;
      });
    }
  }

  async #reconnect(): Promise<void> {
    while (this.#state.kind === "connecting" && !this.#goodbye) {
      try {
        this.#refused = null;
        await this.#connect();
        this.#parts.logger.info("the server is back", { durableSeq: this.#durableSeq });
      } catch (reason) {
        const sinceMs = this.#state.kind === "connecting" ? this.#state.sinceMs : this.#parts.clock.monotonicMs();
        if (this.#state.kind === "connecting") this.#state = { kind: "connecting", sinceMs, lastError: CfsError.from(reason).message };
        await new Promise<void>((resolve) => {
          this.#parts.clock.after(this.#options.retryMs, resolve);
        });
      }
    }
  }

  submit(seq: number, command: ClientCommand, payload: readonly Uint8Array[], release: (() => void) | null): void {
    if (this.#state.kind === "closed") {
      release?.();
      throw new CfsError("STALE_HANDLE", "the mount is closing");
    }
    const frame: Frame = { head: encodeClientMessage({ type: "command", seq, command }), payload };
    this.#submitted.push({ seq, frame, release });
    let payloadBytes = 0;
    for (const part of payload) payloadBytes += part.length;
    this.#sendLazily(frame, payloadBytes);
  }

  #ask(request: Request, wait?: VfsWait): Promise<{ body: Uint8Array; payload: Uint8Array }> {
    if (this.#state.kind === "closed") return Promise.reject(new CfsError("STALE_HANDLE", "the mount is closing"));
    if (wait?.isInterrupted === true) return Promise.reject(new CfsError("INTERRUPTED", "the operation was interrupted"));
    return new Promise((resolve, reject) => {
      const id = this.#nextRequest++;
      this.#waiting.set(id, { request, resolve, reject });
      if (wait !== undefined) {
        wait.onInterrupt = () => {
          // The reply may still come: it is dropped when it does.
          if (this.#waiting.delete(id)) reject(new CfsError("INTERRUPTED", "the operation was interrupted"));
        };
      }
      this.#send(requestFrame(id, request));
    });
  }

  #reply(message: ServerMessage & { type: "reply" }, payload: Uint8Array): void {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) {
      if (payload.length > 0) this.#parts.give(payload);
      return;
    }
    this.#waiting.delete(message.id);
    if (message.errno === 0) {
      // The head is borrowed for this callback, and what is decoded of it may be kept.
      waiting.resolve({ body: message.body.length === 0 ? nothing : Uint8Array.from(message.body), payload });
      return;
    }
    if (payload.length > 0) this.#parts.give(payload);
    waiting.reject(
      CfsError.fromErrno(
        message.errno,
        Buffer.from(message.body)
          .toString("utf8")
          .replace(/^[A-Z_]+: /, ""),
      ),
    );
  }

  async takeGrant(): Promise<{ readonly begin: number; readonly end: number }> {
    const { body } = await this.#ask({ kind: "grant" });
    const [begin, end] = decodeNumbersReply(body, 2) as [number, number];
    return { begin, end };
  }

  async fetchInode(ino: InodeNumber, withInline: boolean): Promise<Inode | null> {
    return decodeInodeReply((await this.#ask({ kind: "inode", ino, withInline })).body);
  }

  async fetchDirent(
    parent: InodeNumber,
    name: Name,
    withInline: boolean,
  ): Promise<{ readonly dirent: NamedDirent; readonly inode: Inode } | null> {
    return decodeDirentReply((await this.#ask({ kind: "dirent", parent, name, withInline })).body);
  }

  async fetchDirectory(
    parent: InodeNumber,
    cookie: number,
    limit: number,
    withInline: boolean,
  ): Promise<{ readonly entries: readonly ListedEntry[]; readonly isEnd: boolean }> {
    const { body } = await this.#ask({ kind: "directory", parent, cookie, limit, withInline });
    const { entries, isEnd } = decodeDirectoryReply(body);
    return { entries: entries.map(({ dirent, inode }) => ({ ...dirent, inode })), isEnd };
  }

  async fetchXattr(ino: InodeNumber, name: string): Promise<Uint8Array | null> {
    return decodeXattrReply((await this.#ask({ kind: "xattr", ino, name })).body);
  }

  async read(ino: InodeNumber, offsetBytes: number, lengthBytes: number, wait?: VfsWait): Promise<ReadResult> {
    const { payload } = await this.#ask({ kind: "read", ino, offsetBytes, lengthBytes }, wait);
    if (payload.length === 0) return { lengthBytes: 0, parts: [], release: () => undefined };
    return { lengthBytes: payload.length, parts: [payload], release: () => this.#parts.give(payload) };
  }

  async seek(ino: InodeNumber, offsetBytes: number, whence: number): Promise<number> {
    return (decodeNumbersReply((await this.#ask({ kind: "seek", ino, offsetBytes, whence })).body, 1) as [number])[0];
  }

  async promisedBytes(ino: InodeNumber, offsetBytes: number, lengthBytes: number): Promise<number> {
    const { body } = await this.#ask({ kind: "promised", ino, offsetBytes, lengthBytes });
    return (decodeNumbersReply(body, 1) as [number])[0];
  }

  async statistics(): Promise<FileSystemStatistics> {
    const numbers = decodeNumbersReply((await this.#ask({ kind: "statistics" })).body, 7);
    const [blockSizeBytes, blocks, blocksFree, blocksAvailable, files, filesFree, nameBytesMax] = numbers as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    return { blockSizeBytes, blocks, blocksFree, blocksAvailable, files, filesFree, nameBytesMax };
  }

  /** Says goodbye: the server may give the session to another client at once. Everything should be durable before. */
  async close(): Promise<void> {
    if (this.#state.kind === "closed") return;
    const connection = this.#connection;
    if (connection && this.#isWelcome) {
      const gone = new Promise<void>((resolve) => {
        this.#goodbye = resolve;
        this.#parts.clock.after(1_000, resolve);
      });
      this.#send({ head: encodeClientMessage({ type: "goodbye" }), payload: [] });
      await gone;
    }
    this.#state = { kind: "closed" };
    this.#stop.abort(new CfsError("INTERRUPTED", "the mount is closing"));
    await connection?.close();
    await this.#reconnecting;
    for (const waiting of [...this.#waiting.values()]) waiting.reject(new CfsError("STALE_HANDLE", "the mount is closing"));
    this.#waiting.clear();
  }
}
