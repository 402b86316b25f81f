/**
 * The one place where errors of node:net, node:dns and node:http2 become CfsErrors that name the address and the likely cause.
 *
 * Source: errno(3), getaddrinfo(3), Node's documentation of system and HTTP/2 errors.
 */
import { CfsError } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";

const byNodeCode: ReadonlyMap<string, readonly [ErrorCode, string]> = new Map([
  ["ECONNREFUSED", ["UNREACHABLE", "connection refused: nothing listens there"]],
  ["ECONNRESET", ["UNREACHABLE", "the peer reset the connection"]],
  ["ECONNABORTED", ["UNREACHABLE", "the connection was aborted"]],
  ["EPIPE", ["UNREACHABLE", "the peer closed the connection"]],
  ["EHOSTUNREACH", ["UNREACHABLE", "no route to the host"]],
  ["ENETUNREACH", ["UNREACHABLE", "no route to the network"]],
  ["ENETDOWN", ["UNREACHABLE", "the network is down"]],
  ["ETIMEDOUT", ["TIMED_OUT", "no answer from the host"]],
  ["ENOTFOUND", ["UNREACHABLE", "the host name is not known"]],
  ["EAI_AGAIN", ["UNREACHABLE", "the name server did not answer"]],
  ["EADDRINUSE", ["ADDRESS_IN_USE", "another process listens there"]],
  ["EADDRNOTAVAIL", ["INVALID", "this machine does not have that address"]],
  ["EACCES", ["ACCESS_DENIED", "ports below 1024 need a privilege"]],
  ["EPERM", ["ACCESS_DENIED", "the firewall or a policy forbids it"]],
  ["EMFILE", ["AGAIN", "too many open files in this process"]],
  ["ENFILE", ["AGAIN", "too many open files on this machine"]],
  ["ERR_HTTP2_ERROR", ["UNREACHABLE", "the peer does not speak HTTP/2 as a cfs server does"]],
  ["ERR_HTTP2_SESSION_ERROR", ["UNREACHABLE", "the peer ended the HTTP/2 session with an error"]],
  ["ERR_HTTP2_STREAM_ERROR", ["UNREACHABLE", "the peer reset the stream"]],
  ["ERR_HTTP2_STREAM_CANCEL", ["UNREACHABLE", "the stream was cancelled with its session"]],
  ["ERR_HTTP2_GOAWAY_SESSION", ["UNREACHABLE", "the peer is closing"]],
  ["ERR_HTTP2_INVALID_SESSION", ["UNREACHABLE", "the connection is closed"]],
]);

/** The first code along causes and members of aggregate errors. */
function nodeCodeOf(reason: unknown): string | null {
  for (let at: unknown = reason; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string" && byNodeCode.has(at.code)) return at.code;
    if (at instanceof AggregateError) {
      for (const member of at.errors) {
        const code = nodeCodeOf(member);
        if (code !== null) return code;
      }
    }
  }
  return null;
}

/** `doing` reads on: "cannot connect to 10.0.0.1:9400". CfsErrors pass as they are. */
export function fromNodeError(reason: unknown, doing: string): CfsError {
  if (reason instanceof CfsError) return reason;
  const code = nodeCodeOf(reason);
  const known = code === null ? undefined : byNodeCode.get(code);
  if (known === undefined) {
    return new CfsError("IO", `${doing}: ${reason instanceof Error ? reason.message : String(reason)}`, { cause: reason });
  }
  return new CfsError(known[0], `${doing}: ${known[1]} (${code})`, { cause: reason });
}
