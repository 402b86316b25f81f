/**
 * Drives the SWIM core on a clock and a packet network, and hands its events on.
 *
 * Everything happens in one turn: a tick or a packet goes into the core, its packets go out, its events go to the listeners. So there is no state between
 * turns but the core's, and the only waits are those of `join` and `leave` for an event. Implements Membership (membership.ts).
 *
 * Every listener hears every event in the order of the core, also when one of them throws (what it threw leaves the turn at its end) or calls the agent (what
 * that brings about comes after the events of now). A closed agent tells nothing more.
 */
import { CfsError, type Clock, type Logger, type Random } from "@cfs/core";
import type { Membership, MembershipStatus } from "./membership.ts";
import type { PacketNetwork } from "./packet-network.ts";
import type { SwimEvent } from "./swim/events.ts";
import type { Member, Metadata } from "./swim/member.ts";
import { defaultOptions } from "./swim/options.ts";
import type { ContentHash } from "./swim/named-values.ts";
import type { Aead, KeyRing } from "./swim/packet-cipher.ts";
import type { SwimRules } from "./swim/rules.ts";
import { Swim, type SwimIdentity } from "./swim/swim.ts";

export interface AgentParts {
  readonly clock: Clock;
  /** Cryptographic in a server: sessions are drawn from it, and with them the nonces of the seal. */
  readonly random: Random;
  readonly network: PacketNetwork;
  /** `nodeAead` in a server. */
  readonly aead: Aead;
  /** `nodeHash` in a server. */
  readonly hash: ContentHash;
  readonly logger: Logger;
  /** For tests that plant a wrong rule. */
  readonly rules?: SwimRules;
}

type Listener = (event: SwimEvent) => void;
type Wait = Parameters<Membership["join"]>[1];

export class SwimAgent implements Membership {
  readonly #parts: AgentParts;
  readonly #core: Swim;
  readonly #tickMs: number;
  readonly #listeners = new Set<Listener>();
  #state: "new" | "running" | "closed" = "new";
  /** Ends the waits of join and leave when the agent is closed. */
  readonly #waits = new Set<(reason: unknown) => void>();
  #cancelTick: (() => void) | null = null;
  #endPackets: (() => void) | null = null;
  #isDraining = false;

  constructor(parts: AgentParts, identity: SwimIdentity) {
    this.#parts = parts;
    this.#core = new Swim(parts, identity);
    this.#tickMs = identity.swim?.tickMs ?? defaultOptions.tickMs;
  }

  /** For the rotation of keys: install everywhere, use everywhere, then remove. */
  get keys(): KeyRing {
    return this.#core.keys;
  }

  start(): void {
    if (this.#state !== "new") throw new CfsError("INVALID", `a membership agent that is ${this.#state} cannot be started`);
    this.#state = "running";
    this.#endPackets = this.#parts.network.onPacket((packet, from) => this.#turn((clockMs) => this.#core.receive(packet, from, clockMs)));
    this.#tick();
  }

  #tick(): void {
    this.#cancelTick = this.#parts.clock.after(this.#tickMs, () => this.#tick());
    this.#turn((clockMs) => this.#core.tick(clockMs));
  }

  #turn(input: (clockMs: number) => void): void {
    if (this.#state !== "running") return;
    input(this.#parts.clock.monotonicMs());
    this.#drain();
  }

  #drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    const failures: unknown[] = [];
    try {
      while (this.#passOn(failures));
    } finally {
      this.#isDraining = false;
    }
    if (failures.length > 1) throw new AggregateError(failures, "listeners of a membership agent failed");
    if (failures.length === 1) throw failures[0];
  }

  /** Hands on what the core has now; false when there is nothing. */
  #passOn(failures: unknown[]): boolean {
    const { packets, events } = this.#core.effects();
    for (const { address, bytes } of packets) this.#parts.network.send(address, bytes);
    for (const event of events) {
      if (this.#state === "closed") return false;
      this.#log(event);
      for (const listener of [...this.#listeners]) {
        try {
          listener(event);
        } catch (reason) {
          failures.push(reason);
        }
      }
    }
    return packets.length + events.length > 0;
  }

  #log(event: SwimEvent): void {
    const { logger } = this.#parts;
    switch (event.type) {
      case "joined":
      case "left":
        return logger.info(`member ${event.type}`, { member: event.member.name, address: event.member.address });
      case "failed":
        return logger.warn("member failed", { member: event.member.name, address: event.member.address, from: event.from });
      case "nameConflict":
        return logger.error("another node has the name of this one", { address: event.address });
      case "stalled":
        return logger.warn("this process stood still", { lateMs: Math.round(event.lateMs) });
      default:
        return logger.debug("membership", { event: event.type });
    }
  }

  /** Asks the core, and resolves with the first event for which `isIt`; rejects on abort, timeout and close, and when the asking fails. */
  async #ask(ask: (core: Swim) => void, isIt: (event: SwimEvent) => boolean, wait: Wait, what: string): Promise<SwimEvent> {
    const { signal, timeoutMs } = wait;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<SwimEvent>();
    // When the asking fails as well, that is what the caller hears.
    promise.catch(() => null);
    const listener: Listener = (event) => {
      if (isIt(event)) resolve(event);
    };
    const onAbort = (): void => reject(signal?.reason);
    const onTimeout = (): void => reject(new CfsError("TIMED_OUT", `${what} took more than ${timeoutMs} ms`));
    const cancelTimer = this.#parts.clock.after(timeoutMs, onTimeout);
    this.#listeners.add(listener);
    this.#waits.add(reject);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      ask(this.#core);
      this.#drain();
      return await promise;
    } finally {
      cancelTimer();
      this.#waits.delete(reject);
      this.#listeners.delete(listener);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async join(seeds: readonly string[], wait: Wait): Promise<void> {
    this.#mustRun();
    const isAnswer = (event: SwimEvent): boolean => event.type === "joinedCluster" || (event.type === "nameConflict" && event.isFinal);
    const event = await this.#ask((core) => core.join(seeds), isAnswer, wait, `joining by ${seeds.join(", ")}`);
    if (event.type !== "nameConflict") return;
    this.close();
    throw new CfsError("EXISTS", `${this.#core.self.name} is the name of another living node at ${event.address}`);
  }

  async leave(): Promise<void> {
    if (this.#state !== "running") return this.close();
    // The core ends by its own timeout of running time; the clock's is for a process that hardly runs.
    const wait = { timeoutMs: 60_000 };
    await this.#ask(
      (core) => core.leave(),
      (event) => event.type === "leaveDone",
      wait,
      "leaving",
    );
    this.close();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelTick?.();
    this.#endPackets?.();
    for (const end of [...this.#waits]) end(new CfsError("INTERRUPTED", "the membership agent was closed"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  #mustRun(): void {
    const { phase } = this.#core;
    if (this.#state !== "running") throw new CfsError("INVALID", `the membership agent is ${this.#state}, not running`);
    if (phase === "leaving" || phase === "stopped") throw new CfsError("INVALID", `the membership agent is ${phase}: it cannot join`);
  }

  members(): readonly Member[] {
    return this.#core.members();
  }

  member(name: string): Member | null {
    return this.#core.member(name);
  }

  setMetadata(metadata: Metadata): void {
    this.#core.setMetadata(metadata);
    this.#drain();
  }

  broadcast(name: string, version: number, bytes: Uint8Array): boolean {
    const isNews = this.#core.broadcast(name, version, bytes);
    this.#drain();
    return isNews;
  }

  value(name: string): { readonly version: number; readonly bytes: Uint8Array } | null {
    return this.#core.value(name);
  }

  onEvent(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  status(): MembershipStatus {
    const { phase, self, awareness, queued, counters } = this.#core;
    return { phase, self, awareness, queued, counters: { ...counters } };
  }
}
