/**
 * A cluster of machines with bare Raft cores: nodes come and go, groups are brought to the wanted voters, and a failure detector tells who is gone.
 *
 * It is what the nemesis torments and what clients talk to. Machines that lost their disk never come back: a new one with a new number takes the place.
 */
import { assert } from "@cfs/core";
import type { Configuration, NodeId } from "raft-ts";

import type { RegisterInput } from "../../linearizability/index.ts";
import { SimNetwork } from "../engine/sim-network.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import { BareNode, throughCodec } from "./bare-node.ts";
import type { BareNodeOptions, GroupMessage } from "./bare-node.ts";
import type { BareReplica } from "./bare-replica.ts";
import type { Machine, Patient } from "../nemesis.ts";
import type { Answer, Place, Service } from "./raft-clients.ts";
import { RaftChecker } from "./raft-checker.ts";
import { isSettled, nextChange } from "./reconfigurer.ts";
import { encodeCommand } from "./register-machine.ts";

export interface BareClusterOptions extends BareNodeOptions {
  readonly nodeCount: number;
  readonly groupCount: number;
  readonly commandPaddingBytes: number;
  /** Messages travel as bytes. */
  readonly usesCodec: boolean;
}

const operatorPeriodUs = 700_000;
const detectorPeriodUs = 1_000_000;
/** Machines over the life of a run: beyond it none is replaced any more. */
const machinesMax = 40;

class BareMachine implements Machine {
  readonly node: BareNode;

  constructor(node: BareNode) {
    this.node = node;
  }

  get id(): number {
    return this.node.id;
  }

  get process(): BareNode["process"] {
    return this.node.process;
  }

  start(): void {
    this.node.start();
  }

  crash(kind: "kill" | "power"): void {
    this.node.crash(kind);
  }

  setClockRate(rate: number): void {
    this.node.clock.setRate(rate);
  }

  setDiskSlowness(factor: number): void {
    this.node.diskSlowness = factor;
  }

  setDiskFull(isFull: boolean): void {
    this.node.setDiskFull(isFull);
  }
}

export class BareCluster implements Patient {
  readonly links: SimNetwork<GroupMessage>;
  readonly checkers: readonly RaftChecker[];
  readonly #sim: Simulation;
  readonly #random: SimRandom;
  readonly #options: BareClusterOptions;
  readonly #machines: BareMachine[] = [];
  /** Those that are lost included: what was on their media counted when it was counted. */
  readonly #everyNode: Map<NodeId, BareNode> = new Map();
  readonly #wanted: Set<NodeId> = new Set();
  #lastId: NodeId = 0;

  constructor(sim: Simulation, options: BareClusterOptions) {
    this.#sim = sim;
    this.#random = sim.random.fork("cluster");
    this.#options = options;
    const parts = { queue: sim.queue, random: sim.random.fork("links") };
    this.links = new SimNetwork<GroupMessage>(options.usesCodec ? { ...parts, wire: throughCodec } : parts);
    this.checkers = Array.from({ length: options.groupCount }, (_, group) => new RaftChecker(group));
    const voters = Array.from({ length: options.nodeCount }, (_, at) => at + 1);
    const founding = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    for (const _voter of voters) this.#wanted.add(this.#addMachine(founding));
    this.#operate();
    if (options.quiesces) this.#detect();
  }

  machines(): readonly Machine[] {
    return this.#machines;
  }

  service(group: number): Service {
    const delayUs = (): number => 50 + this.#random.exponential(300);
    return {
      nodes: () => this.#machines.map(({ id }) => id),
      request: (id, input, answer, placed) => {
        const machine = this.#machines.find((other) => other.id === id);
        this.#sim.queue.schedule(delayUs(), () => {
          const reply = (told: Answer): void => void this.#sim.queue.schedule(delayUs(), () => answer(told));
          if (machine === undefined || machine.process.state === "down") return reply({ refusedFor: 0 });
          machine.node.call(group, (replica) => this.#ask(replica, input, reply, placed));
        });
      },
    };
  }

  /** Every wanted replica of every group is there, and all of a group have applied the same; the text says what is missing. */
  discord(): string | null {
    for (const group of this.checkers.keys()) {
      const leader = this.#leader(group);
      if (leader === null) return `group ${group} has no leader`;
      if (!isSettled(leader.raft.status(), this.#wanted)) return `group ${group} has not the wanted voters`;
      for (const id of this.#wanted) {
        const replica = this.#machines.find((machine) => machine.id === id)?.node.replicas.get(group);
        if (replica === undefined) return `n${id} has no replica of group ${group}`;
        if (replica.appliedIndex !== leader.appliedIndex)
          return `n${id} has applied ${replica.appliedIndex} of group ${group}, not ${leader.appliedIndex}`;
        if (replica.digest !== leader.digest) return `n${id} has another state of group ${group}`;
      }
    }
    return null;
  }

  act(trouble: string): void {
    if (trouble === "transfer") this.#transfer();
    else if (trouble === "replace") this.#replace();
    else if (trouble === "resize") this.#resize();
  }

  #transfer(): void {
    const group = this.#random.below(this.checkers.length);
    const leader = this.#leader(group);
    const target = this.#random.pick([...this.#wanted]);
    if (leader?.raft.transferLeadership(target) !== true) return;
    this.#sim.note(target, "shall lead", group);
    leader.pump();
  }

  #replace(): void {
    if (!this.#isSettled() || this.#lastId >= machinesMax) return;
    const victim = this.#random.pick(this.#machines);
    this.#lose(victim, "is lost with its disk");
    this.#wanted.delete(victim.id);
    this.#wanted.add(this.#addMachine(null));
  }

  /** Where a disturbance hurts most. */
  favourite(): Machine | null {
    return this.leaderOf(this.#random.below(this.checkers.length))?.machine ?? null;
  }

  leaderOf(group: number): { readonly machine: Machine; readonly node: BareNode } | null {
    const replica = this.#leader(group);
    const machine = this.#machines.find(({ node }) => node.replicas.get(group) === replica);
    return replica === null || machine === undefined ? null : { machine, node: machine.node };
  }

  #resize(): void {
    if (!this.#isSettled() || this.#lastId >= machinesMax) return;
    const ids = this.#random.shuffled([...this.#wanted]);
    if (ids.length > 3) for (const id of ids.slice(3)) this.#wanted.delete(id);
    else for (let count = 0; count < 2; count++) this.#wanted.add(this.#addMachine(null));
    this.#sim.note(0, `[${[...this.#wanted].join()}] shall vote`);
  }

  #ask(replica: BareReplica, input: RegisterInput, reply: (answer: Answer) => void, placed: (place: Place) => void): void {
    if (input.kind === "read") {
      const isTaken = replica.read(input.key, (output) => output !== null && reply({ output }));
      if (!isTaken) reply({ refusedFor: 0 });
      return;
    }
    const result = replica.propose(encodeCommand(input, this.#options.commandPaddingBytes), (output) =>
      reply(output === null ? "never" : { output }),
    );
    if ("term" in result) placed(result);
    else reply({ refusedFor: result.leader });
  }

  #isOnQuorum(group: number, configurations: readonly Configuration[], index: number, term: number): boolean {
    const isThere = (id: NodeId): boolean => this.#everyNode.get(id)?.logOf(group)?.isDurable(index, term) === true;
    const isMajority = (voters: readonly NodeId[]): boolean => voters.filter(isThere).length * 2 > voters.length || voters.length === 0;
    const isEnough = ({ voters, votersOutgoing }: Configuration): boolean => isMajority(voters) && isMajority(votersOutgoing);
    if (configurations.some(isEnough)) return true;
    // The leader counts by a configuration that may be on its way to the others.
    return this.#machines.some(({ node }) => {
      const replica = node.replicas.get(group);
      return replica !== undefined && isEnough(replica.raft.status().configuration);
    });
  }

  #addMachine(founding: Configuration | null): NodeId {
    const { checkers, links: network } = this;
    const random = this.#random.fork(`node ${++this.#lastId}`);
    const isOnQuorum = this.#isOnQuorum.bind(this);
    const node = new BareNode({ sim: this.#sim, network, checkers, random, isOnQuorum }, this.#options, this.#lastId);
    this.#everyNode.set(node.id, node);
    for (const group of checkers.keys()) node.host(group, founding);
    this.#machines.push(new BareMachine(node));
    node.start();
    return node.id;
  }

  #lose(machine: BareMachine, why: string): void {
    this.#sim.note(machine.id, why);
    if (machine.process.state !== "down") machine.crash("power");
    this.links.detach(machine.id);
    const at = this.#machines.indexOf(machine);
    assert(at >= 0, "a machine is lost once");
    this.#machines.splice(at, 1);
  }

  #leader(group: number): BareReplica | null {
    let found: BareReplica | null = null;
    for (const { node } of this.#machines) {
      const replica = node.process.isUp ? node.replicas.get(group) : undefined;
      if (replica === undefined || replica.role !== "leader") continue;
      if (found === null || replica.log.hardState.term > found.log.hardState.term) found = replica;
    }
    return found;
  }

  #isSettled(): boolean {
    for (const group of this.checkers.keys()) {
      const leader = this.#leader(group);
      if (leader === null || !isSettled(leader.raft.status(), this.#wanted)) return false;
    }
    return true;
  }

  #operate(): void {
    this.#sim.queue.schedule(operatorPeriodUs, () => {
      this.#operate();
      for (const group of this.checkers.keys()) {
        const leader = this.#leader(group);
        if (leader === null) continue;
        const status = leader.raft.status();
        if (isSettled(status, this.#wanted)) {
          this.#retire(group);
          continue;
        }
        const change = nextChange(status.configuration, this.#wanted, this.#random);
        if (change !== null && leader.change(change)) this.#sim.note(0, `group ${group}: ${JSON.stringify(change)}`);
      }
      const idle = this.#machines.find(
        (machine) => !this.#wanted.has(machine.id) && machine.node.replicas.size === 0 && machine.process.isUp,
      );
      if (idle !== undefined) this.#lose(idle, "is switched off");
    });
  }

  /** Replicas that their group does not want any more are taken away, after a while: until then they may disturb. */
  #retire(group: number): void {
    for (const { id, node } of this.#machines) {
      if (this.#wanted.has(id) || !node.process.isUp || !node.replicas.has(group) || !this.#random.chance(0.5)) continue;
      node.unhost(group);
      this.#sim.note(id, "hosts no more", group);
    }
  }

  #detect(): void {
    this.#sim.queue.schedule(detectorPeriodUs, () => {
      this.#detect();
      for (const { node } of this.#machines) {
        if (!node.process.isUp) continue;
        for (const other of this.#machines) {
          const isAbsent = !other.process.isUp || this.links.isCut(other.id, node.id);
          if (other.node !== node && isAbsent !== node.absent.has(other.id)) node.changeAbsent(other.id, isAbsent);
        }
        for (const id of node.absent) if (this.#machines.every((other) => other.id !== id)) node.absent.delete(id);
      }
    });
  }
}
