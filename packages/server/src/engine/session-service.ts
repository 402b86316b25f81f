/**
 * Client sessions over hot-stream connections.
 *
 * One session owns the whole file system: a second client is refused as long as the first is connected, or was less than the lease time ago.
 * A client that comes back with the same id goes on where the log has it; what it sends again is recognised by its sequence number.
 * Invariant: a command is proposed at most once, in sequence; progress is reported only for what is durable.
 */
import { CfsError } from "@cfs/core";
import type { ClientId, Clock, Logger } from "@cfs/core";
import { decodeClientMessage, encodeServerMessage, sessionVersion } from "@cfs/metadata";
import type { ClientCommand, ClientMessage, KvState, ServerMessage, ShardDriver } from "@cfs/metadata";
import type { Connection, ReceivedFrame } from "@cfs/rpc";
import type { BufferPool } from "@cfs/storage";
import type { Capacity } from "./capacity.ts";
import { CommandQueue } from "./command-queue.ts";
import type { CommandQueueParts } from "./command-queue.ts";
import type { OperationFigures } from "./operation-figures.ts";
import { givePayload } from "./payload-pool.ts";
import type { RequestHandler } from "./request-handler.ts";

/** A client that lost its connection keeps its session for this long. */
export const leaseMs = 3_000;
/** The connection is paused while more payload than this waits. */
const queuedBytesMax = 24 << 20;
/** Rejections kept for a client that does not acknowledge. */
const rejectionsMax = 4_096;
/** What a client may send: everything else is the server's own. */
const clientCommands: ReadonlySet<string> = new Set([
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

export interface SessionServiceParts {
  readonly driver: ShardDriver;
  readonly state: KvState;
  readonly queue: CommandQueueParts;
  readonly handler: RequestHandler;
  readonly capacity: Capacity;
  readonly pool: BufferPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly figures: OperationFigures;
  /** Reaps what a session left behind. */
  readonly onSessionClosed: (clientId: ClientId) => void;
}

export interface SessionInfo {
  readonly clientId: ClientId;
  readonly host: string;
  readonly mountpoint: string;
  readonly peer: string;
  readonly isConnected: boolean;
  readonly sinceMs: number;
}

type Rejected = ServerMessage & { readonly type: "rejected" };

interface ActiveSession {
  readonly clientId: ClientId;
  /** Told to the client, which has not yet said that it heard: told again when it comes back. */
  rejections: Rejected[];
  host: string;
  mountpoint: string;
  link: SessionLink | null;
  sinceMs: number;
  cancelExpiry: (() => void) | null;
}

export class SessionService {
  readonly #parts: SessionServiceParts;
  readonly #links = new Set<SessionLink>();
  #active: ActiveSession | null = null;
  /** Sessions from before the start whose clients have not come back yet; the value cancels their end. */
  readonly #returning = new Map<ClientId, () => void>();
  #isClosed = false;

  constructor(parts: SessionServiceParts) {
    this.#parts = parts;
    parts.driver.onDurable = (index) => {
      for (const link of this.#links) link.advance(index);
    };
  }

  get sessions(): readonly SessionInfo[] {
    const active = this.#active;
    if (!active) return [];
    const { clientId, host, mountpoint, sinceMs, link } = active;
    return [{ clientId, host, mountpoint, peer: link?.peer ?? "", isConnected: link !== null, sinceMs }];
  }

  accept(connection: Connection): void {
    const link = new SessionLink(this.#parts, connection, {
      admit: (hello) => this.#admit(link, hello),
      onEnded: (isGoodbye) => this.#ended(link, isGoodbye),
      onRejected: (rejected) => this.#noteRejection(link, rejected),
    });
    this.#links.add(link);
  }

  #noteRejection(link: SessionLink, rejected: Rejected): void {
    const active = this.#active;
    if (active?.link !== link) return;
    if (active.rejections.length >= rejectionsMax) active.rejections.shift();
    active.rejections.push(rejected);
  }

  /** Whether the client has a session, or may still come back to it. */
  isHeld(clientId: ClientId): boolean {
    return this.#active?.clientId === clientId || this.#returning.has(clientId);
  }

  /** Decides whether a client may have the session; the sequence number it goes on from. Throws BUSY. */
  #admit(link: SessionLink, hello: ClientMessage & { type: "hello" }): Admission {
    const { driver, state, clock } = this.#parts;
    if (this.#isClosed) throw new CfsError("UNREACHABLE", "the server is stopping");
    if (hello.version !== sessionVersion) {
      throw new CfsError(
        "NOT_SUPPORTED",
        `the client speaks session version ${hello.version}, this server ${sessionVersion}; use the same release of cfs on both sides`,
      );
    }
    const active = this.#active;
    if (active && active.clientId !== hello.clientId) {
      const who = active.mountpoint === "" ? active.host : `${active.host}:${active.mountpoint}`;
      if (!active.link) throw new CfsError("AGAIN", `${who} lost its connection; it keeps its session for a few seconds`);
      throw new CfsError(
        "BUSY",
        `${who} has this file system mounted, and this release serves one mount at a time; unmount it there first (after a lazy unmount: end what still uses it)`,
      );
    }
    const [returning] = this.#returning.keys();
    if (!active && returning !== undefined && !this.#returning.has(hello.clientId)) {
      throw new CfsError(
        "AGAIN",
        "a client from before the restart may still come back to its mount; it keeps its session for a few seconds",
      );
    }
    active?.cancelExpiry?.();
    active?.link?.drop(new CfsError("BUSY", "the client came back on another connection"));
    const known = state.content.session(hello.clientId);
    if (!known) {
      if (hello.isReturning) {
        throw new CfsError("STALE_HANDLE", `the server no longer knows client ${hello.clientId}: it was away for longer than its lease`);
      }
      driver.propose({ command: { type: "openSession", clientId: hello.clientId }, clientId: null, seq: 0, payload: [] });
    }
    this.#returning.get(hello.clientId)?.();
    this.#returning.delete(hello.clientId);
    const rejections = (active?.rejections ?? []).filter(({ seq }) => seq > hello.durableSeq);
    this.#active = {
      clientId: hello.clientId,
      rejections,
      host: hello.host,
      mountpoint: hello.mountpoint,
      link,
      sinceMs: active?.sinceMs ?? clock.monotonicMs(),
      cancelExpiry: null,
    };
    return { seq: known?.seq ?? 0, rejections };
  }

  #ended(link: SessionLink, isGoodbye: boolean): void {
    this.#links.delete(link);
    const active = this.#active;
    if (!active || active.link !== link) return;
    active.link = null;
    if (isGoodbye) this.#expire(active);
    else if (!this.#isClosed) active.cancelExpiry = this.#parts.clock.after(leaseMs, () => this.#expire(active));
  }

  #expire(active: ActiveSession): void {
    if (this.#active !== active) return;
    this.#active = null;
    this.#parts.onSessionClosed(active.clientId);
  }

  /** Sessions in the log that nobody holds since the server started: their clients get the lease time to come back. */
  expectReturn(clientIds: readonly ClientId[]): void {
    for (const clientId of clientIds) {
      const cancel = this.#parts.clock.after(leaseMs * 3, () => {
        this.#returning.delete(clientId);
        this.#parts.onSessionClosed(clientId);
      });
      this.#returning.set(clientId, cancel);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#active?.cancelExpiry?.();
    for (const cancel of this.#returning.values()) cancel();
    await Promise.all([...this.#links].map((link) => link.close()));
  }
}

interface Admission {
  /** The last command of the client that the log has. */
  readonly seq: number;
  readonly rejections: readonly Rejected[];
}

interface LinkOwner {
  admit(hello: ClientMessage & { type: "hello" }): Admission;
  onEnded(isGoodbye: boolean): void;
  onRejected(rejected: Rejected): void;
}

/** One connection of a client. */
class SessionLink {
  readonly #parts: SessionServiceParts;
  readonly #connection: Connection;
  readonly #owner: LinkOwner;
  #queue: CommandQueue | null = null;
  #lastSeq = 0;
  #isPaused = false;
  #isEnded = false;
  /** The command whose way to durability is timed; 0 for none. */
  #timedSeq = 0;
  #timedMs = 0;

  constructor(parts: SessionServiceParts, connection: Connection, owner: LinkOwner) {
    this.#parts = parts;
    this.#connection = connection;
    this.#owner = owner;
    connection.onFrames = (frames) => this.#receive(frames);
    connection.onClosed = () => this.#end(false);
  }

  get peer(): string {
    return this.#connection.peer;
  }

  advance(index: number): void {
    this.#queue?.advance(index);
  }

  #receive(frames: readonly ReceivedFrame[]): void {
    for (const frame of frames) {
      const payload = frame.payload.length > 0 ? frame.payload : null;
      try {
        if (this.#isEnded) throw new CfsError("INVALID", "the session has ended");
        this.#take(decodeClientMessage(frame.head), payload);
      } catch (reason) {
        if (payload) givePayload(this.#parts.pool, payload);
        if (!this.#isEnded) this.drop(CfsError.from(reason));
      }
    }
    if (this.#queue && this.#queue.queuedBytes > queuedBytesMax && !this.#isPaused) {
      this.#isPaused = true;
      this.#connection.pause();
    }
  }

  #take(message: ClientMessage, payload: Uint8Array | null): void {
    if (message.type === "hello") {
      if (this.#queue) throw new CfsError("INVALID", "a second hello on one connection");
      return this.#hello(message);
    }
    const queue = this.#queue;
    if (!queue) throw new CfsError("INVALID", "the first message of a session is hello");
    switch (message.type) {
      case "command":
        return this.#command(queue, message.seq, message.command as ClientCommand, payload);
      case "request":
        if (payload) throw new CfsError("INVALID", "a request has no payload");
        return queue.request(() =>
          this.#parts.handler.answer(message.request, this.#clientId as ClientId, (reply, parts, release) =>
            this.#reply(message.id, reply, parts, release),
          ),
        );
      default:
        return queue.request(() => this.#end(true));
    }
  }

  #clientId: ClientId | null = null;

  #hello(message: ClientMessage & { type: "hello" }): void {
    const { driver, capacity, state } = this.#parts;
    const { seq, rejections } = this.#owner.admit(message);
    this.#lastSeq = seq;
    this.#clientId = message.clientId;
    this.#queue = new CommandQueue(this.#parts.queue, message.clientId, {
      onDurable: (seq) => this.#durable(seq),
      onRejected: (seq, command, error) => {
        this.#parts.logger.warn("a command was rejected", { seq, command: command.type, reason: error.message });
        const rejected: Rejected = {
          type: "rejected",
          seq,
          errno: error.errno,
          ino: "ino" in command ? command.ino : 0,
          message: error.message,
        };
        this.#owner.onRejected(rejected);
        this.#send(rejected);
      },
      onFailed: (error) => this.drop(error),
    });
    this.#queue.onRoom = () => {
      if (this.#isPaused && (this.#queue?.queuedBytes ?? 0) < queuedBytesMax / 2) {
        this.#isPaused = false;
        this.#connection.resume();
      }
    };
    const clusterId = state.content.superblock()?.clusterId ?? "";
    // The client counts what the server has as durable: so it must be.
    driver.durable(driver.appliedIndex).then(
      () => {
        // Before the welcome, which says that everything up to `seq` is settled.
        for (const rejected of rejections) this.#send(rejected);
        this.#send({ type: "welcome", version: sessionVersion, clusterId, seq, availableBytes: capacity.availableBytes });
      },
      (reason: unknown) => this.drop(CfsError.from(reason)),
    );
  }

  #command(queue: CommandQueue, seq: number, command: ClientCommand, payload: Uint8Array | null): void {
    if (!clientCommands.has(command.type)) throw new CfsError("NOT_PERMITTED", `a client may not send ${command.type}`);
    if (seq <= this.#lastSeq) {
      // Sent again after a reconnect, though it had arrived.
      if (payload) givePayload(this.#parts.pool, payload);
      return;
    }
    const wantsPayload = command.type === "write" && command.source.kind === "payload";
    if (
      wantsPayload !== (payload !== null) ||
      (command.type === "write" && (command.source.kind === "extents" || (payload && payload.length !== command.lengthBytes)))
    ) {
      throw new CfsError("INVALID", `command ${seq}: the payload does not fit the command`);
    }
    this.#lastSeq = seq;
    this.#count(seq, command.type, payload?.length ?? 0);
    queue.command(seq, command, payload);
  }

  /** The time to durability is taken of one command at a time: a sample, for almost nothing. */
  #count(seq: number, kind: string, payloadBytes: number): void {
    const { figures, clock } = this.#parts;
    figures.countOperation(kind);
    figures.bytesWritten += payloadBytes;
    if (this.#timedSeq !== 0) return;
    this.#timedSeq = seq;
    this.#timedMs = clock.monotonicMs();
  }

  #durable(seq: number): void {
    const { figures, clock, capacity } = this.#parts;
    if (this.#timedSeq !== 0 && seq >= this.#timedSeq) {
      figures.commit.observeMs(clock.monotonicMs() - this.#timedMs);
      this.#timedSeq = 0;
    }
    this.#send({ type: "progress", durableSeq: seq, availableBytes: capacity.availableBytes });
  }

  #reply(id: number, reply: { errno: number; body: Uint8Array }, parts: readonly Uint8Array[], release: (() => void) | null): void {
    if (this.#isEnded) {
      release?.();
      return;
    }
    this.#transmit(encodeServerMessage({ type: "reply", id, ...reply }), parts, release);
    this.#connection.flush();
  }

  #send(message: ServerMessage): void {
    if (!this.#isEnded) this.#transmit(encodeServerMessage(message), [], null);
  }

  /** A client that does not read what it asked for, or is just going, loses its connection; nothing is thrown at whoever had an answer. */
  #transmit(head: Uint8Array, payload: readonly Uint8Array[], release: (() => void) | null): void {
    try {
      if (release) this.#connection.send({ head, payload }, release);
      else this.#connection.send({ head, payload });
    } catch (reason) {
      release?.();
      this.#parts.logger.warn("a client connection does not take more", { peer: this.peer, reason: CfsError.from(reason).message });
      this.#end(false);
    }
  }

  /** Tells the client why, and closes. */
  drop(error: CfsError): void {
    this.#parts.logger.warn("a client connection is dropped", { peer: this.peer, reason: error.message });
    this.#send({ type: "rejected", seq: 0, errno: error.errno, ino: 0, message: error.message });
    this.#end(false);
  }

  #end(isGoodbye: boolean): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#ending = this.#finish(isGoodbye);
  }

  #ending: Promise<void> = Promise.resolve();

  async #finish(isGoodbye: boolean): Promise<void> {
    await this.#queue?.close();
    await this.#connection.close();
    this.#owner.onEnded(isGoodbye);
  }

  async close(): Promise<void> {
    this.#end(false);
    await this.#ending;
  }
}
