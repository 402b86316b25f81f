/**
 * A simulated machine with the real shard driver: MultiRaft over the real group log, on a disk that fails, in lives that end at any moment.
 *
 * A driver that breaks (its log could not be written) ends its process, and a service manager starts it again. A log that nobody
 * damaged must open; one that was read with a flipped bit may refuse, and is opened again.
 */
import { AssertionError, CfsError, silentLogger } from "@cfs/core";
import { MultiRaft } from "@cfs/metadata";
import type { DriverRules, PeerItem } from "@cfs/metadata";
import { crc32cTable, FileGroupLog } from "@cfs/storage";
import type { FaultRule } from "@cfs/storage";
import type { Configuration } from "raft-ts";

import type { RegisterOutput } from "../../linearizability/index.ts";
import { SimClock } from "../engine/sim-clock.ts";
import { SimDisk } from "../engine/sim-disk.ts";
import type { SimNetwork } from "../engine/sim-network.ts";
import { SimProcess } from "../engine/sim-process.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";
import type { Machine } from "../nemesis.ts";
import type { RaftChecker } from "../raft/raft-checker.ts";
import type { ShardPlan } from "./shard-plan.ts";
import { MachineDisk, SimMachine } from "./sim-machine.ts";
import { WatchedRaft } from "./watched-raft.ts";

export type Batch = readonly PeerItem[];

export interface ShardNodeParts {
  readonly sim: Simulation;
  readonly network: SimNetwork<Batch>;
  /** By group, from 1. */
  readonly checkers: ReadonlyMap<number, RaftChecker>;
  readonly random: SimRandom;
  readonly plan: ShardPlan;
  readonly rules: DriverRules | null;
  /** Nodes whose media hold the payload of an entry, and whether a quorum holds the entry. */
  checkNews(node: ShardNode, group: number, index: number, term: number, hasPayload: boolean): void;
}

const restartUs = 1_000_000;

export class ShardNode implements Machine {
  readonly id: number;
  readonly process: SimProcess;
  readonly disk: SimDisk;
  /** Of the newest life; what it holds in memory is what is durable. */
  log: FileGroupLog | null = null;
  driver: MultiRaft<RegisterOutput> | null = null;
  readonly machines: Map<number, SimMachine> = new Map();
  clock: SimClock;
  readonly #parts: ShardNodeParts;
  readonly #founding: Configuration;
  readonly #fullness: SimRandom;
  readonly #machineDisks: Map<number, MachineDisk> = new Map();
  readonly #roles: Map<number, string> = new Map();
  #areReadsDamaged = false;
  #areWritesFailing = false;

  constructor(parts: ShardNodeParts, id: number, founding: Configuration) {
    this.id = id;
    this.#parts = parts;
    this.#founding = founding;
    this.#fullness = parts.random.fork("fullness");
    this.process = new SimProcess(id, parts.sim.queue, parts.random.fork("pauses"));
    this.clock = new SimClock(this.process, parts.sim.queue);
    this.disk = new SimDisk({ queue: parts.sim.queue, random: parts.random.fork("disk") }, { poolBytes: 8 << 20 });
    parts.network.attach(this.process, (from, batch) => this.driver?.receive(from, batch));
  }

  start(): void {
    this.process.start();
    this.clock = new SimClock(this.process, this.#parts.sim.queue);
    this.#awaitDisk();
  }

  crash(kind: "kill" | "power"): void {
    this.process.crash();
    this.driver = null;
    this.machines.clear();
    if (kind === "power") this.disk.losePower();
  }

  setClockRate(rate: number): void {
    this.clock.setRate(rate);
  }

  setDiskSlowness(factor: number): void {
    this.disk.slowness = factor;
  }

  setDiskFull(isFull: boolean): void {
    // For nothing at all, or only for no further file: then compaction goes ahead of writes that wait, and old files go.
    const kinds = this.#fullness.chance(0.5) ? (["write", "allocate", "open"] as const) : (["allocate", "open"] as const);
    this.#setRules(isFull ? kinds.map((on) => ({ on, fail: "NO_SPACE" }) as const) : [], false);
  }

  /** One of the next requests fails, or is torn. */
  failSoon(random: SimRandom): void {
    const on = random.pick(["write", "syncData", "write", "open", "read"] as const);
    const fail = on === "write" && random.chance(0.5) ? "torn" : "IO";
    this.#setRules([{ on, nth: random.between(1, 20), fail }], on === "read");
  }

  /** One of the next reads brings a flipped byte. */
  flipSoon(random: SimRandom): void {
    this.#setRules([{ on: "read", nth: random.between(1, 10), fail: "corrupt", atByte: random.below(5_000) }], true);
  }

  #setRules(rules: readonly FaultRule[], areReads: boolean): void {
    this.disk.setRules(rules);
    this.#areReadsDamaged = areReads && rules.length > 0;
    this.#areWritesFailing = !areReads && rules.length > 0;
  }

  /** What the process before began is over first, as when a kernel ends a process. */
  #awaitDisk(): void {
    this.process.after(5_000, () => {
      if (!this.disk.isIdle) return this.#awaitDisk();
      const { life } = this.process;
      this.#boot().catch((reason: unknown) => this.#cannotStart(life, reason));
    });
  }

  async #boot(): Promise<void> {
    const { random, plan } = this.#parts;
    const io = this.disk.mount(this.process);
    const own = random.fork(`life ${this.process.life}`);
    const log = await FileGroupLog.open(
      { io, crc32c: crc32cTable, clock: this.clock, random: own, logger: silentLogger },
      {
        directory: "/groups",
        clusterId: "c0".repeat(16),
        nodeId: String(this.id).padStart(32, "0"),
        fileBytes: plan.logFileBytes,
        frameBytes: plan.logFrameBytes,
        reclaimBytes: 2 * plan.logFileBytes,
      },
    );
    this.log = log;
    this.#roles.clear();
    const driver = await this.#open(log, own);
    for (const group of this.#parts.checkers.keys()) {
      if (!driver.groups.includes(group)) await driver.createGroup(group, this.#founding);
    }
    this.driver = driver;
    this.#parts.sim.note(this.id, "is up", driver.groups.length);
  }

  #open(log: FileGroupLog, random: SimRandom): Promise<MultiRaft<RegisterOutput>> {
    const { checkers, network, plan, rules } = this.#parts;
    // A replica asks for its own number and makes its core right after that, in one turn.
    let asked = 0;
    const self = (group: number): number => {
      asked = group;
      return this.id;
    };
    const parts = {
      log,
      peers: { send: (to: number, batch: Batch): void => this.#send(network, log, to, batch) },
      placement: { self, peerOf: (_group: number, replica: number): number => replica },
      openMachine: (group: number, snapshotIndex: number): Promise<SimMachine> =>
        Promise.resolve(this.#openMachine(log, group, snapshotIndex)),
      clock: this.clock,
      random,
      logger: silentLogger,
      crc32c: crc32cTable,
      makeRaft: (...[raftParts, options]: [WatchedParts, WatchedOptions]): WatchedRaft =>
        new WatchedRaft(raftParts, options, checkers.get(asked) as RaftChecker),
    };
    return MultiRaft.open<RegisterOutput>(rules === null ? parts : { ...parts, rules }, plan.driver, {
      onRole: (group, { role, term }) => this.#onRole(log, group, role, term),
      onBroken: (reason) => this.#onBroken(reason),
    });
  }

  #openMachine(log: FileGroupLog, group: number, snapshotIndex: number): SimMachine {
    const { checkers, random, plan } = this.#parts;
    const checker = checkers.get(group) as RaftChecker;
    const disk = this.#machineDisks.get(group) ?? new MachineDisk();
    this.#machineDisks.set(group, disk);
    const host = {
      delay: (): Promise<void> => new Promise((resolve) => this.process.after(100 + random.exponential(2_000), resolve)),
      applied: (
        { index, term, command, payloadBytes }: { index: number; term: number; command: Uint8Array; payloadBytes: number | null },
        digest: number,
      ): void => {
        const entries = log.groups.get(group);
        checker.answered(
          this.id,
          `the applied entry ${index}`,
          entries !== undefined && (entries.term(index) === term || index <= entries.snapshot.index),
        );
        if (checker.isNews(index)) this.#parts.checkNews(this, group, index, term, payloadBytes !== null);
        checker.applied(this.id, entries?.hardState.term ?? 0, { index, term, kind: 1, data: command }, digest);
      },
      state: (index: number, digest: number): void => checker.state(this.id, index, digest),
    };
    const machine = new SimMachine(disk, host, snapshotIndex, plan.snapshotPaddingBytes);
    this.machines.set(group, machine);
    return machine;
  }

  /** Answers are looked at before they leave: what they promise is on the medium. */
  #send(network: SimNetwork<Batch>, log: FileGroupLog, to: number, batch: Batch): void {
    for (const item of batch) {
      if (item.type !== "raft") continue;
      const { message } = item;
      const entries = log.groups.get(item.group);
      const checker = this.#parts.checkers.get(item.group);
      if (entries === undefined || checker === undefined) continue;
      const { term, vote } = entries.hardState;
      if (message.type === "voteReply" && message.granted && !message.preVote)
        checker.answered(
          this.id,
          `its vote in term ${message.term}`,
          term > message.term || (term === message.term && vote === message.to),
        );
      else if (message.type === "appendReply" && !message.rejected)
        checker.answered(this.id, `entry ${message.index}`, term > message.term || message.index <= entries.lastIndex);
    }
    network.send(this.id, to, batch);
  }

  #onRole(log: FileGroupLog, group: number, role: string, term: number): void {
    const before = this.#roles.get(group);
    this.#roles.set(group, role);
    if (role !== before || role === "leader") this.#parts.sim.note(this.id, role, group, term);
    const entries = log.groups.get(group);
    if (role !== "leader" || before === "leader" || entries === undefined) return;
    this.#parts.checkers.get(group)?.elected(this.id, term, entries.lastIndex, (index) => entries.term(index));
  }

  #onBroken(reason: CfsError): void {
    this.#parts.sim.note(this.id, "is broken", reason.message);
    const isFault = this.#areWritesFailing || this.#areReadsDamaged || this.disk.faultCount > 0;
    if (causedBy(reason, AssertionError) || !isFault) return this.#parts.sim.fail(reason.cause ?? reason);
    const { life } = this.process;
    this.process.after(0, () => this.#end(life));
  }

  #cannotStart(life: number, reason: unknown): void {
    this.#parts.sim.note(this.id, "cannot start", reason instanceof Error ? reason.message : String(reason));
    const isFault = this.#areWritesFailing || this.#areReadsDamaged;
    if (!isFault || !(reason instanceof CfsError) || causedBy(reason, AssertionError)) return this.#parts.sim.fail(reason);
    this.#setRules([], false);
    this.#end(life);
  }

  /** The process ends by itself, and is started again. */
  #end(life: number): void {
    if (this.process.life !== life || this.process.state === "down") return;
    this.crash("kill");
    this.#parts.sim.queue.schedule(restartUs, () => {
      if (this.process.life === life && this.process.state === "down") this.start();
    });
  }
}

type WatchedParts = ConstructorParameters<typeof WatchedRaft>[0];
type WatchedOptions = ConstructorParameters<typeof WatchedRaft>[1];

function causedBy(reason: Error, kind: typeof AssertionError): boolean {
  for (let at: unknown = reason; at instanceof Error; at = at.cause) if (at instanceof kind) return true;
  return false;
}
