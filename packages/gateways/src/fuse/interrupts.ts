/**
 * Callers that were interrupted while their request waits: those that die are let go, the others wait on.
 *
 * The kernel sends INTERRUPT once a request, for whatever signal comes first: a timer, a child that ended, Ctrl-Z, Ctrl-C. A local file system ends
 * a call for none of them but those that kill, and programs rely on it: nobody tries a stat(2) again after EINTR. So /proc says whether a signal
 * is pending that will kill the caller, and says it again while it waits, because a second signal is not told.
 * Source: request_wait_answer() in fs/fuse/dev.c; SigPnd and its like in proc_pid_status(5); default actions in signal(7).
 */
import { readFileSync } from "node:fs";
import type { Clock } from "@cfs/core";

/** A request whose caller got a signal. */
export interface InterruptedRequest {
  /** The thread that waits, 0 when it is not in our process namespace. */
  readonly threadId: number;
  readonly isAnswered: boolean;
}

/** Between two looks at those that wait on. */
const lookMs = 200;
/** CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH: all others end a process that neither handles nor ignores them. */
const harmless = [17, 18, 19, 20, 21, 22, 23, 28].reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);

/** Whether a thread is about to end. One that cannot be seen counts as such: a call that never ends is worse than one that must be tried again. */
export function isDying(threadId: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${threadId}/status`, "latin1");
  } catch {
    return true;
  }
  const set = (name: string): bigint => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  return ((set("SigPnd") | set("ShdPnd")) & ~(set("SigBlk") | set("SigIgn") | set("SigCgt") | harmless)) !== 0n;
}

export class Interrupts<T extends InterruptedRequest> {
  readonly #clock: Clock;
  readonly #isDying: (threadId: number) => boolean;
  readonly #letGo: (request: T) => void;
  readonly #waiting = new Set<T>();
  #cancel: (() => void) | null = null;

  constructor(parts: { readonly clock: Clock; readonly isDying: (threadId: number) => boolean }, letGo: (request: T) => void) {
    this.#clock = parts.clock;
    this.#isDying = parts.isDying;
    this.#letGo = letGo;
  }

  add(request: T): void {
    if (this.#isDying(request.threadId)) this.#letGo(request);
    else this.#wait(request);
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#waiting.clear();
  }

  #wait(request: T): void {
    this.#waiting.add(request);
    this.#cancel ??= this.#clock.after(lookMs, () => this.#look());
  }

  #look(): void {
    this.#cancel = null;
    const waiting = [...this.#waiting].filter(({ isAnswered }) => !isAnswered);
    this.#waiting.clear();
    for (const request of waiting) this.add(request);
  }
}
