/**
 * Finds out that the other end of an HTTP/2 session is dead although its socket says nothing (power loss, a cut cable).
 *
 * Every `intervalMs` a PING is sent; if it is unanswered when the next is due, the session is ended. The check runs after the loop has
 * polled, so that a long pause of our own process is not blamed on a peer whose answer already waits in the socket.
 *
 * A session whose other end said that it goes (GOAWAY) takes no pings any more (node:http2 cancels them): it has one interval to end.
 */
import { CfsError } from "@cfs/core";
import type { Http2Session } from "node:http2";

export interface KeepAliveParts {
  readonly session: Http2Session;
  readonly peer: string;
  readonly after: (delayMs: number, callback: () => void) => () => void;
}

/** Runs until the session closes or `onDead` was called, which must end the session. Returns how to stop. */
export function keepAlive(parts: KeepAliveParts, intervalMs: number, onDead: (reason: CfsError) => void): () => void {
  const { session, peer, after } = parts;
  let isAnswered = true;
  let isGoing = false;
  let isStopped = false;
  let cancel: () => void = () => {};
  const check = (): void => {
    if (isStopped || session.destroyed) return;
    if (isGoing) {
      onDead(new CfsError("TIMED_OUT", `${peer} said that it goes and did not end within ${intervalMs} ms`));
      return;
    }
    isGoing = session.closed;
    if (!isGoing && !isAnswered) {
      onDead(new CfsError("TIMED_OUT", `${peer} did not answer a keep-alive ping within ${intervalMs} ms`));
      return;
    }
    if (!isGoing) {
      isAnswered = false;
      session.ping((error) => {
        if (error === null) isAnswered = true;
      });
    }
    cancel = after(intervalMs, () => setImmediate(check));
  };
  cancel = after(intervalMs, () => setImmediate(check));
  return () => {
    isStopped = true;
    cancel();
  };
}
