/**
 * Calls unary and server-streaming methods of one server over one HTTP/2 session.
 *
 * Every call has a deadline, told to the server and kept here: a server that does not answer costs the caller `timeoutMs`, no more. An
 * abort cancels the call at the server and throws the signal's reason; it never closes the session.
 * Invariant: after `close` resolves no socket or timer of this client is left.
 */
import { CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { constants } from "node:http2";
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { errorOfTrailers } from "./grpc-status.ts";
import { formatGrpcTimeout } from "./grpc-timeout.ts";
import { grpcContentType, openSession, withDeadline } from "./http2-session.ts";
import type { OpenSession } from "./http2-session.ts";
import { fromNodeError } from "./node-error.ts";
import type { ServerStreamMethod, UnaryMethod } from "./service.ts";
import type { Address, ConnectOptions } from "./transport.ts";
import { MessageReader, prefixed } from "./unary-message.ts";

export interface CallOptions {
  /** Until the reply, or the end of a stream, is here. 1 or more; for a stream Infinity means no deadline. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface UnaryClientParts {
  readonly clock: Clock;
}

export class UnaryClient {
  readonly #clock: Clock;
  readonly #open: OpenSession;
  #closed: Promise<void> | null = null;

  static async open(parts: UnaryClientParts, address: Address, options: ConnectOptions & { keepAliveMs?: number }): Promise<UnaryClient> {
    const open = await openSession(parts, address, { ...options, keepAliveMs: options.keepAliveMs ?? 5000 });
    return new UnaryClient(parts, open);
  }

  private constructor(parts: UnaryClientParts, open: OpenSession) {
    this.#clock = parts.clock;
    this.#open = open;
  }

  async call<Request, Reply>(method: UnaryMethod<Request, Reply>, request: Request, options: CallOptions): Promise<Reply> {
    const doing = this.#doing(method);
    const body = method.request.encode(request);
    return await withDeadline(this.#clock, options, doing, async (onCancel) => {
      const call = new ClientCall(this.#open, method, body, options.timeoutMs);
      onCancel(() => call.cancel());
      const replies: Uint8Array[] = [];
      for await (const message of call.messages(doing)) replies.push(message);
      const [reply] = replies;
      if (reply === undefined || replies.length > 1) {
        throw new CfsError("CORRUPT", `${doing}: ${replies.length} replies came where one belongs`);
      }
      return method.reply.decode(reply);
    });
  }

  /** Stops the call at the server when the loop over it is left early. */
  async *stream<Request, Reply>(
    method: ServerStreamMethod<Request, Reply>,
    request: Request,
    options: CallOptions,
  ): AsyncGenerator<Reply, void, void> {
    const doing = this.#doing(method);
    const { signal, timeoutMs } = options;
    signal?.throwIfAborted();
    const call = new ClientCall(this.#open, method, method.request.encode(request), timeoutMs);
    const onAbort = (): void => call.cancel(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const late = (): void => call.cancel(new CfsError("TIMED_OUT", `${doing}: not finished within ${timeoutMs} ms`));
    const cancelTimer = timeoutMs === Number.POSITIVE_INFINITY ? (): void => {} : this.#clock.after(timeoutMs, late);
    try {
      for await (const message of call.messages(doing)) yield method.reply.decode(message);
    } finally {
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
      call.cancel();
    }
  }

  /** Cancels what runs. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      const { session } = this.#open;
      if (session.destroyed) {
        resolve();
        return;
      }
      session.once("close", resolve);
      this.#open.cut();
    });
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #doing(method: { readonly path: string }): string {
    return `${method.path.slice(method.path.lastIndexOf("/") + 1)} at ${this.#open.peer}`;
  }
}

/** One call on its own stream. */
class ClientCall {
  readonly #open: OpenSession;
  readonly #stream: ClientHttp2Stream;
  /** Response headers, then trailers: where the status is found. */
  #status: IncomingHttpHeaders | null = null;
  #httpStatus: number | null = null;
  /** Aborted by `cancel` with a reason; reading then throws it. */
  readonly #cancelled: AbortController = new AbortController();

  constructor(open: OpenSession, method: { readonly path: string }, body: Uint8Array, timeoutMs: number) {
    this.#open = open;
    if (open.session.destroyed || open.session.closed) {
      throw open.failure() ?? new CfsError("UNREACHABLE", `the session with ${open.peer} is closed`);
    }
    const deadline = timeoutMs === Number.POSITIVE_INFINITY ? {} : { "grpc-timeout": formatGrpcTimeout(timeoutMs) };
    this.#stream = open.session.request(
      { ":method": "POST", ":path": method.path, "content-type": grpcContentType, te: "trailers", ...deadline },
      { endStream: false },
    );
    this.#stream.on("error", () => {}); // Reading throws it, or "close" follows without a status.
    this.#stream.on("response", (headers) => {
      this.#httpStatus = headers[":status"] ?? null;
      if (headers["grpc-status"] !== undefined) this.#status = headers;
    });
    this.#stream.on("trailers", (trailers) => (this.#status = trailers));
    this.#stream.end(prefixed(body));
  }

  /** Ends the call at the server; with a reason, reading throws it. */
  cancel(reason?: unknown): void {
    if (reason !== undefined) this.#cancelled.abort(reason);
    if (!this.#stream.destroyed && !this.#stream.closed) this.#stream.close(constants.NGHTTP2_CANCEL);
  }

  /** The replies; throws unless the status is OK. */
  async *messages(doing: string): AsyncGenerator<Uint8Array, void, void> {
    const reader = new MessageReader();
    const closed = new Promise<void>((resolve) => {
      if (this.#stream.destroyed) resolve();
      else this.#stream.once("close", resolve);
    });
    try {
      for await (const piece of this.#stream.iterator({ destroyOnReturn: false })) yield* reader.push(piece as Buffer);
    } catch (error) {
      // A reset stream ends its iterator with an error; the status says more, unless what we read was malformed.
      if (error instanceof CfsError) {
        this.cancel();
        throw error;
      }
      await closed;
      this.#cancelled.signal.throwIfAborted();
      throw this.#failure(doing) ?? fromNodeError(error, doing);
    }
    await closed;
    this.#cancelled.signal.throwIfAborted();
    const failure = this.#failure(doing);
    if (failure !== null) throw failure;
    reader.end();
  }

  #failure(doing: string): CfsError | null {
    if (this.#status !== null) return errorOfTrailers(this.#status, doing);
    const lost = this.#open.failure();
    if (lost !== null) return lost;
    if (this.#httpStatus !== null && this.#httpStatus !== 200) {
      return new CfsError("UNREACHABLE", `${doing}: not a cfs server, it answered with HTTP status ${this.#httpStatus}`);
    }
    return new CfsError("UNREACHABLE", `${doing}: the connection was lost before the answer came; is that the port of a cfs server?`);
  }
}

/** One call on a session of its own; connecting counts towards the deadline. */
export async function callUnary<Request, Reply>(
  parts: UnaryClientParts,
  address: Address,
  method: UnaryMethod<Request, Reply>,
  request: Request,
  options: CallOptions,
): Promise<Reply> {
  const startMs = parts.clock.monotonicMs();
  await using client = await UnaryClient.open(parts, address, options);
  const timeoutMs = Math.max(1, options.timeoutMs - (parts.clock.monotonicMs() - startMs));
  return await client.call(method, request, { ...options, timeoutMs });
}

/** As `callUnary`, for many replies; `connectTimeoutMs` is for connecting alone, since the stream may have no deadline. */
export async function* callServerStream<Request, Reply>(
  parts: UnaryClientParts,
  address: Address,
  method: ServerStreamMethod<Request, Reply>,
  request: Request,
  options: CallOptions & { readonly connectTimeoutMs: number },
): AsyncGenerator<Reply, void, void> {
  await using client = await UnaryClient.open(parts, address, { ...options, timeoutMs: options.connectTimeoutMs });
  yield* client.stream(method, request, options);
}
