/**
 * Serves the methods of a service over gRPC: decodes the request, runs the handler under its deadline, sends replies and the status.
 *
 * The caller hears of a passed deadline at once, even from a handler that ignores its signal; the handler's promise is still awaited, so
 * nothing of a call outlives the server. Invariant: every call ends with exactly one status, or its stream is gone.
 */
import { CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { parseGrpcTimeout } from "./grpc-timeout.ts";
import { trailersOf } from "./grpc-status.ts";
import { grpcContentType } from "./http2-session.ts";
import { refuse } from "./rpc-server.ts";
import type { Route } from "./rpc-server.ts";
import type { CallContext, Handlers, Method } from "./service.ts";
import { addressText } from "./transport.ts";
import { MessageReader, prefixed } from "./unary-message.ts";

type AnyMethod = Method<"unary" | "serverStream", unknown, unknown>;
type AnyHandler = (request: unknown, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

/** Routes for `RpcServer`, one for each method of `service`. */
export function serveUnary<Service extends object>(parts: { clock: Clock }, service: Service, handlers: Handlers<Service>): Route[] {
  const byName = handlers as Readonly<Record<string, AnyHandler>>;
  return Object.entries(service as Readonly<Record<string, AnyMethod>>).map(([name, method]) => ({
    path: method.path,
    serve: (stream, headers, signal) => new ServedCall(parts.clock, method, byName[name] as AnyHandler, stream).run(headers, signal),
  }));
}

class ServedCall {
  readonly #clock: Clock;
  readonly #method: AnyMethod;
  readonly #handler: AnyHandler;
  readonly #stream: ServerHttp2Stream;
  readonly #abort: AbortController = new AbortController();
  #isAnswered = false;

  constructor(clock: Clock, method: AnyMethod, handler: AnyHandler, stream: ServerHttp2Stream) {
    this.#clock = clock;
    this.#method = method;
    this.#handler = handler;
    this.#stream = stream;
  }

  async run(headers: IncomingHttpHeaders, serverSignal: AbortSignal): Promise<void> {
    const { signal } = this.#abort;
    const what = this.#method.path;
    let cancelTimer = (): void => {};
    const onServerClosing = (): void => this.#abort.abort(serverSignal.reason);
    const onGone = (): void => this.#abort.abort(new CfsError("INTERRUPTED", `the caller of ${what} is gone`));
    signal.addEventListener("abort", () => this.#finish(CfsError.from(signal.reason)), { once: true });
    this.#stream.on("error", () => {}); // "close" follows and aborts the call.
    this.#stream.once("close", onGone);
    serverSignal.addEventListener("abort", onServerClosing, { once: true });
    try {
      const timeoutMs = parseGrpcTimeout(headers["grpc-timeout"]);
      if (timeoutMs !== null) {
        const late = (): void => this.#abort.abort(new CfsError("TIMED_OUT", `${what} did not finish within ${timeoutMs} ms`));
        cancelTimer = this.#clock.after(timeoutMs, late);
      }
      await this.#answer(headers);
      this.#finish(null);
    } catch (error) {
      this.#finish(CfsError.from(error));
    } finally {
      cancelTimer();
      serverSignal.removeEventListener("abort", onServerClosing);
    }
  }

  async #answer(headers: IncomingHttpHeaders): Promise<void> {
    const encoding = headers["grpc-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      throw new CfsError("NOT_SUPPORTED", `requests with grpc-encoding ${String(encoding)} are not served; send identity`);
    }
    const request = this.#method.request.decode(await this.#readRequest());
    const { remoteAddress, remotePort } = this.#stream.session?.socket ?? {};
    const peer = addressText({ host: remoteAddress ?? "unknown", port: remotePort ?? 0 });
    const result = this.#handler(request, { signal: this.#abort.signal, peer });
    if (Symbol.asyncIterator in result) {
      for await (const reply of result) {
        if (this.#isAnswered) return;
        await this.#write(this.#method.reply.encode(reply));
      }
    } else {
      await this.#write(this.#method.reply.encode(await result));
    }
  }

  /** Exactly one message; the stream's limits bound what is held. */
  async #readRequest(): Promise<Uint8Array> {
    const reader = new MessageReader();
    const messages: Uint8Array[] = [];
    for await (const piece of this.#stream.iterator({ destroyOnReturn: false })) {
      messages.push(...reader.push(piece as Buffer));
      if (messages.length > 1) break;
    }
    reader.end();
    const [message] = messages;
    if (message === undefined || messages.length > 1) {
      throw new CfsError("INVALID", `${this.#method.path} takes one request message, not ${messages.length}`);
    }
    return message;
  }

  /** Waits while the caller reads slowly, and until the call is aborted at most. */
  async #write(message: Uint8Array): Promise<void> {
    if (this.#isAnswered || this.#stream.destroyed) return;
    this.#respond();
    if (this.#stream.write(prefixed(message))) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const go = (): void => resolve();
    this.#stream.once("drain", go);
    this.#abort.signal.addEventListener("abort", go, { once: true });
    if (this.#abort.signal.aborted) go();
    await promise;
    this.#stream.off("drain", go);
    this.#abort.signal.removeEventListener("abort", go);
  }

  #respond(): void {
    if (!this.#stream.headersSent) {
      this.#stream.respond({ ":status": 200, "content-type": grpcContentType }, { waitForTrailers: true });
    }
  }

  /** Sends the status; the first one counts. */
  #finish(error: CfsError | null): void {
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    if (this.#stream.destroyed || this.#stream.closed) return;
    if (!this.#stream.headersSent) {
      refuse(this.#stream, error ?? new CfsError("IO", `${this.#method.path} ended without a reply`));
      return;
    }
    this.#stream.once("wantTrailers", () => this.#stream.sendTrailers(trailersOf(error)));
    this.#stream.end();
    this.#stream.resume();
  }
}
