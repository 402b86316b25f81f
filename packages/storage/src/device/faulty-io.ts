/**
 * A filter over any Io that makes requests fail by rules, which are data: { on: "write", path: "/data/journal-*", nth: 3, fail: "IO" }.
 *
 * The first rule that applies decides. An error code fails the request before anything happens. "torn" writes the first part, then
 * fails with IO. "corrupt" reads, then inverts one byte. "slow" does the request after `delayMs`.
 */
import { matchesGlob } from "node:path";

import { assert, CfsError } from "@cfs/core";
import type { Clock, ErrorCode } from "@cfs/core";

import type { BufferPool } from "./buffer-pool.ts";
import { blockBytes, lengthOf } from "./io.ts";
import type { Io, IoFile, IoKind, OpenOptions } from "./io.ts";

export type IoOperation =
  | "open"
  | "read"
  | "write"
  | "syncData"
  | "allocate"
  | "punch"
  | "truncate"
  | "close"
  | "unlink"
  | "rename"
  | "list"
  | "makeDirectory"
  | "syncDirectory"
  | "freeBytes";

export interface FaultRule {
  readonly on: IoOperation | "any";
  /** A glob over the path (for rename: the source); absent: every path. */
  readonly path?: string;
  /** Only the nth request that matches, counted from 1; absent: every one. */
  readonly nth?: number;
  /** "torn" is for writes and "corrupt" for reads; other operations pass them by. */
  readonly fail: ErrorCode | "torn" | "corrupt" | "slow";
  /** For "slow"; default 1000. */
  readonly delayMs?: number;
  /** For "torn": bytes that reach the file, in whole blocks on a direct file; default half of them. For "corrupt": the byte to invert; default the middle one. */
  readonly atByte?: number;
}

export interface FaultyIoParts {
  readonly io: Io;
  /** Needed by "slow". */
  readonly clock?: Clock;
}

export class FaultyIo implements Io {
  readonly #io: Io;
  readonly #clock: Clock | undefined;
  #rules: readonly FaultRule[];
  readonly #matchCounts: Map<FaultRule, number> = new Map();
  readonly #slowRequests: Set<{ readonly path: string; readonly begun: Promise<void> }> = new Set();
  #faultCount = 0;

  constructor(parts: FaultyIoParts, rules: readonly FaultRule[] = []) {
    this.#io = parts.io;
    this.#clock = parts.clock;
    this.#rules = rules;
  }

  /** Replaces the rules and starts their counts anew. */
  setRules(rules: readonly FaultRule[]): void {
    this.#rules = rules;
    this.#matchCounts.clear();
  }

  /** Requests that a rule changed, so that a test can tell that its fault happened. */
  get faultCount(): number {
    return this.#faultCount;
  }

  get kind(): IoKind {
    return this.#io.kind;
  }

  get description(): string {
    return `${this.#io.description}, with ${this.#rules.length} fault rules`;
  }

  get pool(): BufferPool {
    return this.#io.pool;
  }

  open(path: string, options: OpenOptions): Promise<IoFile> {
    return this.#run("open", path, () => this.#io.open(path, options));
  }

  read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number> {
    return this.#run("read", file.path, async (rule) => {
      const count = await this.#io.read(file, target, offsetBytes);
      if (rule?.fail === "corrupt" && count > 0) {
        const at = Math.min(rule.atByte ?? Math.floor(count / 2), count - 1);
        target[at] = (target[at] as number) ^ 0xff;
      }
      return count;
    });
  }

  write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    return this.#run("write", file.path, async (rule) => {
      if (rule?.fail !== "torn") return this.#io.write(file, views, offsetBytes);
      const lengthBytes = lengthOf(views);
      const wanted = Math.min(rule.atByte ?? Math.floor(lengthBytes / 2), lengthBytes);
      const kept = file.options.direct ? wanted - (wanted % blockBytes) : wanted;
      await this.#io.write(file, firstBytes(views, kept), offsetBytes);
      throw new CfsError("IO", `write ${file.path} at ${offsetBytes}, ${lengthBytes} bytes: torn after ${kept} by a fault rule`);
    });
  }

  syncData(file: IoFile): Promise<void> {
    return this.#run("syncData", file.path, () => this.#io.syncData(file));
  }

  allocate(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#run("allocate", file.path, () => this.#io.allocate(file, offsetBytes, lengthBytes));
  }

  punch(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#run("punch", file.path, () => this.#io.punch(file, offsetBytes, lengthBytes));
  }

  truncate(file: IoFile, sizeBytes: number): Promise<void> {
    return this.#run("truncate", file.path, () => this.#io.truncate(file, sizeBytes));
  }

  /** Waits for the slow requests on the file, which the Io below has not seen yet. */
  async close(file: IoFile): Promise<void> {
    await this.#drain(file.path);
    return this.#run("close", file.path, () => this.#io.close(file));
  }

  unlink(path: string): Promise<void> {
    return this.#run("unlink", path, () => this.#io.unlink(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run("rename", from, () => this.#io.rename(from, to));
  }

  list(path: string): Promise<string[]> {
    return this.#run("list", path, () => this.#io.list(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#run("makeDirectory", path, () => this.#io.makeDirectory(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#run("syncDirectory", path, () => this.#io.syncDirectory(path));
  }

  freeBytes(path: string): Promise<number> {
    return this.#run("freeBytes", path, () => this.#io.freeBytes(path));
  }

  /** Waits for slow requests first. */
  async shutDown(): Promise<void> {
    await this.#drain(null);
    return this.#io.shutDown();
  }

  /** Fails or delays as the rule says; `work` carries out the rules of read and write itself. Without a rule nothing is delayed. */
  #run<T>(operation: IoOperation, path: string, work: (rule: FaultRule | null) => Promise<T>): Promise<T> {
    const rule = this.#match(operation, path);
    if (rule === null) return work(null);
    this.#faultCount++;
    switch (rule.fail) {
      case "torn":
      case "corrupt":
        return work(rule);
      case "slow":
        return this.#slow(path, rule.delayMs ?? 1000, () => work(null));
      default:
        return Promise.reject(new CfsError(rule.fail, `${operation} ${path}: failed by a fault rule`));
    }
  }

  async #slow<T>(path: string, delayMs: number, work: () => Promise<T>): Promise<T> {
    const clock = this.#clock;
    assert(clock !== undefined, "a slow rule needs a clock");
    const pending = { path, begun: new Promise<void>((resolve) => void clock.after(delayMs, resolve)) };
    this.#slowRequests.add(pending);
    await pending.begun;
    this.#slowRequests.delete(pending);
    return work(); // Begins in the same microtask as `begun` resolves its first waiter: before #drain goes on.
  }

  async #drain(path: string | null): Promise<void> {
    const waits = [...this.#slowRequests].filter((pending) => path === null || pending.path === path);
    await Promise.all(waits.map((pending) => pending.begun));
  }

  #match(operation: IoOperation, path: string): FaultRule | null {
    for (const rule of this.#rules) {
      if (rule.on !== "any" && rule.on !== operation) continue;
      if ((rule.fail === "torn" && operation !== "write") || (rule.fail === "corrupt" && operation !== "read")) continue;
      if (rule.path !== undefined && !matchesGlob(path, rule.path)) continue;
      const count = (this.#matchCounts.get(rule) ?? 0) + 1;
      this.#matchCounts.set(rule, count);
      if (rule.nth === undefined || rule.nth === count) return rule;
    }
    return null;
  }
}

function firstBytes(views: readonly Uint8Array[], count: number): Uint8Array[] {
  const first: Uint8Array[] = [];
  for (const view of views) {
    if (count === 0) break;
    const part = view.subarray(0, count);
    first.push(part);
    count -= part.byteLength;
  }
  return first;
}
