/**
 * Many SWIM cores on one simulated network in one thread: for figures, properties and planted bugs.
 *
 * Time jumps from event to event; a run is a function of its options. A packet may be lost, doubled or late; nodes may be killed, started again, paused
 * (packets wait for them, as in a socket's buffer), and have clocks that jump; links may be cut one way. The whole-cluster simulator of the testkit drives
 * the agent instead, among other parts; this one is small, so that a thousand nodes are no trouble.
 */
import { assert, type Random } from "@cfs/core";
import { nodeHash } from "../node-hash.ts";
import type { SwimEvent } from "../swim/events.ts";
import { noMetadata } from "../swim/member.ts";
import type { SwimOptions } from "../swim/options.ts";
import { defaultOptions } from "../swim/options.ts";
import type { GossipKey } from "../swim/packet-cipher.ts";
import { type SwimRules, standardRules } from "../swim/rules.ts";
import { Swim } from "../swim/swim.ts";
import { EventHeap } from "./event-heap.ts";
import { seededRandom } from "./seeded-random.ts";
import { sumAead } from "./sum-aead.ts";

export interface SimulationOptions {
  readonly seed: number;
  /** Of each packet, 0 to 1. */
  readonly loss?: number;
  readonly duplication?: number;
  /** Each way, drawn evenly. */
  readonly delayMinMs?: number;
  readonly delayMaxMs?: number;
  readonly swim?: Partial<SwimOptions>;
  readonly rules?: SwimRules;
}

export interface SimulatedNode {
  readonly name: string;
  readonly member: string;
  readonly address: string;
  swim: Swim;
  isUp: boolean;
  /** 0, or until when the process stands still. */
  pausedUntilMs: number;
  /** What its clock shows more than simulated time. */
  clockOffsetMs: number;
  /** Of packets with 28 bytes of IP and UDP each. */
  sentBytes: number;
  sentPackets: number;
  /** Counts starts: what belongs to an earlier life is void. */
  life: number;
  readonly waiting: { readonly bytes: Uint8Array; readonly from: string }[];
}

export interface LoggedEvent {
  readonly atMs: number;
  readonly node: string;
  readonly event: SwimEvent;
}

const udpBytes = 28;
const socketPacketsMax = 256;
export const simulationKey: GossipKey = { id: 1, bytes: new Uint8Array(32).fill(7) };
export const simulationCluster = "sim";

type Link = (from: string, to: string) => boolean;
type Listener = (logged: LoggedEvent) => void;

export class GossipSimulation {
  nowMs = 0;
  readonly nodes: Map<string, SimulatedNode> = new Map();
  readonly events: LoggedEvent[] = [];
  loss: number;
  duplication: number;
  /** Whether the link lets a packet through; names of nodes. */
  passes: Link = () => true;
  /** What this link adds to the delay. */
  extraDelayMs: (from: string, to: string) => number = () => 0;
  /** Sees each packet as it arrives. */
  onArrival: (to: SimulatedNode, bytes: Uint8Array, from: string) => void = () => {};
  onEvent: Listener = (logged) => void this.events.push(logged);
  readonly random: Random;
  readonly #options: SimulationOptions;
  readonly #heap = new EventHeap();
  readonly #byAddress = new Map<string, SimulatedNode>();
  readonly #tickMs: number;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
    this.loss = options.loss ?? 0;
    this.duplication = options.duplication ?? 0;
    this.#tickMs = options.swim?.tickMs ?? defaultOptions.tickMs;
  }

  node(name: string): SimulatedNode {
    const node = this.nodes.get(name);
    assert(node !== undefined, `the simulation has a node ${name}`);
    return node;
  }

  get liveNodes(): SimulatedNode[] {
    return [...this.nodes.values()].filter(({ isUp }) => isUp);
  }

  /** A new node that is switched on, alone until it joins. `member` is the name that it claims: its own, unless a story wants a conflict. */
  add(name: string, member: string = name): SimulatedNode {
    const address = `${name}.net:9400`;
    const node: SimulatedNode = {
      name,
      member,
      address,
      swim: this.#core(member, address),
      isUp: true,
      pausedUntilMs: 0,
      clockOffsetMs: this.random.next() * 1_000_000,
      sentBytes: 0,
      sentPackets: 0,
      life: 0,
      waiting: [],
    };
    this.nodes.set(name, node);
    this.#byAddress.set(address, node);
    this.#schedule(node, this.random.next() * this.#tickMs);
    return node;
  }

  #core(name: string, address: string): Swim {
    const random = seededRandom(Math.floor(this.random.next() * 0x7fff_ffff));
    const { rules = standardRules, swim = {} } = this.#options;
    return new Swim(
      { random, aead: sumAead, hash: nodeHash, rules },
      { name, address, clusterId: simulationCluster, keys: [simulationKey], metadata: noMetadata, swim },
    );
  }

  /** `count` nodes n0, n1, … that know each other. */
  cluster(count: number, settleMs: number): void {
    for (let index = 0; index < count; index++) this.add(`n${index}`);
    for (let index = 1; index < count; index++) this.join(`n${index}`, `n${Math.floor(this.random.next() * index)}`);
    const isWhole = (): boolean => this.liveNodes.every(({ swim }) => this.#sees(swim, count));
    const tookMs = this.runUntil(isWhole, settleMs);
    assert(tookMs !== null, `${count} nodes know each other after ${settleMs} ms`);
  }

  #sees(swim: Swim, count: number): boolean {
    return swim.phase !== "joining" && swim.members().filter(({ state }) => state === "alive").length === count;
  }

  join(name: string, ...seeds: readonly string[]): void {
    this.act(name, (swim) => swim.join(seeds.map((seed) => this.node(seed).address)));
  }

  leave(name: string): void {
    this.act(name, (swim) => swim.leave());
  }

  kill(name: string): void {
    const node = this.node(name);
    node.isUp = false;
    node.life++;
    node.waiting.length = 0;
  }

  /** A new process of the same name at the same address, which remembers nothing. */
  restart(name: string): void {
    const node = this.node(name);
    node.life++;
    node.isUp = true;
    node.pausedUntilMs = 0;
    node.waiting.length = 0;
    node.swim = this.#core(node.member, node.address);
    this.#schedule(node, this.random.next() * this.#tickMs);
  }

  pause(name: string, forMs: number): void {
    this.node(name).pausedUntilMs = this.nowMs + forMs;
  }

  jumpClock(name: string, byMs: number): void {
    this.node(name).clockOffsetMs += byMs;
  }

  /** Lets a node act at once, and sends what comes of it. */
  act(name: string, what: (swim: Swim) => void): void {
    const node = this.node(name);
    what(node.swim);
    this.#drain(node);
  }

  /** Delivers a packet that was seen before, or made up, at once. */
  inject(to: string, bytes: Uint8Array, from: string): void {
    this.#arrive(this.node(to), Uint8Array.from(bytes), from);
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    for (let at = this.#heap.nextMs; at !== null && at <= endMs; at = this.#heap.nextMs) this.#step();
    this.nowMs = endMs;
  }

  /** Runs until the condition holds (looked at ten times a second); how long it took, or null. */
  runUntil(isDone: () => boolean, withinMs: number): number | null {
    const beginMs = this.nowMs;
    while (!isDone()) {
      if (this.nowMs - beginMs >= withinMs) return null;
      this.run(100);
    }
    return this.nowMs - beginMs;
  }

  #step(): void {
    const { atMs, action } = this.#heap.pop();
    this.nowMs = atMs;
    action();
  }

  #schedule(node: SimulatedNode, afterMs: number): void {
    const { life } = node;
    this.#heap.push(this.nowMs + afterMs, () => {
      if (!node.isUp || node.life !== life) return;
      if (node.pausedUntilMs > this.nowMs) return this.#schedule(node, node.pausedUntilMs - this.nowMs);
      node.swim.tick(this.nowMs + node.clockOffsetMs);
      this.#drain(node);
      // The timer comes first after a pause, then what waits in the socket: the worse order.
      for (const { bytes, from } of node.waiting.splice(0)) this.#arrive(node, bytes, from);
      this.#schedule(node, this.#tickMs);
    });
  }

  #drain(node: SimulatedNode): void {
    const { packets, events } = node.swim.effects();
    for (const event of events) this.onEvent({ atMs: this.nowMs, node: node.name, event });
    for (const { address, bytes } of packets) {
      node.sentPackets++;
      node.sentBytes += bytes.length + udpBytes;
      this.#transmit(node, address, bytes);
      if (this.duplication > 0 && this.random.next() < this.duplication) this.#transmit(node, address, Uint8Array.from(bytes));
    }
  }

  #transmit(from: SimulatedNode, address: string, bytes: Uint8Array): void {
    const to = this.#byAddress.get(address);
    if (to === undefined || !this.passes(from.name, to.name) || this.random.next() < this.loss) return;
    const { delayMinMs = 0.2, delayMaxMs = 2 } = this.#options;
    const delayMs = delayMinMs + (delayMaxMs - delayMinMs) * this.random.next() + this.extraDelayMs(from.name, to.name);
    this.#heap.push(this.nowMs + delayMs, () => this.#arrive(to, bytes, from.address));
  }

  #arrive(node: SimulatedNode, bytes: Uint8Array, from: string): void {
    if (!node.isUp) return;
    if (node.pausedUntilMs > this.nowMs) {
      if (node.waiting.length < socketPacketsMax) node.waiting.push({ bytes, from });
      return;
    }
    this.onArrival(node, bytes, from);
    node.swim.receive(bytes, from, this.nowMs + node.clockOffsetMs);
    this.#drain(node);
  }
}
