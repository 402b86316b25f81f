/**
 * A simulated machine that hosts one replica of each group on bare Raft cores: its process, ticks, disk and messages.
 *
 * Ticks are owed by the clock: before anything reaches a core it has had the ticks that its clock counted, up to a few election timeouts, so
 * that a process that stood still knows that time passed before it answers a read by its lease.
 */
import { assert } from "@cfs/core";
import { decodeMessage, encodeMessage } from "raft-ts";
import type { Configuration, Message, NodeId } from "raft-ts";

import { SimClock } from "../engine/sim-clock.ts";
import type { SimNetwork } from "../engine/sim-network.ts";
import { SimProcess } from "../engine/sim-process.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import { BareLog } from "./bare-log.ts";
import { BareReplica } from "./bare-replica.ts";
import type { ReplicaSettings } from "./bare-replica.ts";
import type { RaftChecker } from "./raft-checker.ts";
import { RegisterMachine } from "./register-machine.ts";

export interface GroupMessage {
  readonly group: number;
  readonly message: Message;
}

/** Messages as bytes, as between real machines. */
export function throughCodec({ group, message }: GroupMessage): () => GroupMessage {
  const bytes = encodeMessage(message);
  return () => ({ group, message: decodeMessage(bytes) });
}

export interface BareNodeParts {
  readonly sim: Simulation;
  readonly network: SimNetwork<GroupMessage>;
  readonly checkers: readonly RaftChecker[];
  readonly random: SimRandom;
  isOnQuorum(group: number, configurations: readonly Configuration[], index: number, term: number): boolean;
}

export interface BareNodeOptions extends ReplicaSettings {
  readonly tickMs: number;
  readonly diskLatencyUs: number;
  readonly quiesces: boolean;
  /** Mean µs until the host opens the gate for an entry; now and then it takes seconds. */
  readonly gateDelayUs: number;
  readonly lateAnswerRate: number;
}

/** Ticks that are made up for at most: enough for every timeout to be over. */
const owedTicksMax = 50;
/** The slowest disk answers after this. */
const syncUsMax = 5e6;
/** Idle ticks after which a leader goes quiet. */
const idleTicks = 20;
/** Late answers about the gate come after this at most. */
const lateAnswerUsMax = 5e6;

export class BareNode {
  readonly id: NodeId;
  readonly process: SimProcess;
  readonly replicas: Map<number, BareReplica> = new Map();
  /** Nodes that this one takes for failed; kept by the cluster's failure detector. */
  readonly absent: Set<NodeId> = new Set();
  clock: SimClock;
  /** Factor on the time of every sync. */
  diskSlowness = 1;
  readonly #parts: BareNodeParts;
  readonly #options: BareNodeOptions;
  readonly #late: SimRandom;
  readonly #logs: Map<number, BareLog> = new Map();
  readonly #oldLogs: Map<number, BareLog> = new Map();
  readonly #idle: Map<number, { lastIndex: number; ticks: number }> = new Map();
  #isDiskFull = false;
  #stalledSyncs: (() => void)[] = [];
  #startedMs = 0;
  #tickCount = 0;

  constructor(parts: BareNodeParts, options: BareNodeOptions, id: NodeId) {
    this.id = id;
    this.#parts = parts;
    this.#options = options;
    this.#late = parts.random.fork("late answers");
    this.process = new SimProcess(id, parts.sim.queue, parts.random.fork("pauses"));
    this.clock = new SimClock(this.process, parts.sim.queue);
    parts.network.attach(this.process, (_from, { group, message }) => {
      this.#payTicks();
      // The last words of a leader that is known to be gone put nobody to sleep.
      const isLate = message.type === "heartbeat" && message.quiesce && this.absent.has(message.from);
      this.replicas.get(group)?.step(isLate ? { ...message, quiesce: false } : message);
    });
  }

  /** Gives the node a replica of the group, before its first start or while it runs. `configuration` null: one who joins. */
  host(group: number, configuration: Configuration | null): void {
    const joining: Configuration = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    this.#logs.set(group, BareLog.founded(configuration ?? joining, new RegisterMachine().snapshot(0)));
    if (this.process.isUp) this.#startReplica(group);
  }

  /** The replica goes; what its log holds is remembered for the checkers only. */
  unhost(group: number): void {
    this.replicas.get(group)?.stop();
    const log = this.logOf(group);
    if (log !== null) this.#oldLogs.set(group, log);
    this.replicas.delete(group);
    this.#logs.delete(group);
  }

  /** What a power failure would leave of the group here, or null when it was never here. */
  logOf(group: number): BareLog | null {
    return this.replicas.get(group)?.log ?? this.#logs.get(group) ?? this.#oldLogs.get(group) ?? null;
  }

  start(): void {
    this.process.start();
    this.clock = new SimClock(this.process, this.#parts.sim.queue);
    this.#startedMs = this.clock.monotonicMs();
    this.#tickCount = 0;
    this.absent.clear();
    for (const group of this.#logs.keys()) this.#startReplica(group);
    this.#tickLater();
  }

  crash(kind: "kill" | "power"): void {
    this.process.crash();
    this.#stalledSyncs = [];
    for (const [group, replica] of this.replicas) {
      replica.stop();
      this.#logs.set(group, replica.log.crashed(kind, this.#parts.random));
    }
    this.replicas.clear();
  }

  /** A full disk takes no writes; what wants to be written waits for room. */
  setDiskFull(isFull: boolean): void {
    this.#isDiskFull = isFull;
    if (isFull) return;
    const stalled = this.#stalledSyncs;
    this.#stalledSyncs = [];
    for (const sync of stalled) sync();
  }

  /** Runs `work` on a replica as a request from outside would: now, if the process is there. */
  call(group: number, work: (replica: BareReplica) => void): void {
    this.process.arrive(() => {
      this.#payTicks();
      const replica = this.replicas.get(group);
      if (replica !== undefined) work(replica);
    });
  }

  /** The failure detector has spoken: quiet groups whose leader is gone go on, and so do leaders that went quiet without one who is back. */
  changeAbsent(node: NodeId, isAbsent: boolean): void {
    if (isAbsent) this.absent.add(node);
    else this.absent.delete(node);
    for (const replica of this.replicas.values()) {
      const { leader } = replica.raft.status();
      if (isAbsent ? leader === node : leader === this.id) {
        replica.raft.wake();
        replica.pump();
      }
    }
  }

  #startReplica(group: number): void {
    const { sim, network, checkers, random } = this.#parts;
    const log = this.#logs.get(group);
    const checker = checkers[group];
    assert(log !== undefined && checker !== undefined, "a hosted group has a log and a checker");
    const host = {
      node: this.id,
      group,
      checker,
      random,
      owedTicks: (): number => this.#owedTicks(),
      isOnQuorum: (configurations: readonly Configuration[], index: number, term: number): boolean =>
        this.#parts.isOnQuorum(group, configurations, index, term),
      send: (message: Message): void => network.send(this.id, message.to, { group, message }),
      sync: (done: () => void): void => this.#sync(done),
      note: (what: string, ...details: readonly (number | string)[]): void => sim.note(this.id, what, ...details),
    };
    this.replicas.set(group, new BareReplica(host, this.#options, log));
    this.#idle.set(group, { lastIndex: 0, ticks: 0 });
  }

  #sync(done: () => void): void {
    if (this.#isDiskFull) {
      this.#stalledSyncs.push(() => this.#sync(done));
      return;
    }
    const latencyUs = (20 + this.#parts.random.exponential(this.#options.diskLatencyUs)) * this.diskSlowness;
    this.process.after(Math.min(latencyUs, syncUsMax), done);
  }

  #tickLater(): void {
    this.clock.after(this.#options.tickMs, () => {
      this.#payTicks();
      this.#tickLater();
    });
  }

  /** A timer comes a rounding error early now and then. */
  #owedTicks(): number {
    return Math.floor((this.clock.monotonicMs() - this.#startedMs) / this.#options.tickMs + 1e-6) - this.#tickCount;
  }

  #payTicks(): void {
    const owed = this.#owedTicks();
    if (owed <= 0) return;
    this.#tickCount += owed;
    for (let count = Math.min(owed, owedTicksMax); count > 0; count--) {
      for (const [group, replica] of this.replicas) {
        replica.tick();
        if (replica.role === "leader") this.#tendLeader(group, replica);
      }
    }
  }

  /** What a host does for the groups it leads: open the commit gate after a while, let idle ones go quiet. */
  #tendLeader(group: number, replica: BareReplica): void {
    if (this.#options.options.commitGate) this.#openGateLater(replica);
    if (!this.#options.quiesces) return;
    const idle = this.#idle.get(group) as { lastIndex: number; ticks: number };
    const { lastIndex } = replica.log;
    idle.ticks = lastIndex === idle.lastIndex ? idle.ticks + 1 : 0;
    idle.lastIndex = lastIndex;
    if (idle.ticks < idleTicks || replica.raft.isQuiescent) return;
    if (replica.raft.quiesce([...this.absent])) this.#parts.sim.note(this.id, "goes quiet", group);
    replica.pump();
  }

  #openGateLater(replica: BareReplica): void {
    const { lastIndex } = replica.log;
    if (lastIndex <= replica.gateAsked) return;
    replica.gateAsked = lastIndex;
    const term = replica.log.term(lastIndex) ?? 0;
    const lateUs = this.#late.chance(this.#options.lateAnswerRate) ? this.#late.next() * lateAnswerUsMax : 0;
    const delayUs = this.#parts.random.exponential(this.#options.gateDelayUs) + lateUs;
    this.process.after(delayUs, () => replica.openGate(lastIndex, term));
  }
}
