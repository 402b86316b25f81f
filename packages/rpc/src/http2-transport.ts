/**
 * The transport of a real cluster: each connection is one call of the gRPC method cfs.v1.Session/Stream on its own HTTP/2 session.
 *
 * Why a session of its own: HTTP/2 streams of one session share a TCP connection, its window and its losses; admin calls must not wait
 * behind bulk (architecture, section 11). A stock gRPC client can call the same method (grpc-interop.test.ts).
 * A server on the same machine is reached by its local stream instead, with the same messages and no HTTP/2 (local-end.ts).
 */
import { CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { localConnect } from "@cfs/native";
import { constants } from "node:http2";
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { errorOfTrailers } from "./grpc-status.ts";
import { Http2End } from "./http2-end.ts";
import { grpcContentType, hotStreamPath, openSession, withDeadline } from "./http2-session.ts";
import type { OpenSession } from "./http2-session.ts";
import { LocalEnd } from "./local-end.ts";
import { localConnectName } from "./local-socket.ts";
import { RpcServer } from "./rpc-server.ts";
import { StreamConnection } from "./stream-connection.ts";
import { addressText, plainPayloadPool } from "./transport.ts";
import type { Address, Connection, ConnectOptions, Listener, PayloadPool, Transport } from "./transport.ts";

export interface Http2TransportParts {
  readonly clock: Clock;
  /** Where received payloads go; plain memory when it is missing. */
  readonly pool?: PayloadPool;
}

export interface Http2TransportOptions {
  /** Milliseconds between keep-alive pings, 0 for none. A dead peer is noticed within twice this. Default 5000. */
  readonly keepAliveMs?: number;
  /** How long `close` waits for the peer before it cuts. Default 2000, range 1 to 60,000. */
  readonly closeTimeoutMs?: number;
  /** Reach servers of this machine by their local stream. Default true. */
  readonly isLocalPreferred?: boolean;
}

export const defaultKeepAliveMs = 5000;
export const defaultCloseTimeoutMs = 2000;

export class Http2Transport implements Transport {
  readonly #clock: Clock;
  readonly #pool: PayloadPool;
  readonly #keepAliveMs: number;
  readonly #closeTimeoutMs: number;
  readonly #isLocalPreferred: boolean;

  constructor(parts: Http2TransportParts, options: Http2TransportOptions = {}) {
    this.#clock = parts.clock;
    this.#pool = parts.pool ?? plainPayloadPool;
    this.#keepAliveMs = options.keepAliveMs ?? defaultKeepAliveMs;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? defaultCloseTimeoutMs;
    this.#isLocalPreferred = options.isLocalPreferred ?? true;
  }

  async connect(address: Address, options: ConnectOptions): Promise<Connection> {
    const local = await this.#connectLocally(address, options);
    if (local !== null) return local;
    const startMs = this.#clock.monotonicMs();
    const open = await openSession({ clock: this.#clock }, address, { ...options, keepAliveMs: this.#keepAliveMs });
    const timeoutMs = Math.max(1, options.timeoutMs - (this.#clock.monotonicMs() - startMs));
    try {
      return await withDeadline(this.#clock, { ...options, timeoutMs }, `cannot connect to ${open.peer}`, () => this.#openStream(open));
    } catch (error) {
      open.cut();
      throw error;
    }
  }

  listen(address: Address, onConnection: (connection: Connection) => void): Promise<Listener> {
    return RpcServer.listen({ clock: this.#clock, pool: this.#pool }, address, {
      onConnection,
      routes: [],
      keepAliveMs: this.#keepAliveMs,
      closeTimeoutMs: this.#closeTimeoutMs,
    });
  }

  /** By the local stream, where a server of this machine has one. */
  async #connectLocally(address: Address, options: ConnectOptions): Promise<Connection | null> {
    options.signal?.throwIfAborted();
    const name = this.#isLocalPreferred ? localConnectName(address) : null;
    const fd = name === null ? -1 : localConnect(name);
    if (fd < 0) return null;
    const peer = addressText(address);
    const after = (delayMs: number, call: () => void): (() => void) => this.#clock.after(delayMs, call);
    const end = new LocalEnd({ fd, peer, after }, { keepAliveMs: this.#keepAliveMs });
    const connection = new StreamConnection({ end, pool: this.#pool, peer, after }, { closeTimeoutMs: this.#closeTimeoutMs });
    try {
      await withDeadline(this.#clock, options, `cannot connect to ${peer}`, () => end.opened);
    } catch (error) {
      end.cut();
      throw error;
    }
    return connection;
  }

  #openStream(open: OpenSession): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const stream = open.session.request(
      { ":method": "POST", ":path": hotStreamPath, "content-type": grpcContentType, te: "trailers" },
      { endStream: false },
    );
    const end = new ClientEnd(stream, open);
    const connection = new StreamConnection(
      { end, pool: this.#pool, peer: open.peer, after: (delayMs, call) => this.#clock.after(delayMs, call) },
      { closeTimeoutMs: this.#closeTimeoutMs },
    );
    stream.once("response", (headers) => {
      const refusal = refusalOf(headers, open.peer);
      if (refusal === null) resolve(connection);
      else reject(refusal);
    });
    stream.once("close", () => {
      const cause = end.reason();
      reject(cause ?? new CfsError("UNREACHABLE", `${open.peer} closed the connection before it answered`));
    });
    return promise;
  }
}

/** Why the response is not that of a cfs server, or null. */
function refusalOf(headers: IncomingHttpHeaders & { ":status"?: number | undefined }, peer: string): CfsError | null {
  if (headers["grpc-status"] !== undefined && headers["grpc-status"] !== "0") {
    return errorOfTrailers(headers, `${peer} refused the connection`);
  }
  if (headers[":status"] !== 200 || headers["content-type"]?.startsWith("application/grpc") !== true) {
    return new CfsError("UNREACHABLE", `${peer} is not a cfs server: it answered with HTTP status ${headers[":status"]}`);
  }
  return null;
}

/** The client's end: half-closes, and reads how the call ended from trailers. */
class ClientEnd extends Http2End<ClientHttp2Stream> {
  readonly #open: OpenSession;
  #trailers: IncomingHttpHeaders | null = null;
  #hasFinished = false;

  constructor(stream: ClientHttp2Stream, open: OpenSession) {
    super(stream);
    this.#open = open;
    stream.on("trailers", (trailers) => (this.#trailers = trailers));
  }

  finish(error: CfsError | null): void {
    this.#hasFinished = true;
    if (error === null) this.stream.end();
    else this.stream.close(constants.NGHTTP2_CANCEL);
  }

  cut(): void {
    this.#open.cut();
  }

  reason(): CfsError | null {
    const { peer } = this.#open;
    if (this.#trailers !== null) return errorOfTrailers(this.#trailers, `${peer} closed the connection`);
    const failure = this.#open.failure();
    if (failure !== null) return failure;
    if (this.#hasFinished && this.stream.rstCode === constants.NGHTTP2_NO_ERROR) return null;
    return new CfsError("UNREACHABLE", `the connection to ${peer} was lost`);
  }

  released(): void {
    if (!this.#open.session.destroyed) this.#open.session.close();
  }
}
