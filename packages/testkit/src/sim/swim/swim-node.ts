/**
 * One member on a simulated machine: the real agent, on a simulated clock and packet network, for as many lives as it is given.
 *
 * Nothing is kept between lives but the name and the address: the cluster remembers the incarnation.
 */
import { silentLogger } from "@cfs/core";
import { nodeAead, nodeHash, SwimAgent } from "@cfs/membership";
import type { GossipKey, Metadata, SwimEvent, SwimRules } from "@cfs/membership";
import { sumAead } from "@cfs/membership/testing";

import { SimClock } from "../engine/sim-clock.ts";
import type { SimNetwork } from "../engine/sim-network.ts";
import { SimProcess } from "../engine/sim-process.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import type { Machine } from "../nemesis.ts";
import { SafetyViolation } from "../violation.ts";
import type { SwimChecker } from "./swim-checker.ts";

export interface SwimNodeParts {
  readonly sim: Simulation;
  readonly network: SimNetwork<Uint8Array>;
  readonly checker: SwimChecker;
  readonly random: SimRandom;
}

export interface SwimNodeOptions {
  readonly tombstoneMs: number;
  readonly usesRealSeal: boolean;
  readonly rules: SwimRules | null;
  /** Addresses to join by, drawn anew for each life. */
  seeds(): readonly string[];
  /** In use now, and those that are accepted besides. */
  keys(): readonly GossipKey[];
}

/** How long a join may take until the agent gives up by itself: it shall not. */
const patienceMs = 1e9;
const capturesMax = 20;

export function addressOf(id: number): string {
  return `node-${id}:9400`;
}

export function idOf(address: string): number {
  return Number(/^node-(\d+):/.exec(address)?.[1] ?? "0");
}

export class SwimNode implements Machine {
  readonly id: number;
  readonly name: string;
  readonly process: SimProcess;
  agent: SwimAgent | null = null;
  clock: SimClock;
  bytesSent = 0;
  /** Packets that this life has received, for who listens and repeats. */
  readonly captured: Uint8Array[] = [];
  metadata: Metadata = { labels: {}, capacityBytes: 0, features: 0 };
  #isJoined = false;
  readonly #parts: SwimNodeParts;
  readonly #options: SwimNodeOptions;

  constructor(parts: SwimNodeParts, options: SwimNodeOptions, id: number) {
    this.id = id;
    this.name = `n${id}`;
    this.#parts = parts;
    this.#options = options;
    this.process = new SimProcess(id, parts.sim.queue, parts.random.fork("pauses"));
    this.clock = new SimClock(this.process, parts.sim.queue);
  }

  get isJoined(): boolean {
    return this.#isJoined;
  }

  start(): void {
    this.process.start();
    this.clock = new SimClock(this.process, this.#parts.sim.queue);
    this.#isJoined = false;
    this.captured.length = 0;
    this.#parts.checker.restarted(this.name);
    this.#startAgent();
  }

  crash(): void {
    this.process.crash();
    this.agent = null;
    this.#isJoined = false;
  }

  setClockRate(rate: number): void {
    this.clock.setRate(rate);
  }

  setDiskSlowness(): void {}

  setDiskFull(): void {}

  /** Says goodbye; the process ends when that is done. */
  leave(): void {
    this.#settle(this.agent?.leave());
  }

  /** Somebody sends a packet again that this life has taken: it must not be taken again. */
  replay(packet: Uint8Array): void {
    const { agent } = this;
    if (agent === null || !this.process.isUp) return;
    const before = refusedOf(agent);
    this.#receive?.(Uint8Array.from(packet), addressOf(this.id === 1 ? 2 : 1));
    this.#parts.checker.checkCount++;
    if (refusedOf(agent) === before)
      throw new SafetyViolation("no replay", `${this.name} took a packet of ${packet.length} bytes for the second time`);
  }

  #receive: ((packet: Uint8Array, from: string) => void) | null = null;

  #startAgent(): void {
    const { sim, network, random } = this.#parts;
    const { tombstoneMs, usesRealSeal, rules } = this.#options;
    const packets = {
      send: (address: string, packet: Uint8Array): void => {
        this.bytesSent += packet.length;
        network.send(this.id, idOf(address), packet);
      },
      onPacket: (receive: (packet: Uint8Array, from: string) => void): (() => void) => {
        this.#receive = receive;
        network.attach(this.process, (from, packet) => this.#hear(receive, from, packet));
        return () => network.detach(this.id);
      },
    };
    const parts = {
      clock: this.clock,
      // Of its own: nodes that start at the same moment would draw the same session, and take each other's packets for repetitions.
      random: random.fork(`life ${this.process.life} of ${this.name} at ${sim.nowUs}`),
      network: packets,
      aead: usesRealSeal ? nodeAead : sumAead,
      hash: nodeHash,
      logger: silentLogger,
    };
    const agent = new SwimAgent(rules === null ? parts : { ...parts, rules }, {
      name: this.name,
      address: addressOf(this.id),
      clusterId: "simulated",
      keys: this.#options.keys(),
      metadata: this.metadata,
      swim: { tombstoneMs },
    });
    this.agent = agent;
    this.#parts.checker.begins(this.name, agent.status().self.session);
    agent.onEvent((event) => this.#onEvent(agent, event));
    agent.start();
    const seeds = this.#options.seeds();
    // The founder is a cluster of one.
    if (seeds.length === 0) this.#isJoined = true;
    else this.#settle(agent.join(seeds, { timeoutMs: patienceMs }));
  }

  #hear(receive: (packet: Uint8Array, from: string) => void, from: number, packet: Uint8Array): void {
    const { agent } = this;
    const before = agent === null ? 0 : refusedOf(agent);
    // The bytes become the agent's, which may come twice: each time a copy.
    receive(Uint8Array.from(packet), addressOf(from));
    if (agent !== null && agent === this.agent && refusedOf(agent) === before && this.captured.length < capturesMax)
      this.captured.push(packet);
  }

  #onEvent(agent: SwimAgent, event: SwimEvent): void {
    if (agent !== this.agent) return;
    this.#tell(event);
    this.#parts.checker.event(this.name, this.clock.monotonicMs(), event);
    if (event.type === "joinedCluster") this.#isJoined = true;
    if (event.type === "leaveDone") this.crash();
    if (event.type === "nameConflict" && event.isFinal) {
      // As a service manager does: it ends, and is started again after a while.
      this.crash();
      const { life } = this.process;
      this.#parts.sim.queue.schedule(5e6, () => {
        if (this.process.state === "down" && this.process.life === life) this.start();
      });
    }
  }

  #tell(event: SwimEvent): void {
    const subject = "member" in event ? Number(event.member.name.slice(1)) : 0;
    const incarnation = "member" in event ? event.member.incarnation : 0;
    const from = "from" in event ? event.from : "";
    this.#parts.sim.note(this.id, event.type, subject, incarnation, from);
  }

  /** Waits end with the life; nobody needs to hear of that. */
  #settle(wait: Promise<void> | undefined): void {
    wait?.catch(() => null);
  }
}

/** Packets that were not taken. */
function refusedOf(agent: SwimAgent): number {
  const { packetsForeign, packetsReplayed, packetsUnaddressed, packetsMalformed } = agent.status().counters;
  return packetsForeign + packetsReplayed + packetsUnaddressed + packetsMalformed;
}
