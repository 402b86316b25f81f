/**
 * What both ends of an HTTP/2 session share: settings, windows, and opening one from the client's side within a deadline.
 *
 * Sessions are h2c: HTTP/2 with prior knowledge on plain TCP. `openSocket` is the one place where a client's socket is made, `RpcServer`
 * the one where a server's are accepted: a secured socket replaces them there.
 * Source: RFC 9113; measurements.md ("The network") for the sizes.
 */
import { assert, CfsError } from "@cfs/core";
import { connect as connectHttp2, constants } from "node:http2";
import type { ClientHttp2Session, Http2Session, Settings } from "node:http2";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import type { Clock } from "@cfs/core";
import { keepAlive } from "./keep-alive.ts";
import { limits } from "./limits.ts";
import { fromNodeError } from "./node-error.ts";
import { addressText } from "./transport.ts";
import type { Address, ConnectOptions } from "./transport.ts";

export const hotStreamPath = "/cfs.v1.Session/Stream";
export const grpcContentType = "application/grpc+proto";

export const sessionSettings: Readonly<Settings> = {
  initialWindowSize: limits.streamWindowBytes,
  maxFrameSize: limits.http2FrameBytes,
  maxConcurrentStreams: limits.streamsPerSessionMax,
  enablePush: false,
};

/** Node refuses new streams when a session's buffers pass this; our own limits are reached first. */
export const sessionMemoryMebi = 256;

export function widenSession(session: Http2Session): void {
  session.setLocalWindowSize(limits.sessionWindowBytes);
}

/** A client's session and why it ended. */
export interface OpenSession {
  readonly session: ClientHttp2Session;
  readonly peer: string;
  /** What ended the session, when it was an error. */
  failure(): CfsError | null;
  /** Ends it now, whatever waits; `session.destroy()` alone would wait for a silent peer. */
  cut(): void;
}

export interface SessionParts {
  readonly clock: Clock;
}

export interface SessionOptions extends ConnectOptions {
  /** Milliseconds between pings, 0 for none: a dead peer is noticed within twice this. */
  readonly keepAliveMs: number;
}

/**
 * Runs `work` until it settles, the deadline passes or the signal aborts; then `cancel` is called and the work's own result is ignored.
 * A passed deadline is TIMED_OUT, an abort throws the signal's reason.
 */
export async function withDeadline<T>(
  clock: Clock,
  options: ConnectOptions,
  doing: string,
  work: (cancel: (run: () => void) => void) => Promise<T>,
): Promise<T> {
  const { signal, timeoutMs } = options;
  assert(timeoutMs >= 1, "a deadline lies in the future");
  signal?.throwIfAborted();
  const stop = Promise.withResolvers<never>();
  let cancel: () => void = () => {};
  const abort = (reason: unknown): void => {
    stop.reject(reason);
    cancel();
  };
  const cancelTimer = clock.after(timeoutMs, () =>
    abort(new CfsError("TIMED_OUT", `${doing}: no answer within ${Math.round(timeoutMs)} ms`)),
  );
  const onAbort = (): void => abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work((run) => (cancel = run)), stop.promise]);
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Connects and starts HTTP/2; the server's settings may still be under way. */
export async function openSession(parts: SessionParts, address: Address, options: SessionOptions): Promise<OpenSession> {
  const peer = addressText(address);
  const doing = `cannot connect to ${peer}`;
  const socket = await withDeadline(parts.clock, options, doing, (onCancel) => openSocket(address, doing, onCancel));
  let failure: CfsError | null = null;
  const session = connectHttp2(`http://${peer}`, {
    createConnection: () => socket,
    settings: sessionSettings,
    maxSessionMemory: sessionMemoryMebi,
  });
  const cut = (): void => {
    session.destroy();
    socket.destroy();
  };
  session.on("error", (error) => (failure ??= fromNodeError(error, `the session with ${peer} failed`)));
  session.on("goaway", (code) => {
    if (code !== constants.NGHTTP2_NO_ERROR) failure ??= new CfsError("UNREACHABLE", `${peer} ended the session with HTTP/2 error ${code}`);
  });
  widenSession(session);
  if (options.keepAliveMs > 0) {
    const stop = keepAlive({ session, peer, after: (delayMs, call) => parts.clock.after(delayMs, call) }, options.keepAliveMs, (reason) => {
      failure ??= reason;
      cut();
    });
    session.once("close", stop);
  }
  return { session, peer, failure: () => failure, cut };
}

function openSocket(address: Address, doing: string, onCancel: (run: () => void) => void): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connectSocket({ host: address.host, port: address.port, noDelay: true });
  const fail = (error: unknown): void => reject(fromNodeError(error, doing));
  socket.once("error", fail);
  socket.once("connect", () => {
    socket.off("error", fail);
    resolve(socket);
  });
  onCancel(() => {
    socket.on("error", () => {}); // The caller already has the deadline's error.
    socket.destroy();
  });
  return promise;
}
