/**
 * A cluster of simulated members: who is there, who said goodbye, which keys are in use, which values were announced last.
 *
 * It knows the truth that every view has to come to: `discord` compares them.
 */
import { nodeHash } from "@cfs/membership";
import type { GossipKey, MemberState, SwimRules } from "@cfs/membership";

import { SimNetwork } from "../engine/sim-network.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import type { Machine, Patient } from "../nemesis.ts";
import type { SwimChecker } from "./swim-checker.ts";
import { addressOf, SwimNode } from "./swim-node.ts";
import type { SwimPlan } from "./swim-plan.ts";

/** How long the operator leaves between the steps of a rotation, for every node to have taken the one before. */
const rotationStepUs = 3_000_000;

export class SwimCluster implements Patient {
  readonly links: SimNetwork<Uint8Array>;
  readonly nodes: readonly SwimNode[];
  readonly #sim: Simulation;
  readonly #random: SimRandom;
  /** Of second writers. */
  readonly #rivals: SimRandom;
  readonly #checker: SwimChecker;
  readonly #gone: Set<SwimNode> = new Set();
  /** The highest version of each name. */
  readonly #versions: Map<string, number> = new Map();
  #keys: readonly GossipKey[] = [keyOf(1)];
  #keyCount = 1;
  #isRotating = false;
  #metadataCount = 0;

  constructor(sim: Simulation, plan: SwimPlan, checker: SwimChecker, rules: SwimRules | null) {
    this.#sim = sim;
    this.#random = sim.random.fork("cluster");
    this.#rivals = sim.random.fork("rivals");
    this.#checker = checker;
    this.links = new SimNetwork<Uint8Array>({ queue: sim.queue, random: sim.random.fork("links") });
    const random = sim.random.fork("nodes");
    const { tombstoneMs, usesRealSeal } = plan;
    this.nodes = Array.from({ length: plan.nodeCount }, (_, at) => {
      const id = at + 1;
      const options = { tombstoneMs, usesRealSeal, rules, seeds: () => this.#seedsFor(id), keys: () => this.#keys };
      return new SwimNode({ sim, network: this.links, checker, random }, options, id);
    });
    for (const node of this.nodes) sim.queue.schedule(node.id === 1 ? 0 : this.#random.between(100_000, 3_000_000), () => node.start());
  }

  machines(): readonly Machine[] {
    return this.nodes.filter((node) => !this.#gone.has(node));
  }

  favourite(): null {
    return null;
  }

  /** Members that run and should be known to all. */
  get running(): readonly SwimNode[] {
    return this.nodes.filter((node) => node.process.isUp && !this.#gone.has(node));
  }

  act(trouble: string): void {
    const running = this.running.filter(({ isJoined }) => isJoined);
    if (running.length < 2) return;
    const node = this.#random.pick(running);
    if (trouble === "leave") this.#leaveForAWhile(node);
    else if (trouble === "metadata") this.#changeMetadata(node);
    else if (trouble === "broadcast") this.announce(node);
    else if (trouble === "rotateKeys") this.#rotate();
    else if (trouble === "garbage") this.#sendGarbage(node);
    else if (trouble === "replay" && node.captured.length > 0) node.replay(this.#random.pick(node.captured));
  }

  /** Says goodbye, and does not come back. */
  goodbye(node: SwimNode): void {
    this.#gone.add(node);
    this.#sim.note(node.id, "says goodbye");
    node.leave();
  }

  /** Dies, and does not come back. */
  kill(node: SwimNode): void {
    this.#gone.add(node);
    this.#sim.note(node.id, "dies");
    node.crash();
  }

  announce(node: SwimNode): void {
    const name = this.#random.pick(["revoked", "policy"]);
    const version = (this.#versions.get(name) ?? 0) + 1;
    // Some travel inside the gossip, others are pulled in parts.
    const sizeBytes = this.#random.pick([10, 300, 3_000, 9_000]);
    this.#publish(node, name, version, this.#random.bytes(new Uint8Array(sizeBytes)));
    if (!this.#rivals.chance(0.5)) return;
    // A second host takes the same version before it hears of the first one's.
    const rival = this.#rivals.pick(this.running);
    const bytes = this.#rivals.bytes(new Uint8Array(sizeBytes));
    this.#sim.queue.schedule(this.#rivals.below(200_000), () => {
      if (rival.process.isUp) this.#publish(rival, name, version, bytes);
    });
  }

  #publish({ id, agent }: SwimNode, name: string, version: number, bytes: Uint8Array): void {
    this.#checker.published(name, version, bytes);
    if (agent?.broadcast(name, version, bytes) !== true) return;
    this.#versions.set(name, Math.max(version, this.#versions.get(name) ?? 0));
    this.#sim.note(id, "announces", name, version, bytes.length);
  }

  /** What somebody sees otherwise than it is; null when all views are the truth. */
  discord(): string | null {
    for (const observer of this.running) {
      const { agent } = observer;
      if (agent === null || !observer.isJoined) return `${observer.name} has not joined`;
      for (const subject of this.nodes) {
        const wrong = this.#wrongAbout(subject, agent.member(subject.name)?.state ?? null);
        if (wrong !== null) return `${observer.name} sees ${wrong}`;
        const member = agent.member(subject.name);
        const isOutdated = subject.agent !== null && member?.session !== subject.agent.status().self.session;
        if (subject !== observer && this.running.includes(subject) && isOutdated)
          return `${observer.name} knows an old life of ${subject.name}`;
        if (this.running.includes(subject) && JSON.stringify(member?.metadata) !== JSON.stringify(subject.metadata))
          return `${observer.name} has old metadata of ${subject.name}`;
      }
    }
    return this.#discordOfValues();
  }

  #wrongAbout(subject: SwimNode, state: MemberState | null): string | null {
    if (this.running.includes(subject)) return state === "alive" ? null : `${subject.name}, which runs, as ${state ?? "unknown"}`;
    // Who is gone may be forgotten already.
    return state === null || state === "dead" || state === "left" ? null : `${subject.name}, which is gone, as ${state}`;
  }

  /** A value whose announcer died before it told anybody is lost; whatever anybody has, all must have, with the same content. */
  #discordOfValues(): string | null {
    for (const name of this.#versions.keys()) {
      const held = new Set(this.running.map(({ agent }) => textOfValue(agent?.value(name) ?? null)));
      if (held.size > 1) return `nodes have different values of ${name}: ${[...held].join()}`;
    }
    return null;
  }

  /** The founder, as an operator would name it, and two others: without a common name two clusters would know nothing of each other. */
  #seedsFor(id: number): readonly string[] {
    const founder = this.nodes[0] as SwimNode;
    if (id === founder.id && founder.process.life === 1) return [];
    const others = this.#random.shuffled(this.nodes.filter((node) => node.id !== id && node !== founder && !this.#gone.has(node)));
    const seeds = [...(id === founder.id || this.#gone.has(founder) ? [] : [founder]), ...others.slice(0, 2)];
    return seeds.map((node) => addressOf(node.id));
  }

  #leaveForAWhile(node: SwimNode): void {
    this.#sim.note(node.id, "says goodbye for a while");
    node.leave();
    const { life } = node.process;
    this.#sim.queue.schedule(this.#random.between(6_000_000, 20_000_000), () => {
      if (node.process.life !== life || node.process.state === "paused") return;
      if (node.process.state === "up") node.crash();
      node.start();
    });
  }

  #changeMetadata(node: SwimNode): void {
    node.metadata = {
      labels: { rack: `r${this.#random.below(5)}` },
      capacityBytes: ++this.#metadataCount,
      features: this.#random.below(16),
    };
    node.agent?.setMetadata(node.metadata);
    this.#sim.note(node.id, "has new metadata", this.#metadataCount);
  }

  /** Install everywhere, use everywhere, remove the old one; machines that are down begin with what is in use when they start. */
  #rotate(): void {
    if (this.#isRotating) return;
    this.#isRotating = true;
    const oldKey = this.#keys[0] as GossipKey;
    const newKey = keyOf(++this.#keyCount);
    this.#sim.note(0, "new gossip key", newKey.id);
    const everywhere = (keys: readonly GossipKey[], work: (node: SwimNode) => void): void => {
      this.#keys = keys;
      for (const node of this.nodes) if (node.agent !== null) work(node);
    };
    everywhere([oldKey, newKey], (node) => node.agent?.keys.install(newKey));
    this.#sim.queue.schedule(rotationStepUs, () => {
      everywhere([newKey, oldKey], (node) => node.agent?.keys.use(newKey.id));
      this.#sim.queue.schedule(rotationStepUs * 4, () => {
        everywhere([newKey], (node) => node.agent?.keys.remove(oldKey.id));
        this.#isRotating = false;
      });
    });
  }

  /** Noise, and packets with a flipped bit: dropped, and nothing happens. */
  #sendGarbage(node: SwimNode): void {
    const captured = node.captured.length > 0 ? Uint8Array.from(this.#random.pick(node.captured)) : null;
    const noise = this.#random.bytes(new Uint8Array(this.#random.between(0, 1400)));
    const packet = captured !== null && this.#random.chance(0.7) ? captured : noise;
    if (packet === captured) {
      const at = this.#random.below(packet.length);
      packet[at] = (packet[at] as number) ^ (1 << this.#random.below(8));
    }
    this.links.send(this.#random.pick(this.nodes).id, node.id, packet);
  }
}

function textOfValue(value: { readonly version: number; readonly bytes: Uint8Array } | null): string {
  return value === null ? "none" : `version ${value.version} (${nodeHash(value.bytes).slice(0, 8)})`;
}

function keyOf(id: number): GossipKey {
  return { id, bytes: new Uint8Array(32).fill(id) };
}
