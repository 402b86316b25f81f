/**
 * The names of the short way between two processes of one machine: a local stream (local-end.ts) beside each TCP port that loopback reaches. Bytes skip the
 * TCP/IP stack and HTTP/2, which saves most of the CPU of small messages and of bulk transfer (docs/benchmarks.md).
 *
 * The name is abstract (unix(7)): it belongs to the network namespace just as the loopback address does, leaves nothing in a directory, and goes with the
 * server. Whoever holds the port holds the name: a server that cannot have both does not start, so a client never meets another one there
 * than it would by TCP.
 */
import type { Address } from "./transport.ts";

const loopback = "127.0.0.1";
/** Hosts of which a server's port is reached by loopback, too. */
const everywhere: ReadonlySet<string> = new Set([loopback, "0.0.0.0", "::"]);
/** What a client calls loopback. */
const here: ReadonlySet<string> = new Set([loopback, "localhost"]);

function nameOf(port: number): string {
  return `cfs-stream:${loopback}:${port}`;
}

/** Where a server that listens on `address` is reached locally; null when it is not. */
export function localListenName({ host, port }: Address): string | null {
  return process.platform === "linux" && everywhere.has(host) ? nameOf(port) : null;
}

/** Where a server at `address` may be reached, when it is on this machine; null when it is elsewhere. */
export function localConnectName({ host, port }: Address): string | null {
  return process.platform === "linux" && here.has(host) ? nameOf(port) : null;
}
