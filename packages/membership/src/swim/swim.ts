/**
 * SWIM with Lifeguard as a pure state machine: ticks and packets go in, packets and events come out.
 *
 *   tick(clockMs) ─┐                                   ┌─▶ effects().packets   to be sent, in this order
 *   receive(bytes) ┼─▶ wire ─▶ claims, probe, push-pull ┤
 *   join, leave, … ┘                                   └─▶ effects().events    in the order in which they became true
 *
 * This file only connects the parts; each rule is in the file of its idea, and all decisions are in rules.ts.
 * Sources: Das, Gupta, Motivala: SWIM (DSN 2002); Dadgar, Phillips, Currey: Lifeguard (arXiv 1707.00788).
 */
import { assert, CfsError, type Random, unreachable } from "@cfs/core";
import { Awareness } from "./awareness.ts";
import { BroadcastQueue } from "./broadcast-queue.ts";
import { accusation, Claims } from "./claims.ts";
import { newCounters, type SwimCounters, type SwimEvent } from "./events.ts";
import { type Member, type Metadata, ownMetadata } from "./member.ts";
import { MemberTable, type Row } from "./member-table.ts";
import type { ClaimMessage, MemberRecord, Message } from "./messages.ts";
import { type ContentHash, type NamedValue, NamedValues } from "./named-values.ts";
import { checkedOptions, defaultOptions, limits, type SwimOptions } from "./options.ts";
import { type Aead, type GossipKey, KeyRing, PacketCipher } from "./packet-cipher.ts";
import { isWord, MessageEncoder, metadataProblem } from "./packet-format.ts";
import { Prober } from "./probe.ts";
import { PushPull } from "./push-pull.ts";
import { ReplayGuard } from "./replay-guard.ts";
import { type SwimRules, standardRules } from "./rules.ts";
import { type OutgoingPacket, SealedWire } from "./sealed-wire.ts";
import { Self } from "./self.ts";
import { SteadyTime } from "./steady-time.ts";

export interface SwimParts {
  /** Cryptographic in a server: sessions are drawn from it, and with them the nonces of the seal. */
  readonly random: Random;
  readonly aead: Aead;
  /** Of the contents of named values; the same in the whole cluster. */
  readonly hash: ContentHash;
  /** For tests that plant a wrong rule; `standardRules` when absent. */
  readonly rules?: SwimRules;
}

export interface SwimIdentity {
  /** The node id: unique in the cluster and kept over restarts. 1 to 64 printable ASCII characters without spaces. */
  readonly name: string;
  /** Where the others reach this node, `host:port`. */
  readonly address: string;
  /** Packets of another cluster are foreign even when it has the same key. */
  readonly clusterId: string;
  /** The first one seals; all are accepted. */
  readonly keys: readonly GossipKey[];
  readonly metadata: Metadata;
  /** To begin above what an earlier life used, when the host has kept it; 1 otherwise, the cluster remembers. */
  readonly incarnation?: number;
  readonly swim?: Partial<SwimOptions>;
}

export type SwimPhase = "alone" | "joining" | "joined" | "leaving" | "stopped";

export interface SwimEffects {
  readonly packets: readonly OutgoingPacket[];
  readonly events: readonly SwimEvent[];
}

/** A leaving node repeats itself for at least so long: nobody acknowledges a goodbye. */
const farewellMs = 1_000;
/** So long after its join a node learns what the others know already. */
const newcomerMs = 5_000;

export class Swim {
  readonly keys: KeyRing;
  readonly #options: SwimOptions;
  readonly #name: string;
  readonly #random: Random;
  readonly #rules: SwimRules;
  readonly #time: SteadyTime;
  readonly #guard: ReplayGuard;
  readonly #wire: SealedWire;
  readonly #awareness: Awareness;
  readonly #table: MemberTable;
  readonly #values: NamedValues;
  readonly #claims: Claims;
  readonly #self: Self;
  readonly #prober: Prober;
  readonly #pushPull: PushPull;
  readonly #encoder = new MessageEncoder();
  readonly #queue = new BroadcastQueue();
  readonly #counters = newCounters();
  #events: SwimEvent[] = [];
  #phase: SwimPhase = "alone";
  /** When the present phase began, in steady time. */
  #phaseMs = 0;
  #nextGossipMs = 0;
  /** Somebody told of itself while this node was still joining. */
  #isBridge = false;

  constructor(parts: SwimParts, identity: SwimIdentity) {
    const { name, address } = identity;
    checkIdentity(identity);
    this.#options = checkedOptions({ ...defaultOptions, ...identity.swim });
    this.#name = name;
    this.#random = parts.random;
    this.#rules = parts.rules ?? standardRules;
    const rules = this.#rules;
    const random = this.#random;
    this.#time = new SteadyTime(2 * this.#options.tickMs, rules);
    this.#guard = new ReplayGuard({ random, rules });
    this.keys = new KeyRing(identity.keys);
    const cipher = new PacketCipher({ aead: parts.aead, keys: this.keys }, identity.clusterId);
    const counters = this.#counters;
    const wireParts = { cipher, guard: this.#guard, encoder: this.#encoder, counters };
    this.#wire = new SealedWire(wireParts, { address, packetBytesMax: this.#options.packetBytesMax });
    this.#awareness = new Awareness(this.#options.awarenessMax);
    this.#table = new MemberTable(name, this.#options.tombstoneMs);
    const shared = { table: this.#table, random, rules, counters, awareness: this.#awareness };
    const emit = (event: SwimEvent): void => this.#emit(event);
    const spread = (message: ClaimMessage): void => this.#spread(message);
    const encode = (message: Message): Uint8Array => this.#encoder.encode(message);
    const sendFrames = (to: string, frames: readonly Uint8Array[]): void => this.#wire.send(to, frames, this.#time.nowMs);
    this.#values = new NamedValues({
      ...shared,
      hash: parts.hash,
      encode,
      emit,
      send: sendFrames,
      spread: (valueName, frame) => this.#queue.add(`value ${valueName}`, null, frame),
    });
    this.#prober = new Prober(
      {
        ...shared,
        send: (to, message) => this.#sendProbe(to, message),
        onSilence: (target, incarnation) => this.#claims.silence(target, incarnation, this.#time.nowMs),
      },
      name,
      this.#options,
    );
    this.#claims = new Claims(
      {
        ...shared,
        emit,
        spread,
        tell: (member, message) => this.#send(member.address, [message]),
        learnSession: (member) => this.#wire.learn(member.address, member.session),
        onActive: (member) => this.#prober.include(member),
        onAccused: (member) => this.#prober.hasten(member),
      },
      name,
      this.#options,
    );
    const { incarnation = 1 } = identity;
    const metadata = ownMetadata(identity.metadata);
    const member = { name, state: "alive", incarnation, session: this.#guard.session, address, metadata } as const;
    this.#self = new Self({ ...shared, emit, spread }, member);
    const pushPullParts = { ...shared, values: this.#values, encode, send: sendFrames, roomBytes: this.#wire.roomBytes };
    this.#pushPull = new PushPull(pushPullParts, { self: name, address }, this.#options);
  }

  get phase(): SwimPhase {
    return this.#phase;
  }

  get self(): Member {
    return this.#self.member;
  }

  get awareness(): number {
    return this.#awareness.score;
  }

  get counters(): Readonly<SwimCounters> {
    return this.#counters;
  }

  /** How many updates wait to be gossiped. */
  get queued(): number {
    return this.#queue.size;
  }

  /** Everybody, this node and tombstones included. */
  members(): readonly Member[] {
    return [this.#self.member, ...[...this.#table.rows()].flatMap(({ member }) => (member.name === this.#name ? [] : [member]))];
  }

  member(name: string): Member | null {
    return name === this.#name ? this.#self.member : (this.#table.row(name)?.member ?? null);
  }

  /** What must happen now; the caller owns it. */
  effects(): SwimEffects {
    const events = this.#events;
    this.#events = [];
    return { packets: this.#wire.take(), events };
  }

  /** Moves time on. `clockMs` is any monotonic clock's. */
  tick(clockMs: number): void {
    this.#advance(clockMs);
    if (this.#phase === "stopped") return;
    const nowMs = this.#time.nowMs;
    if (this.#phase === "leaving") return this.#tickLeave(nowMs);
    if (this.#guard.needsRenewal) {
      this.#guard.renew();
      this.#self.setSession(this.#guard.session);
    }
    if (this.#phase !== "joining") this.#prober.tick(nowMs);
    this.#claims.tick(nowMs);
    this.#pushPull.tick(nowMs, this.#phase !== "joining");
    this.#values.tick(nowMs);
    // A joining node keeps what it heard until it knows whom to tell.
    if (this.#phase === "joining") return this.#tickJoin(nowMs);
    if (nowMs >= this.#nextGossipMs) this.#gossip(nowMs);
  }

  #advance(clockMs: number): void {
    const lateMs = this.#time.advance(clockMs);
    if (lateMs < this.#options.probeIntervalMs) return;
    // 1. This process stood still while packets waited for it, and maybe some were lost.
    // 2. What it was about to conclude from silence is worth nothing: the silence was its own.
    // 3. So the running probe is dropped, each suspect gets its whole time again, and the next probes are patient.
    this.#counters.stalls++;
    this.#awareness.change(Math.min(3, Math.ceil(lateMs / 1_000)));
    this.#prober.forgive();
    this.#claims.restartSuspicions(this.#time.nowMs);
    this.#emit({ type: "stalled", lateMs });
  }

  /** Takes one packet; the bytes are the core's from here on. */
  receive(bytes: Uint8Array, from: string, clockMs: number): void {
    this.#advance(clockMs);
    if (this.#phase === "stopped") return;
    const packet = this.#wire.receive(bytes, from, this.#time.nowMs);
    for (const message of packet?.messages ?? []) this.#take(message, from, this.#time.nowMs);
  }

  #take(message: Message, from: string, nowMs: number): void {
    switch (message.type) {
      case "ping":
        return this.#onPing(message, from);
      case "ack":
        return this.#prober.onAck(message.seq);
      case "nack":
        return this.#prober.onNack(message.seq);
      case "pingRequest":
        return this.#prober.onPingRequest(message, from, nowMs);
      case "alive":
      case "record":
        return this.#onRecord(message.type, message.record, from, nowMs);
      case "suspect":
        if (message.name === this.#name) return this.#onAccused(message.incarnation, from);
        return this.#claims.suspect(message.name, message.incarnation, message.from, nowMs);
      case "dead":
        if (message.name === this.#name) return this.#onAccused(message.incarnation, from);
        return this.#claims.dead(message.name, message.incarnation, message.from, 0, nowMs);
      case "left":
        if (message.name === this.#name) return this.#onAccused(message.incarnation, from);
        return this.#claims.left(message.name, message.incarnation, 0, nowMs);
      case "digest":
        return this.#pushPull.onDigest(message, from, nowMs);
      case "sync":
        return this.#onSync(message, from, nowMs);
      case "announce":
        return this.#values.onAnnounce(message, from, nowMs);
      case "item":
        return this.#values.onItem(message);
      case "pull":
        return this.#values.onPull(message, from);
      case "part":
        return this.#values.onPart(message, from, nowMs);
      case "hello":
        return; // The wire has taken it.
      default:
        return unreachable(message, "gossip message");
    }
  }

  #onPing(ping: Extract<Message, { type: "ping" }>, from: string): void {
    if (ping.target !== this.#name) return;
    const row = this.#table.row(ping.source);
    const claim = row === null ? null : accusation(row, this.#name);
    const ack = { type: "ack", seq: ping.seq } as const;
    this.#send(from, claim === null ? [ack] : [ack, claim]);
  }

  #onRecord(type: "alive" | "record", record: MemberRecord, from: string, nowMs: number): void {
    if (record.name !== this.#name) {
      if (type === "record") return this.#claims.record(record, nowMs, !this.#isNewcomer(nowMs));
      this.#isBridge ||= this.#phase === "joining";
      return this.#claims.alive(record, nowMs, true);
    }
    if (this.#self.recorded(record, nowMs)) this.#tellTruth(from);
  }

  /** To a newcomer all is new, and nothing of it is news for the others; unless somebody joined by way of it. */
  #isNewcomer(nowMs: number): boolean {
    if (this.#isBridge) return false;
    return this.#phase === "joining" || (this.#phase === "joined" && nowMs - this.#phaseMs < newcomerMs);
  }

  #onAccused(incarnation: number, from: string): void {
    if (this.#self.accuse(incarnation)) this.#tellTruth(from);
  }

  #tellTruth(to: string): void {
    if (this.#phase === "joined" || this.#phase === "alone") this.#send(to, [{ type: "alive", record: this.#self.record }]);
  }

  #onSync(sync: Extract<Message, { type: "sync" }>, from: string, nowMs: number): void {
    const mustWait = this.#phase === "joining" && this.#self.rival !== null;
    if (this.#pushPull.isJoining && !mustWait) {
      this.#pushPull.endJoin();
      if (this.#phase === "joining") {
        this.#enter("joined");
        this.#self.announce();
        this.#tellTruth(from);
      }
      this.#emit({ type: "joinedCluster" });
    }
    this.#pushPull.onSync(sync, from, nowMs);
  }

  #enter(phase: SwimPhase): void {
    this.#phase = phase;
    this.#phaseMs = this.#time.nowMs;
  }

  /** Asks the seeds for the state of the cluster, again and again; `joinedCluster` tells when one has answered. */
  join(seeds: readonly string[]): void {
    assert(this.#phase === "alone" || this.#phase === "joined" || this.#phase === "joining", "a stopped node does not join");
    if (this.#phase === "alone") {
      this.#enter("joining");
      this.#self.hush();
    }
    this.#pushPull.join(seeds, this.#time.nowMs);
  }

  #tickJoin(nowMs: number): void {
    const { rival } = this.#self;
    if (rival === null || nowMs - this.#phaseMs < this.#options.conflictTimeoutMs) return;
    this.#enter("stopped");
    this.#emit({ type: "nameConflict", address: rival, isFinal: true });
  }

  /** Says goodbye; `leaveDone` tells when that is over. */
  leave(): void {
    if (this.#phase === "leaving" || this.#phase === "stopped") return;
    const isKnown = this.#phase !== "joining" && this.#table.active.length > 0;
    this.#enter("leaving");
    if (isKnown) this.#self.leave();
    else this.#stop();
  }

  #tickLeave(nowMs: number): void {
    const sinceMs = nowMs - this.#phaseMs;
    this.#gossip(nowMs);
    if (this.#queue.has(subjectOf(this.#name)) && sinceMs < this.#options.leaveTimeoutMs) return;
    if (sinceMs >= farewellMs) return this.#stop();
    this.#spread(this.#self.farewell());
  }

  #stop(): void {
    this.#enter("stopped");
    this.#emit({ type: "leaveDone" });
  }

  setMetadata(metadata: Metadata): void {
    checkMetadata(metadata);
    if (this.#phase !== "leaving" && this.#phase !== "stopped") this.#self.setMetadata(ownMetadata(metadata));
  }

  /** Gives everybody a named value; false when this version (of whatever content) or a newer one is known, or when there are too many names. */
  broadcast(name: string, version: number, bytes: Uint8Array): boolean {
    if (!isWord(name, limits.itemNameBytesMax))
      throw new CfsError("INVALID", "the name of a broadcast value is 1 to 64 printable characters");
    if (!Number.isSafeInteger(version) || version < 1) throw new CfsError("INVALID", `${version} is no version of a broadcast value`);
    if (bytes.length > limits.itemBytesMax)
      throw new CfsError("TOO_BIG", `a broadcast value of ${bytes.length} bytes, at most ${limits.itemBytesMax}`);
    return this.#values.publish(name, version, bytes);
  }

  value(name: string): NamedValue | null {
    return this.#values.get(name);
  }

  #emit(event: SwimEvent): void {
    if (event.type === "joined" && this.#phase === "alone") this.#enter("joined");
    this.#events.push(event);
  }

  #spread(message: ClaimMessage): void {
    const subject = subjectOf(message.type === "alive" ? message.record.name : message.name);
    this.#queue.add(subject, message.type === "suspect" ? message.from : null, this.#encoder.encode(message));
  }

  #takeQueued(roomBytes: number): readonly Uint8Array[] {
    if (this.#queue.size === 0 || this.#phase === "joining") return [];
    return this.#queue.take(roomBytes, this.#rules.retransmitLimit(this.#options.retransmitMult, this.#table.memberCount));
  }

  /** Sends messages, and with them what the queue has and the packet has room for. */
  #send(address: string, messages: readonly Message[]): void {
    const frames = messages.map((message) => this.#encoder.encode(message));
    let roomBytes = this.#wire.roomBytes;
    for (const frame of frames) roomBytes -= frame.length;
    this.#wire.send(address, [...frames, ...this.#takeQueued(roomBytes)], this.#time.nowMs);
  }

  #sendProbe(address: string, message: Message): void {
    const row = message.type === "ping" ? this.#table.row(message.target) : null;
    const claim = row === null ? null : accusation(row, this.#name);
    this.#send(address, claim === null ? [message] : [message, claim]);
  }

  #gossip(nowMs: number): void {
    this.#nextGossipMs = nowMs + this.#options.gossipIntervalMs;
    if (this.#queue.size === 0) return;
    const rows: readonly Row[] = this.#table.pick(this.#random, this.#options.gossipFanout, () => true);
    for (const row of rows) {
      const claim = accusation(row, this.#name);
      const frames = claim === null ? [] : [this.#encoder.encode(claim)];
      const first = frames[0]?.length ?? 0;
      const queued = this.#takeQueued(this.#wire.roomBytes - first);
      if (queued.length > 0) this.#wire.send(row.member.address, [...frames, ...queued], nowMs);
    }
  }
}

function subjectOf(name: string): string {
  return `member ${name}`;
}

function checkMetadata(metadata: Metadata): void {
  const problem = metadataProblem(metadata);
  if (problem !== null) throw new CfsError("INVALID", `the metadata of a member cannot be announced: ${problem}`);
}

function checkIdentity({ name, address, metadata, incarnation = 1 }: SwimIdentity): void {
  if (!isWord(name, limits.nameBytesMax)) throw new CfsError("INVALID", `${JSON.stringify(name)} is no name of a member`);
  if (!isWord(address, limits.addressBytesMax)) throw new CfsError("INVALID", `${JSON.stringify(address)} is no address of a member`);
  if (!(Number.isInteger(incarnation) && incarnation >= 1 && incarnation <= limits.incarnationAnsweredMax))
    throw new CfsError("INVALID", `${incarnation} is no incarnation to begin with`);
  checkMetadata(metadata);
}
