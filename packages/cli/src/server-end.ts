/**
 * Waits until a server that was told to stop is gone, so that the next command may start it again: its process where that can be seen (drives and
 * port are free then), its port where it is on another machine.
 */
import { CfsError } from "@cfs/core";
import { pidSpace, type ShutdownReply } from "@cfs/rpc";
import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type Address, formatAddress } from "./parse.ts";

const pollMs = 50;
const connectTimeoutMs = 1_000;

/** A zombie is gone: it holds neither port nor drives. */
export function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return /^ [ZX]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch {
    // No such process any more.
    return true;
  }
}

function isClosed({ host, port }: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: connectTimeoutMs });
    const end = (isGone: boolean): void => {
      socket.destroy();
      resolve(isGone);
    };
    socket.once("connect", () => end(false));
    socket.once("error", () => end(true));
    socket.once("timeout", () => end(true));
  });
}

/** `reply` is what the server said before it began to stop. */
export async function untilServerEnded(server: Address, reply: ShutdownReply, timeoutMs: number, signal: AbortSignal): Promise<void> {
  const isVisible = reply.pid > 0 && reply.pidSpace !== "" && reply.pidSpace === pidSpace();
  const until = performance.now() + timeoutMs;
  while (!(isVisible ? hasEnded(reply.pid) : await isClosed(server))) {
    if (performance.now() > until) {
      throw new CfsError("TIMED_OUT", `${formatAddress(server)} was told to stop and still runs after ${Math.round(timeoutMs / 1000)} s`, {
        details: { next: isVisible ? `its process is ${reply.pid}; its log says what it waits for` : "its log says what it waits for" },
      });
    }
    await delay(pollMs, undefined, { signal });
  }
}
