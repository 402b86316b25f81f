/**
 * One mounted file system: requests from the kernel become calls of a Vfs, its results become replies.
 *
 * States: starting (before INIT) → serving → ended. A session that takes over from a dead process starts in serving.
 * Invariant: every request but FORGET, BATCH_FORGET, INTERRUPT and NOTIFY_REPLY is answered exactly once; results that are there
 * at once go out in the flush of their batch, promised ones in one flush at the end of the turn in which they settle.
 * Source: Documentation/filesystems/fuse of the kernel, and its fs/fuse/dev.c for INTERRUPT.
 */
import { CfsError, type Clock, type Logger } from "@cfs/core";
import type { Awaitable, Caller, Invalidation, Vfs } from "@cfs/vfs";
import type { Context, Operation, ReplyWith, Undo, Wait } from "./context.ts";
import type { Device } from "./device.ts";
import { PagePool } from "./direntries.ts";
import { errno, errnoOf } from "./errno.ts";
import { decodeInit, encodeInit, negotiate, type Negotiated } from "./init.ts";
import { Interrupts } from "./interrupts.ts";
import { encodeResend, Invalidator } from "./invalidate.ts";
import { attributeOperations } from "./operations/attributes.ts";
import { directoryOperations } from "./operations/directories.ts";
import { fileOperations } from "./operations/files.ts";
import { namespaceOperations } from "./operations/namespace.ts";
import { completeOptions, type SessionOptions } from "./options.ts";
import { inHeaderBytes, type InitFlagName, initOutBytes, opcode } from "./protocol.ts";
import { Replies } from "./replies.ts";
import { Request } from "./request.ts";

export interface SessionParts {
  readonly vfs: Vfs;
  readonly device: Device;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SessionStatistics {
  readonly requests: number;
  readonly replies: number;
  readonly batches: number;
  readonly pending: number;
  readonly interrupted: number;
  readonly malformed: number;
  readonly refused: number;
  /** Requests by the name of their operation, those that came. */
  readonly byOperation: Readonly<Record<string, number>>;
}

/** A request whose answer is promised. */
interface Pending {
  readonly low: number;
  readonly upper: number;
  readonly name: string;
  readonly wait: Wait | null;
  readonly threadId: number;
  readonly isGivenUpByTheDying: boolean;
  isAnswered: boolean;
}

const operations: readonly (Operation | undefined)[] = Array.from({ length: 64 }, (_, code) => {
  return namespaceOperations[code] ?? attributeOperations[code] ?? fileOperations[code] ?? directoryOperations[code];
});

const unanswered: ReadonlySet<number> = new Set([opcode.forget, opcode.batchForget, opcode.interrupt, opcode.notifyReply]);

/** Unique numbers count up from 1, so they stay exact; bit 63 only marks a request that was sent again. */
function keyOf(low: number, upper: number): number {
  return (upper & 0x7fff_ffff) * 0x1_0000_0000 + low;
}

export class FuseSession {
  /** What was negotiated; rejects when the session ends before. */
  readonly ready: Promise<Negotiated>;
  /** Resolves with the errno that ended the session: ENODEV (19) after an unmount, 0 after close(). Never rejects. */
  readonly ended: Promise<number>;
  readonly #vfs: Vfs;
  readonly #device: Device;
  readonly #logger: Logger;
  readonly #options: Required<SessionOptions>;
  readonly #replies: Replies;
  readonly #request: Request;
  readonly #lengths: Uint32Array;
  readonly #invalidator: Invalidator;
  readonly #pending = new Map<number, Pending>();
  readonly #interrupts: Interrupts<Pending>;
  readonly #counts = new Float64Array(operations.length);
  #context: Context;
  readonly #readyResolvers = Promise.withResolvers<Negotiated>();
  readonly #endedResolvers = Promise.withResolvers<number>();
  #caller: Caller = { uid: 0, gid: 0, pid: 0, groups: null };
  #state: "starting" | "serving" | "ended" = "starting";
  #negotiated: Negotiated | null = null;
  #isInBatch = false;
  #isFlushScheduled = false;
  #isPaused = false;
  #requests = 0;
  #batches = 0;
  #interrupted = 0;
  #malformed = 0;

  constructor(parts: SessionParts, options: SessionOptions = {}) {
    this.#vfs = parts.vfs;
    this.#device = parts.device;
    this.#logger = parts.logger;
    this.#options = completeOptions(options, parts.device.layout);
    const presented = this.#options.presented;
    this.#replies = new Replies(
      { device: parts.device, vfs: parts.vfs, onRefused: (low, upper, number) => this.#onRefused(low, upper, number) },
      presented,
    );
    this.#request = new Request(parts.device.memory);
    const { lengthsOffset, slotCount } = parts.device.layout;
    this.#lengths = new Uint32Array(parts.device.memory, lengthsOffset, slotCount);
    this.#invalidator = new Invalidator(parts.device);
    const { isDying } = this.#options;
    this.#interrupts = new Interrupts({ clock: parts.clock, isDying }, (pending) => this.#giveUp(pending));
    this.ready = this.#readyResolvers.promise;
    this.ended = this.#endedResolvers.promise;
    // Whoever cares awaits `ready`; for others an early end is told by `ended`.
    this.ready.catch(() => undefined);
    this.#context = this.#makeContext([]);
  }

  #makeContext(flags: readonly InitFlagName[]): Context {
    const { presented, readOnly, defaultPermissions, maxReadBytes } = this.#options;
    return {
      vfs: this.#vfs,
      replies: this.#replies,
      pages: new PagePool(),
      presented,
      isReadOnly: readOnly,
      hasDefaultPermissions: defaultPermissions,
      hasWritebackCache: flags.includes("writebackCache"),
      hasExtendedSetxattr: flags.includes("setxattrExtended"),
      maxReadBytes,
      writeBack: (ino, offsetBytes) => this.#invalidator.invalidate({ kind: "pages", ino, offsetBytes }),
      caller: (request) => this.#callerOf(request),
      storedUid: (uid) => presented?.uid ?? uid,
      storedGid: (gid) => presented?.gid ?? gid,
      answer: (request, result, reply, undo, wait) => this.#answer(request, result, reply, undo, wait ?? null),
    };
  }
  get negotiated(): Negotiated | null {
    return this.#negotiated;
  }

  /**
   * Begins to serve. `resumed`: what a former process negotiated on this descriptor; INIT does not come again, and the kernel is
   * asked to send again what that process left unanswered.
   */
  start(resumed: Negotiated | null = null): void {
    // Never rejects: see Invalidator.
    this.#vfs.onInvalidate = (what, done) => {
      this.#forget(what, done).then(undefined, (reason: unknown) => this.#logDefect("INVALIDATE", reason));
    };
    if (resumed !== null) this.#serve(resumed);
    this.#device.start({ onBatch: (count) => this.#onBatch(count), onEnd: (number) => this.#onEnd(number) });
    if (resumed !== null) this.#device.notify(encodeResend()).then(undefined, (reason: unknown) => this.#logDefect("RESEND", reason));
  }

  async #forget(what: Invalidation, done: (() => void) | undefined): Promise<void> {
    await this.#invalidator.invalidate(what);
    done?.();
  }

  /** Resolves once the kernel has forgotten. A request's answer must not wait for it: see invalidate.ts. */
  invalidate(what: Invalidation): Promise<void> {
    return this.#invalidator.invalidate(what);
  }

  statistics(): SessionStatistics {
    const byOperation: Record<string, number> = {};
    for (const [code, operation] of operations.entries()) {
      const count = this.#counts[code] as number;
      if (operation !== undefined && count > 0) byOperation[operation.name] = count;
    }
    return {
      requests: this.#requests,
      replies: this.#replies.opened,
      batches: this.#batches,
      pending: this.#pending.size,
      interrupted: this.#interrupted,
      malformed: this.#malformed,
      refused: this.#replies.refused,
      byOperation,
    };
  }

  /**
   * Ends the session and closes the device. Idempotent. What is pending is answered EIO, unless `leavePending`: then another
   * process takes the descriptor over and has it sent again.
   */
  close(leavePending = false): void {
    if (this.#state === "ended") return;
    if (!leavePending) {
      for (const pending of this.#pending.values()) this.#answerError(pending, errno.EIO);
      this.#flush();
    }
    this.#end(0);
  }

  #end(number: number): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    for (const pending of this.#pending.values()) {
      pending.isAnswered = true;
      pending.wait?.interrupt();
    }
    this.#pending.clear();
    this.#vfs.onInvalidate = null;
    this.#interrupts.close();
    this.#invalidator.close();
    this.#device.close();
    this.#readyResolvers.reject(new CfsError("IO", `the FUSE session ended before it was ready (errno ${number})`));
    this.#endedResolvers.resolve(number);
  }

  #onEnd(number: number): void {
    if (number !== errno.ENODEV) this.#logger.warn("FUSE device failed", { errno: number });
    this.#flush();
    this.#end(number);
  }

  #onBatch(count: number): void {
    const { requestsOffset, slotBytes } = this.#device.layout;
    this.#isInBatch = true;
    this.#batches++;
    this.#requests += count;
    for (let slot = 0; slot < count; slot++) {
      this.#dispatch(requestsOffset + slot * slotBytes, this.#lengths[slot] as number);
    }
    this.#isInBatch = false;
    this.#flush();
  }

  #dispatch(offset: number, length: number): void {
    const request = this.#request;
    if (!request.moveTo(offset, length)) {
      this.#refuseMalformed(length);
      return;
    }
    const code = request.opcode;
    const operation = operations[code];
    const opened = this.#replies.opened;
    if (this.#options.trace) this.#trace(operation?.name ?? `opcode ${code}`);
    try {
      if (operation !== undefined && this.#state === "serving") {
        this.#counts[code] = (this.#counts[code] as number) + 1;
        if (request.bodyBytes < operation.bodyBytesMin) throw tooShort(operation, request.bodyBytes);
        if (operation.mutates && this.#options.readOnly) throw new CfsError("READ_ONLY", `${operation.name} on a read-only mount`);
        operation.run(this.#context, request);
      } else {
        this.#dispatchOther(code);
      }
    } catch (reason) {
      if (this.#replies.opened !== opened) this.#replies.retract();
      this.#fail(request.uniqueLow, request.uniqueHigh, code, operation?.name ?? `opcode ${code}`, reason);
    }
  }

  #dispatchOther(code: number): void {
    const request = this.#request;
    if (code === opcode.init) this.#init();
    else if (code === opcode.interrupt) this.#interrupt();
    else if (code === opcode.destroy) this.#replies.empty(request.uniqueLow, request.uniqueHigh);
    else if (code !== opcode.notifyReply) throw new CfsError("NOT_IMPLEMENTED", `FUSE opcode ${code}`);
  }

  #refuseMalformed(length: number): void {
    this.#malformed++;
    this.#logger.warn("malformed FUSE request", { lengthBytes: length });
    const request = this.#request;
    if (length < inHeaderBytes || unanswered.has(request.opcode)) return;
    this.#replies.error(request.uniqueLow, request.uniqueHigh, errno.EINVAL);
  }

  #init(): void {
    const request = this.#request;
    if (this.#state !== "starting") throw new CfsError("INVALID", "a second FUSE INIT");
    const negotiated = negotiate(decodeInit(request), this.#options);
    encodeInit(this.#replies.words, this.#replies.open(request.uniqueLow, request.uniqueHigh, initOutBytes), negotiated);
    // The kernel acts on the reply while it is written; only then is the mount ready.
    this.#replies.flush();
    this.#serve(negotiated);
  }

  #serve(negotiated: Negotiated): void {
    this.#negotiated = negotiated;
    this.#context = this.#makeContext(negotiated.flags);
    this.#state = "serving";
    this.#readyResolvers.resolve(negotiated);
  }

  /** fuse_interrupt_in: | unique 8 |. Unknown numbers were answered already: requests are read before their interrupts. */
  #interrupt(): void {
    const request = this.#request;
    if (request.bodyBytes < 8) throw new CfsError("CORRUPT", `FUSE INTERRUPT of ${request.bodyBytes} bytes`);
    const pending = this.#pending.get(keyOf(request.u32(0), request.u32(4)));
    if (pending === undefined) return;
    this.#interrupted++;
    if (pending.isGivenUpByTheDying) this.#interrupts.add(pending);
  }

  #giveUp(pending: Pending): void {
    pending.wait?.interrupt();
    this.#answerError(pending, errno.EINTR);
  }

  #callerOf(request: Request): Caller {
    const { uid, gid, pid } = request;
    const last = this.#caller;
    const storedUid = this.#context.storedUid(uid);
    const storedGid = this.#context.storedGid(gid);
    if (last.uid === storedUid && last.gid === storedGid && last.pid === pid) return last;
    this.#caller = { uid: storedUid, gid: storedGid, pid, groups: null };
    return this.#caller;
  }

  #answer<T>(request: Request, result: Awaitable<T>, reply: ReplyWith<T>, undo: Undo<T> | null, wait: Wait | null): void {
    const low = request.uniqueLow;
    const upper = request.uniqueHigh;
    if (!(result instanceof Promise)) {
      reply(this.#replies, low, upper, result);
      return;
    }
    const name = operations[request.opcode]?.name ?? "";
    const pending: Pending = { low, upper, name, wait, threadId: request.pid, isGivenUpByTheDying: undo !== null, isAnswered: false };
    this.#pending.set(keyOf(low, upper), pending);
    if (this.#pending.size >= this.#options.pendingMax && !this.#isPaused) {
      this.#isPaused = true;
      this.#device.pause();
    }
    result.then(
      (value) => this.#settled(pending, value, reply, undo),
      (reason: unknown) => this.#rejected(pending, reason),
    );
  }

  #settled<T>(pending: Pending, value: T, reply: ReplyWith<T>, undo: Undo<T> | null): void {
    if (pending.isAnswered) {
      undo?.(this.#vfs, value);
      return;
    }
    const opened = this.#replies.opened;
    this.#take(pending);
    try {
      reply(this.#replies, pending.low, pending.upper, value);
    } catch (reason) {
      if (this.#replies.opened !== opened) this.#replies.retract();
      this.#fail(pending.low, pending.upper, 0, pending.name, reason);
    }
    this.#scheduleFlush();
  }

  #rejected(pending: Pending, reason: unknown): void {
    if (pending.isAnswered) return;
    this.#take(pending);
    this.#fail(pending.low, pending.upper, 0, pending.name, reason);
    this.#scheduleFlush();
  }

  #answerError(pending: Pending, number: number): void {
    this.#take(pending);
    this.#replies.error(pending.low, pending.upper, number);
    this.#scheduleFlush();
  }

  #take(pending: Pending): void {
    pending.isAnswered = true;
    this.#pending.delete(keyOf(pending.low, pending.upper));
    if (this.#isPaused && this.#pending.size <= this.#options.pendingMax / 2) {
      this.#isPaused = false;
      this.#device.resume();
    }
  }

  /** A tick runs after all promises that settle together, so that their replies share one flush. */
  #scheduleFlush(): void {
    if (this.#isInBatch || this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    process.nextTick(() => {
      this.#isFlushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#state !== "ended") this.#replies.flush();
  }

  #fail(low: number, upper: number, code: number, name: string, reason: unknown): void {
    const number = errnoOf(reason);
    if (number === null) this.#logDefect(name, reason);
    if (unanswered.has(code)) {
      this.#malformed++;
      return;
    }
    this.#replies.error(low, upper, number ?? errno.EIO);
  }

  #onRefused(low: number, upper: number, number: number): void {
    this.#logger.error("the kernel refused a FUSE reply", { errno: number, unique: String(keyOf(low, upper)) });
    this.#replies.error(low, upper, errno.EIO);
    this.#scheduleFlush();
  }

  #logDefect(operation: string, reason: unknown): void {
    const stack = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    this.#logger.error("FUSE operation failed without a CfsError", { operation, stack });
  }

  #trace(operation: string): void {
    const { uniqueLow, uniqueHigh, uid, pid, bodyBytes } = this.#request;
    this.#logger.debug("FUSE request", { operation, unique: String(keyOf(uniqueLow, uniqueHigh)), uid, pid, bodyBytes });
  }
}

function tooShort(operation: Operation, bodyBytes: number): CfsError {
  return new CfsError("INVALID", `FUSE ${operation.name} of ${bodyBytes} bytes; ${operation.bodyBytesMin} at least are needed`);
}
