/**
 * The failure detector: one member after the other is asked whether it is there.
 *
 *   0            timeout                                  interval          times are stretched by local health
 *   |── ping ──▶ |── ping again (and again), ask k others ▶ | no ack: suspect
 *                      relay: ping ──▶ target, ack ──▶ passed on; nack and a second ping when the target is silent for half a timeout
 *
 * Every member is probed once per round, in an order that is shuffled for each round (SWIM 4.3: the time to the first probe of a dead member is bounded).
 * A suspect by hearsay may be drawn forward, so that a few nodes confirm or clear it at once. Missing nacks mean that this node does not even hear those
 * that should be well: that counts against its own health (Lifeguard 3.A).
 */
import type { Random } from "@cfs/core";
import type { Awareness } from "./awareness.ts";
import type { SwimCounters } from "./events.ts";
import type { MemberTable, Row } from "./member-table.ts";
import type { Message } from "./messages.ts";
import { limits, type SwimOptions } from "./options.ts";
import type { SwimRules } from "./rules.ts";

export interface ProbeParts {
  readonly table: MemberTable;
  readonly random: Random;
  readonly awareness: Awareness;
  readonly rules: SwimRules;
  readonly counters: SwimCounters;
  readonly send: (address: string, message: Message) => void;
  /** The target of a probe did not answer in time, in the incarnation that it had when the probe began. */
  readonly onSilence: (name: string, incarnation: number) => void;
}

interface Probe {
  readonly seq: number;
  readonly name: string;
  readonly incarnation: number;
  readonly untilMs: number;
  /** The target is pinged again then; the first time others are asked too. */
  nextPingMs: number;
  isAnswered: boolean;
  isIndirect: boolean;
  nacksMissing: number;
  relayCount: number;
}

interface Relay {
  readonly origin: string;
  readonly target: string;
  readonly address: string;
  readonly originSeq: number;
  readonly nackAtMs: number;
  readonly untilMs: number;
  isNacked: boolean;
}

/** A relay says nack early enough that the origin hears it before its probe ends. */
const nackShare = 0.5;

export class Prober {
  readonly #parts: ProbeParts;
  readonly #self: string;
  readonly #options: SwimOptions;
  readonly #relays = new Map<number, Relay>();
  #order: string[] = [];
  #probe: Probe | null = null;
  #seq: number;

  constructor(parts: ProbeParts, self: string, options: SwimOptions) {
    this.#parts = parts;
    this.#self = self;
    this.#options = options;
    // A random start, so that an ack for an earlier life of this node fits no probe of this one.
    this.#seq = Math.floor(parts.random.next() * 0x7fff_ffff);
  }

  /** Ends what has run out and begins the next probe. */
  tick(nowMs: number): void {
    this.#tickRelays(nowMs);
    const probe = this.#probe;
    if (probe !== null) {
      if (!probe.isAnswered && nowMs >= probe.nextPingMs && nowMs < probe.untilMs) this.#insist(probe);
      if (nowMs < probe.untilMs) return;
      this.#probe = null;
      if (!probe.isAnswered) this.#fail(probe);
    }
    this.#begin(nowMs);
  }

  #begin(nowMs: number): void {
    const row = this.#next();
    if (row === null) return;
    const { awareness, counters } = this.#parts;
    const seq = this.#seq++;
    counters.probes++;
    this.#probe = {
      seq,
      name: row.member.name,
      incarnation: row.member.incarnation,
      untilMs: nowMs + awareness.stretch(this.#options.probeIntervalMs),
      nextPingMs: nowMs + awareness.stretch(this.#options.probeTimeoutMs),
      isAnswered: false,
      isIndirect: false,
      nacksMissing: 0,
      relayCount: 0,
    };
    this.#ping(row, seq);
  }

  #ping(row: Row, seq: number): void {
    this.#parts.send(row.member.address, { type: "ping", seq, source: this.#self, target: row.member.name });
  }

  /** The next active member of this round, or of a new one. */
  #next(): Row | null {
    const { table, random } = this.#parts;
    if (table.active.length === 0) return null;
    for (;;) {
      if (this.#order.length === 0) {
        this.#order = table.active.map(({ member }) => member.name);
        shuffle(this.#order, random);
      }
      const row = table.row(this.#order.pop() as string);
      if (row !== null && row.activeIndex >= 0) return row;
    }
  }

  /** A new member is probed in this round already, at a random place; one that comes back and has its turn before it keeps that. */
  include(name: string): void {
    if (this.#order.includes(name)) return;
    const at = Math.floor(this.#parts.random.next() * (this.#order.length + 1));
    const displaced = this.#order[at];
    this.#order[at] = name;
    if (displaced !== undefined) this.#order.push(displaced);
  }

  /** A member that others accuse is the next to be probed. */
  hasten(name: string): void {
    if (this.#probe?.name === name) return;
    this.#order = this.#order.filter((other) => other !== name);
    this.#order.push(name);
  }

  /** Pings once more, because one packet in five may be lost and yet nobody be dead; the first time others are asked as well. */
  #insist(probe: Probe): void {
    const { table, awareness } = this.#parts;
    probe.nextPingMs += awareness.stretch(this.#options.probeTimeoutMs);
    const target = table.row(probe.name);
    if (target === null) return;
    this.#ping(target, probe.seq);
    if (!probe.isIndirect) this.#askOthers(probe, target);
  }

  #askOthers(probe: Probe, target: Row): void {
    const { table, random, rules, send } = this.#parts;
    probe.isIndirect = true;
    const { name, address } = target.member;
    const relays = table.pick(random, rules.indirectProbes(this.#options.indirectProbes), ({ member }) => {
      return member.state === "alive" && member.name !== name;
    });
    probe.relayCount = relays.length;
    probe.nacksMissing = relays.length;
    for (const relay of relays) send(relay.member.address, { type: "pingRequest", seq: probe.seq, target: name, address });
  }

  #fail(probe: Probe): void {
    const { awareness, counters, onSilence } = this.#parts;
    counters.probesFailed++;
    // Without relays nobody can tell whose fault it was. With them, those that said nack heard us, and only the silent ones count.
    awareness.change(probe.relayCount === 0 ? 1 : probe.nacksMissing);
    onSilence(probe.name, probe.incarnation);
  }

  onAck(seq: number): void {
    const probe = this.#probe;
    if (probe?.seq === seq) {
      if (!probe.isAnswered) this.#parts.awareness.change(-1);
      probe.isAnswered = true;
      return;
    }
    const relay = this.#relays.get(seq);
    if (relay === undefined) {
      this.#parts.counters.acksLate++;
      return;
    }
    this.#relays.delete(seq);
    this.#parts.send(relay.origin, { type: "ack", seq: relay.originSeq });
  }

  onNack(seq: number): void {
    const probe = this.#probe;
    if (probe?.seq === seq && probe.nacksMissing > 0) probe.nacksMissing--;
  }

  onPingRequest(message: Extract<Message, { type: "pingRequest" }>, from: string, nowMs: number): void {
    if (this.#relays.size >= limits.relaysMax) {
      this.#parts.counters.refusedFull++;
      return;
    }
    const seq = this.#seq++;
    const { probeTimeoutMs, probeIntervalMs } = this.#options;
    this.#relays.set(seq, {
      origin: from,
      target: message.target,
      address: message.address,
      originSeq: message.seq,
      nackAtMs: nowMs + nackShare * probeTimeoutMs,
      untilMs: nowMs + probeIntervalMs,
      isNacked: false,
    });
    this.#pingFor(seq, message);
  }

  #pingFor(seq: number, { target, address }: { readonly target: string; readonly address: string }): void {
    this.#parts.send(address, { type: "ping", seq, source: this.#self, target });
  }

  #tickRelays(nowMs: number): void {
    for (const [seq, relay] of this.#relays) {
      if (!relay.isNacked && nowMs >= relay.nackAtMs) {
        relay.isNacked = true;
        this.#parts.send(relay.origin, { type: "nack", seq: relay.originSeq });
        this.#pingFor(seq, relay);
      }
      if (nowMs >= relay.untilMs) this.#relays.delete(seq);
    }
  }

  /** After a stall the running probe says nothing about its target. */
  forgive(): void {
    this.#probe = null;
  }
}

/** Fisher and Yates. */
function shuffle(names: string[], random: Random): void {
  for (let index = names.length - 1; index > 0; index--) {
    const other = Math.floor(random.next() * (index + 1));
    [names[index], names[other]] = [names[other] as string, names[index] as string];
  }
}
