/**
 * A cluster of machines with shard drivers: clients' requests, lost disks and their substitutes, and what membership would tell.
 *
 * Machines that lost their disk never come back: a new one with a new number joins every group, and the operator brings the voters to what is wanted.
 */
import { CfsError } from "@cfs/core";
import { decodePeerBatch, encodePeerBatch } from "@cfs/metadata";
import type { DriverRules, GroupStatus } from "@cfs/metadata";
import type { Configuration, NodeId } from "raft-ts";

import type { RegisterInput } from "../../linearizability/index.ts";
import { SimNetwork } from "../engine/sim-network.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import type { Machine, Patient } from "../nemesis.ts";
import type { Answer, Service } from "../raft/raft-clients.ts";
import { RaftChecker } from "../raft/raft-checker.ts";
import { isSettled, nextChange } from "../raft/reconfigurer.ts";
import { encodeCommand } from "../raft/register-machine.ts";
import { SafetyViolation } from "../violation.ts";
import { ShardNode } from "./shard-node.ts";
import type { Batch } from "./shard-node.ts";
import type { ShardPlan } from "./shard-plan.ts";

const operatorPeriodUs = 700_000;
const detectorPeriodUs = 1_000_000;
const machinesMax = 20;
/** Batches as bytes, as between real machines. */
function throughCodec(batch: Batch): () => Batch {
  const bytes = encodePeerBatch(batch);
  return () => decodePeerBatch(bytes);
}

const nobodyYet: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

export class ShardCluster implements Patient {
  readonly links: SimNetwork<Batch>;
  readonly checkers: Map<number, RaftChecker> = new Map();
  readonly #sim: Simulation;
  readonly #random: SimRandom;
  readonly #plan: ShardPlan;
  readonly #rules: DriverRules | null;
  readonly #machines: ShardNode[] = [];
  readonly #everyNode: ShardNode[] = [];
  readonly #wanted: Set<NodeId> = new Set();

  constructor(sim: Simulation, plan: ShardPlan, rules: DriverRules | null) {
    this.#sim = sim;
    this.#random = sim.random.fork("cluster");
    this.#plan = plan;
    this.#rules = rules;
    const parts = { queue: sim.queue, random: sim.random.fork("links") };
    this.links = new SimNetwork<Batch>(plan.usesCodec ? { ...parts, wire: throughCodec } : parts);
    for (let group = 1; group <= plan.groupCount; group++) this.checkers.set(group, new RaftChecker(group));
    const voters = Array.from({ length: plan.nodeCount }, (_, at) => at + 1);
    for (const _voter of voters) this.#addMachine({ ...nobodyYet, voters });
    this.#operate();
    this.#detect();
  }

  machines(): readonly Machine[] {
    return this.#machines;
  }

  favourite(): Machine | null {
    return this.#leader(this.#random.between(1, this.checkers.size))?.node ?? null;
  }

  act(trouble: string): void {
    if (trouble === "transfer") this.#transfer();
    else if (trouble === "replace") this.#replace();
    else if (trouble === "diskError") this.#random.pick(this.#machines).failSoon(this.#random);
    else if (trouble === "bitFlip") this.#random.pick(this.#machines).flipSoon(this.#random);
  }

  service(group: number): Service {
    const delayUs = (): number => 50 + this.#random.exponential(300);
    return {
      nodes: () => this.#machines.map(({ id }) => id),
      request: (id, input, answer) => {
        const node = this.#machines.find((other) => other.id === id);
        this.#sim.queue.schedule(delayUs(), () => {
          const reply = (told: Answer): void => void this.#sim.queue.schedule(delayUs(), () => answer(told));
          if (node === undefined || node.process.state === "down") reply({ refusedFor: 0 });
          else node.process.arrive(() => this.#ask(node, group, input, reply));
        });
      },
    };
  }

  /** What is missing for all wanted replicas of every group to be equal; null when nothing is. */
  discord(): string | null {
    for (const group of this.checkers.keys()) {
      const leader = this.#leader(group);
      if (leader === null) return `group ${group} has no leader`;
      if (!isSettled(leader.status, this.#wanted)) return `group ${group} has not the wanted voters`;
      const state = leader.node.machines.get(group);
      for (const node of this.#machines.filter(({ id }) => this.#wanted.has(id))) {
        const own = node.machines.get(group);
        if (own?.appliedIndex !== state?.appliedIndex)
          return `n${node.id} has applied ${own?.appliedIndex} of group ${group}, not ${state?.appliedIndex}`;
        if (own?.digest !== state?.digest) return `n${node.id} has another state of group ${group}`;
      }
    }
    return null;
  }

  #ask(node: ShardNode, group: number, input: RegisterInput, reply: (answer: Answer) => void): void {
    const { driver } = node;
    if (driver === null) return reply({ refusedFor: 0 });
    // Every call ends, but what an ended life would say is not heard.
    const { life } = node.process;
    const refuse = (reason: unknown): void => {
      if (node.process.life === life) this.#refused(reason, reply);
    };
    if (input.kind === "read") {
      const checker = this.checkers.get(group);
      const knownIndex = checker?.committedIndex ?? 0;
      const answered = driver.readIndex(group).then((index) => {
        const machine = node.machines.get(group);
        if (node.process.life !== life || machine === undefined) return;
        checker?.read(node.id, index, knownIndex);
        reply({ output: { kind: "value", value: machine.read(input.key) } });
      });
      answered.catch(refuse);
      return;
    }
    const command = encodeCommand(input, this.#plan.commandPaddingBytes);
    const payload = this.#random.chance(this.#plan.payloadRate)
      ? this.#random.bytes(new Uint8Array(this.#random.between(1, this.#plan.payloadBytesMax)))
      : null;
    const answered = driver.propose(group, command, payload).then(({ index, term, result }) => {
      if (node.process.life !== life) return;
      if (result === null)
        throw new SafetyViolation("acknowledged commands", `n${node.id} answered a command with entry ${index}, which is none`);
      this.checkers.get(group)?.acknowledged(node.id, index, term);
      reply({ output: result });
    });
    answered.catch(refuse);
  }

  #refused(reason: unknown, reply: (answer: Answer) => void): void {
    if (!(reason instanceof CfsError)) return this.#sim.fail(reason);
    // AGAIN and NOT_FOUND promise that nothing happened; after anything else the command may still take effect.
    if (reason.code === "AGAIN" || reason.code === "NOT_FOUND") reply({ refusedFor: Number(reason.details["leader"] ?? 0) });
  }

  #addMachine(founding: Configuration): void {
    const id = this.#everyNode.length + 1;
    const node = new ShardNode(
      {
        sim: this.#sim,
        network: this.links,
        checkers: this.checkers,
        random: this.#random.fork(`node ${id}`),
        plan: this.#plan,
        rules: this.#rules,
        checkNews: (...news) => this.#checkNews(...news),
      },
      id,
      founding,
    );
    this.#machines.push(node);
    this.#everyNode.push(node);
    this.#wanted.add(id);
    node.start();
  }

  /** The first to apply an entry: a quorum has it, and two nodes have its payload. */
  #checkNews(node: ShardNode, group: number, index: number, term: number, hasPayload: boolean): void {
    const holders = this.#everyNode.filter(({ log }) => {
      const entries = log?.groups.get(group);
      return entries !== undefined && (entries.term(index) === term || index <= entries.snapshot.index);
    });
    const isMajority = (voters: readonly NodeId[]): boolean =>
      holders.filter(({ id }) => voters.includes(id)).length * 2 > voters.length || voters.length === 0;
    const isEnough = ({ voters, votersOutgoing }: Configuration): boolean => isMajority(voters) && isMajority(votersOutgoing);
    const isOnQuorum =
      this.#machines.some(({ driver }) => driver !== null && isEnough(driver.status(group).configuration)) || this.#isNobodyUp();
    this.checkers.get(group)?.durable(node.id, index, isOnQuorum);
    if (!hasPayload) return;
    const copies = this.#everyNode.filter(({ log }) => log?.groups.get(group)?.hasPayload(index, term) === true).length;
    if (copies < 2)
      throw new SafetyViolation(
        "two payloads",
        `group ${group}: n${node.id} takes ${index} for committed, whose payload ${copies} nodes hold`,
      );
  }

  /** While drivers open nobody can say which configuration counts. */
  #isNobodyUp(): boolean {
    return this.#machines.every(({ driver }) => driver === null);
  }

  #leader(group: number): { readonly node: ShardNode; readonly status: GroupStatus } | null {
    let found: { readonly node: ShardNode; readonly status: GroupStatus } | null = null;
    for (const node of this.#machines) {
      if (!node.process.isUp || node.driver === null || node.driver.broken !== null || !node.driver.groups.includes(group)) continue;
      const status = node.driver.status(group);
      if (status.role === "leader" && status.term > (found?.status.term ?? 0)) found = { node, status };
    }
    return found;
  }

  #transfer(): void {
    const group = this.#random.between(1, this.checkers.size);
    const target = this.#random.pick([...this.#wanted]);
    if (this.#leader(group)?.node.driver?.transferLeadership(group, target) === true) this.#sim.note(target, "shall lead", group);
  }

  #replace(): void {
    if (this.#everyNode.length >= machinesMax || !this.#areAllSettled()) return;
    const victim = this.#random.pick(this.#machines);
    this.#sim.note(victim.id, "is lost with its disk");
    if (victim.process.state !== "down") victim.crash("power");
    this.links.detach(victim.id);
    this.#machines.splice(this.#machines.indexOf(victim), 1);
    this.#wanted.delete(victim.id);
    this.#addMachine(nobodyYet);
  }

  #areAllSettled(): boolean {
    return [...this.checkers.keys()].every((group) => {
      const leader = this.#leader(group);
      return leader !== null && isSettled(leader.status, this.#wanted);
    });
  }

  #operate(): void {
    this.#sim.queue.schedule(operatorPeriodUs, () => {
      this.#operate();
      for (const group of this.checkers.keys()) {
        const leader = this.#leader(group);
        if (leader === null || isSettled(leader.status, this.#wanted)) continue;
        const change = nextChange(leader.status.configuration, this.#wanted, this.#random);
        if (change === null) continue;
        this.#sim.note(0, `group ${group}: ${JSON.stringify(change)}`);
        leader.node.driver?.changeConfiguration(group, change).catch((reason: unknown) => {
          if (!(reason instanceof CfsError)) this.#sim.fail(reason);
        });
      }
    });
  }

  /** What SWIM would tell after a while: who is down, who is up. */
  #detect(): void {
    this.#sim.queue.schedule(detectorPeriodUs, () => {
      this.#detect();
      for (const node of this.#machines) {
        if (!node.process.isUp || node.driver === null) continue;
        for (const other of this.#machines) {
          if (other !== node) node.driver.setPeerUp(other.id, other.process.isUp && !this.links.isCut(other.id, node.id));
        }
      }
    });
  }
}
