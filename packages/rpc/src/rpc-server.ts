/**
 * One HTTP/2 server on one port (and a local stream beside it) for both kinds of calls: hot streams (cfs.v1.Session/Stream) and the unary services of `routes`.
 *
 * Each session is bounded in streams, window and headers, and pinged; each hot stream becomes a Connection for `onConnection`. Closing
 * ends connections first (what they queued goes out), then tells peers to go (GOAWAY), and cuts what is left after `closeTimeoutMs`.
 * Invariant: after `close` resolves no socket, stream or timer of this server is left.
 */
import { CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { constants, performServerHandshake } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { LocalListener } from "@cfs/native";
import { trailersOf } from "./grpc-status.ts";
import { Http2End } from "./http2-end.ts";
import { grpcContentType, hotStreamPath, sessionMemoryMebi, sessionSettings, widenSession } from "./http2-session.ts";
import { keepAlive } from "./keep-alive.ts";
import { limits } from "./limits.ts";
import { LocalEnd } from "./local-end.ts";
import { localListenName } from "./local-socket.ts";
import { fromNodeError } from "./node-error.ts";
import { StreamConnection } from "./stream-connection.ts";
import { addressText, plainPayloadPool } from "./transport.ts";
import type { Address, Connection, Listener, PayloadPool } from "./transport.ts";

export interface RpcServerParts {
  readonly clock: Clock;
  /** Where received payloads go; plain memory when it is missing. */
  readonly pool?: PayloadPool;
}

/** One method of a unary or server-streaming service; made by `serveUnary`. */
export interface Route {
  /** "/package.Service/Method" */
  readonly path: string;
  /** Answers the call; the promise settles when it is over and never rejects. `signal` aborts when the server closes. */
  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, signal: AbortSignal): Promise<void>;
}

export interface RpcServerOptions {
  /** Must set `onFrames` and `onClosed` before it returns, or close the connection. */
  readonly onConnection: (connection: Connection) => void;
  readonly routes: readonly Route[];
  /** Milliseconds between keep-alive pings, 0 for none. Default 5000. */
  readonly keepAliveMs?: number;
  /** How long `close` waits for peers before it cuts. Default 2000. */
  readonly closeTimeoutMs?: number;
}

/** Where no descriptors are left a waiting connection is looked at again after this. */
const acceptAgainMs = 1_000;

export class RpcServer implements Listener {
  readonly #server: Server;
  /** For clients on this machine; null where there is none. */
  #local: LocalListener | null = null;
  readonly #clock: Clock;
  readonly #pool: PayloadPool;
  readonly #onConnection: (connection: Connection) => void;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #keepAliveMs: number;
  readonly #closeTimeoutMs: number;
  readonly #sessions: Map<ServerHttp2Session, SessionRecord> = new Map();
  readonly #connections: Set<StreamConnection> = new Set();
  readonly #calls: Set<Promise<void>> = new Set();
  readonly #closing: AbortController = new AbortController();
  #closed: Promise<void> | null = null;
  #address: Address = { host: "", port: 0 };

  static async listen(parts: RpcServerParts, address: Address, options: RpcServerOptions): Promise<RpcServer> {
    const server = new RpcServer(parts, options);
    await server.#listen(address);
    return server;
  }

  private constructor(parts: RpcServerParts, options: RpcServerOptions) {
    this.#clock = parts.clock;
    this.#pool = parts.pool ?? plainPayloadPool;
    this.#onConnection = options.onConnection;
    this.#routes = new Map(options.routes.map((route) => [route.path, route]));
    this.#keepAliveMs = options.keepAliveMs ?? 5000;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 2000;
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket, remoteOf(socket)));
    this.#server.maxConnections = limits.connectionsMax;
  }

  get address(): Address {
    return this.#address;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #listen(address: Address): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (error: Error): void => reject(fromNodeError(error, `cannot listen on ${addressText(address)}`));
    this.#server.once("error", fail);
    this.#server.listen({ host: address.host, port: address.port }, resolve);
    await promise;
    this.#server.off("error", fail);
    const bound = this.#server.address();
    this.#address = { host: address.host, port: typeof bound === "object" && bound !== null ? bound.port : address.port };
    try {
      this.#listenLocally();
    } catch (error) {
      this.#server.close();
      throw error;
    }
  }

  #listenLocally(): void {
    const name = localListenName(this.#address);
    if (name === null) return;
    const local = new LocalListener(name, {
      onAccept: (fd) => this.#acceptLocal(fd),
      onRefused: () => void this.#clock.after(acceptAgainMs, () => this.#closing.signal.aborted || local.start()),
    });
    this.#local = local;
    local.start();
  }

  async #close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#local?.close();
    const cancelCut = this.#clock.after(this.#closeTimeoutMs, () => {
      for (const record of this.#sessions.values()) record.cut();
    });
    this.#closing.abort(new CfsError("UNREACHABLE", `the server at ${addressText(this.#address)} is closing`));
    await Promise.all([...this.#connections].map((connection) => connection.close()));
    await Promise.all(this.#calls);
    for (const session of this.#sessions.keys()) session.close();
    await stopped;
    cancelCut();
  }

  /** `peer` is null when it is gone already. */
  #accept(socket: Socket, peer: string | null): void {
    if (this.#closing.signal.aborted || peer === null) {
      socket.destroy();
      return;
    }
    const session = performServerHandshake(socket, { settings: sessionSettings, maxSessionMemory: sessionMemoryMebi });
    const record: SessionRecord = {
      peer,
      failure: null,
      cut() {
        session.destroy();
        socket.destroy();
      },
    };
    this.#sessions.set(session, record);
    session.on("error", (error) => {
      record.failure ??= fromNodeError(error, `the session with ${peer} failed`);
      record.cut();
    });
    session.on("stream", (stream, headers) => this.#dispatch(stream, headers));
    let stopPings = (): void => {};
    session.on("close", () => {
      stopPings();
      this.#sessions.delete(session);
    });
    widenSession(session);
    if (this.#keepAliveMs === 0) return;
    const after = (delayMs: number, call: () => void): (() => void) => this.#clock.after(delayMs, call);
    stopPings = keepAlive({ session, peer, after }, this.#keepAliveMs, (reason) => {
      record.failure ??= reason;
      record.cut();
    });
  }

  #acceptLocal(fd: number): void {
    const peer = "local";
    const after = (delayMs: number, call: () => void): (() => void) => this.#clock.after(delayMs, call);
    const onReleased = (): void => void this.#connections.delete(connection);
    const end = new LocalEnd({ fd, peer, after, onReleased }, { keepAliveMs: this.#keepAliveMs });
    const connection: StreamConnection = new StreamConnection(
      { end, pool: this.#pool, peer, after },
      { closeTimeoutMs: this.#closeTimeoutMs },
    );
    if (this.#connections.size >= limits.connectionsMax) {
      connection.fail(new CfsError("AGAIN", `this server has ${limits.connectionsMax} connections already`));
      return;
    }
    this.#connections.add(connection);
    this.#onConnection(connection);
  }

  #dispatch(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = String(headers[":path"]);
    const route = this.#routes.get(path);
    if (headers["content-type"]?.startsWith("application/grpc") !== true) {
      stream.on("error", () => {}); // The peer is told below; that it went away meanwhile changes nothing.
      stream.respond({ ":status": 415 }, { endStream: true });
    } else if (this.#closing.signal.aborted) {
      refuse(stream, new CfsError("UNREACHABLE", "this server is closing"));
    } else if (path === hotStreamPath) {
      this.#connect(stream);
    } else if (route === undefined) {
      refuse(stream, new CfsError("NOT_IMPLEMENTED", `there is no method ${path}`));
    } else {
      const call = route.serve(stream, headers, this.#closing.signal).finally(() => this.#calls.delete(call));
      this.#calls.add(call);
    }
  }

  #connect(stream: ServerHttp2Stream): void {
    const session = stream.session as ServerHttp2Session | undefined;
    const record = session === undefined ? undefined : this.#sessions.get(session);
    if (record === undefined) return; // The session died before its first stream was seen.
    const { peer } = record;
    const end = new ServerEnd(stream, record, () => this.#connections.delete(connection));
    const after = (delayMs: number, call: () => void): (() => void) => this.#clock.after(delayMs, call);
    const connection: StreamConnection = new StreamConnection(
      { end, pool: this.#pool, peer, after },
      { closeTimeoutMs: this.#closeTimeoutMs },
    );
    this.#connections.add(connection);
    stream.respond({ ":status": 200, "content-type": grpcContentType }, { waitForTrailers: true });
    this.#onConnection(connection);
  }
}

function remoteOf({ remoteAddress, remotePort }: Socket): string | null {
  return remoteAddress === undefined ? null : addressText({ host: remoteAddress, port: remotePort ?? 0 });
}

interface SessionRecord {
  readonly peer: string;
  failure: CfsError | null;
  /** Ends it now, whatever waits; `session.destroy()` alone would wait for a silent peer. */
  cut(): void;
}

/** Answers with a status and nothing else. */
export function refuse(stream: ServerHttp2Stream, error: CfsError): void {
  stream.on("error", () => {}); // The peer is told below; that it went away meanwhile changes nothing.
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ":status": 200, "content-type": grpcContentType, ...trailersOf(error) }, { endStream: true });
  stream.resume();
}

/** The server's end: says in trailers how the call ended. */
class ServerEnd extends Http2End<ServerHttp2Stream> {
  readonly #session: SessionRecord;
  readonly #onReleased: () => void;
  #error: CfsError | null = null;
  #hasSentTrailers = false;
  #hasPeerEnded = false;

  constructor(stream: ServerHttp2Stream, session: SessionRecord, onReleased: () => void) {
    super(stream);
    this.#session = session;
    this.#onReleased = onReleased;
    stream.on("end", () => (this.#hasPeerEnded = true));
    stream.on("wantTrailers", () => {
      if (stream.destroyed) return;
      this.#hasSentTrailers = true;
      stream.sendTrailers(trailersOf(this.#error));
    });
  }

  finish(error: CfsError | null): void {
    this.#error = error;
    this.stream.end();
  }

  /** The session goes with it: a peer that does not end its stream is not waited for with its other calls either. */
  cut(): void {
    this.#session.cut();
  }

  reason(): CfsError | null {
    if (this.#session.failure !== null) return this.#session.failure;
    const isClean = this.#hasPeerEnded && this.#hasSentTrailers && this.stream.rstCode === constants.NGHTTP2_NO_ERROR;
    return isClean ? null : new CfsError("UNREACHABLE", `the connection from ${this.#session.peer} was lost`);
  }

  released(): void {
    this.#onReleased();
  }
}
