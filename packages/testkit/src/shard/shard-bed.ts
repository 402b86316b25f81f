/**
 * Nodes with real drivers and real group logs in one process: memory drives, a network that loses, doubles, delays and reorders, a clock moved by hand.
 */
import { assert, CfsError, silentLogger } from "@cfs/core";
import type { Clock, Random } from "@cfs/core";
import { MultiRaft, multiRaftDefaults } from "@cfs/metadata";
import type { DriverRules, MultiRaftListener, MultiRaftOptions, PeerItem } from "@cfs/metadata";
import { crc32cTable, FileGroupLog, MemoryIo, seededRandom } from "@cfs/storage";
import type { GroupLogOptions, Io } from "@cfs/storage";
import type { Configuration } from "raft-ts";
import { ManualClock } from "../manual-clock.ts";
import { MachineDisk, TestMachine } from "./test-machine.ts";

export interface BedOptions {
  readonly seed?: number;
  readonly nodes?: number;
  readonly driver?: Partial<MultiRaftOptions>;
  readonly log?: Partial<GroupLogOptions>;
  readonly rules?: DriverRules;
  readonly listener?: MultiRaftListener;
  /** Wraps the drives of a node. */
  readonly wrapIo?: (io: Io, node: number) => Io;
}

export const text = (value: string): Uint8Array => Buffer.from(value);

/** Watches a promise that may take a while. */
export function watched<T>(promise: Promise<T>): { readonly value: T | null; readonly error: CfsError | null } {
  const seen: { value: T | null; error: CfsError | null } = { value: null, error: null };
  promise.then(
    (value) => (seen.value = value),
    (reason: unknown) => (seen.error = CfsError.from(reason)),
  );
  return seen;
}

/** A batch on its way. */
interface Flight {
  readonly from: number;
  readonly to: number;
  readonly batch: readonly PeerItem[];
}

export class ShardNode {
  readonly number: number;
  readonly memory: MemoryIo;
  readonly io: Io;
  readonly disks: Map<number, MachineDisk> = new Map();
  machines: Map<number, TestMachine> = new Map();
  driver: MultiRaft<string> | null = null;
  log: FileGroupLog | null = null;
  /** The log of the life before, for checks of what is on the drive while the node is down. */
  lastLog: FileGroupLog | null = null;
  /** Requests of the drive until the power fails. */
  requestsLeft: number = Number.MAX_SAFE_INTEGER;
  /** Counts crashes: what an earlier life still says is not heard. */
  life = 0;

  constructor(number: number, memory: MemoryIo, io: Io) {
    this.number = number;
    this.memory = memory;
    this.io = io;
  }

  get up(): MultiRaft<string> {
    assert(this.driver !== null, "the node runs");
    return this.driver;
  }
}

export class ShardBed {
  readonly random: Random;
  readonly clock: ManualClock = new ManualClock();
  readonly nodes: ShardNode[] = [];
  readonly #options: BedOptions;
  readonly #stalled: Map<number, (() => void)[]> = new Map();
  readonly #held: Map<number, (() => void)[]> = new Map();
  #flights: Flight[] = [];
  #later: { readonly work: () => void; rounds: number }[] = [];
  /** Part of the requests to drives and states that are done at once; the others take some rounds. */
  promptness = 1;
  lossRate = 0;
  doubleRate = 0;
  /** Deliver in random order. */
  isShuffled = false;
  /** Not delivered. */
  isCut: (from: number, to: number) => boolean = () => false;
  batchCount = 0;

  private constructor(options: BedOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed ?? 1);
  }

  static async start(options: BedOptions = {}): Promise<ShardBed> {
    const bed = new ShardBed(options);
    for (let number = 1; number <= (options.nodes ?? 3); number++) {
      const memory = new MemoryIo({ random: bed.random, schedule: (settle) => bed.#request(number, settle) });
      const node = new ShardNode(number, memory, options.wrapIo?.(memory, number) ?? memory);
      bed.nodes.push(node);
      await bed.boot(number);
    }
    return bed;
  }

  #request(number: number, settle: () => void): void {
    const node = this.nodes[number - 1];
    if (node !== undefined && node.requestsLeft-- === 0) this.crash(number);
    if (this.#stalled.has(number)) this.#stalled.get(number)?.push(settle);
    else this.#soon(settle);
  }

  /** The drive of a node does nothing any more until it is released. */
  stall(number: number): void {
    this.#stalled.set(number, []);
  }

  release(number: number): void {
    const waiting = this.#stalled.get(number) ?? [];
    this.#stalled.delete(number);
    for (const settle of waiting) settle();
  }

  /** Timers of a node that are due wait until resumed; what is delivered to it is read before. */
  holdTimers(number: number): void {
    this.#held.set(number, []);
  }

  resumeTimers(number: number): void {
    const due = this.#held.get(number) ?? [];
    this.#held.delete(number);
    for (const callback of due) callback();
  }

  /** At once, or some rounds of deliveries later. */
  #soon(work: () => void): void {
    if (this.random.next() < this.promptness) queueMicrotask(work);
    else this.#later.push({ work, rounds: 1 + Math.floor(this.random.next() ** 2 * 12) });
  }

  node(number: number): ShardNode {
    return this.nodes[number - 1] as ShardNode;
  }

  async boot(number: number): Promise<void> {
    const node = this.node(number);
    const life = ++node.life;
    const isAlive = (): boolean => node.life === life;
    const io = ofLife(node.io, isAlive);
    node.machines = new Map();
    const log = await FileGroupLog.open(
      { io, crc32c: crc32cTable, clock: this.#clockOf(number, isAlive), random: this.random, logger: silentLogger },
      {
        directory: "/groups",
        clusterId: "c0".repeat(16),
        nodeId: String(number).padStart(32, "0"),
        fileBytes: 256 << 10,
        frameBytes: 128 << 10,
        ...this.#options.log,
      },
    );
    node.log = log;
    const rules = this.#options.rules;
    const driver = await MultiRaft.open<string>(
      {
        log,
        peers: {
          send: (to, batch) => {
            if (!isAlive()) return;
            this.batchCount++;
            this.#flights.push({ from: number, to, batch });
          },
        },
        placement: { self: () => number, peerOf: (_, replica) => replica },
        openMachine: async (group, snapshotIndex) => {
          const disk = node.disks.get(group) ?? new MachineDisk();
          node.disks.set(group, disk);
          const machine = new TestMachine(disk, snapshotIndex, isAlive, () => new Promise((resolve) => this.#soon(resolve)));
          node.machines.set(group, machine);
          return machine;
        },
        clock: this.#clockOf(number, isAlive),
        random: this.random,
        logger: silentLogger,
        crc32c: crc32cTable,
        ...(rules === undefined ? {} : { rules }),
      },
      { ...multiRaftDefaults, ...this.#options.driver },
      this.#options.listener ?? {},
    );
    node.driver = driver;
  }

  #clockOf(number: number, isAlive: () => boolean): Clock {
    const { clock } = this;
    const fire = (callback: () => void): void => {
      if (!isAlive()) return;
      const held = this.#held.get(number);
      if (held === undefined) callback();
      else held.push(() => fire(callback));
    };
    return {
      wallTime: () => clock.wallTime(),
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, callback) => clock.after(delayMs, () => fire(callback)),
    };
  }

  /** Power fails on a node: what was not durable may be gone. */
  crash(number: number): void {
    const node = this.node(number);
    node.life++;
    node.memory.crash();
    node.requestsLeft = Number.MAX_SAFE_INTEGER;
    node.lastLog = node.log ?? node.lastLog;
    node.driver = null;
    node.log = null;
    // What it sent before is on its way.
    this.#flights = this.#flights.filter(({ to }) => to !== number);
  }

  async closeAll(): Promise<void> {
    for (const node of this.nodes) {
      await node.driver?.close();
      await node.log?.close();
    }
  }

  async createGroup(group: number, voters: readonly number[] = this.nodes.map(({ number }) => number)): Promise<void> {
    const configuration: Configuration = { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    for (const number of voters) await this.node(number).up.createGroup(group, configuration);
  }

  /** Lets everything happen that can happen without time passing. */
  async settle(rounds = 30): Promise<void> {
    for (let quiet = 0; rounds > 0 && quiet < 3; rounds--) {
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.#deliver() ? 0 : quiet + 1;
    }
  }

  #deliver(): boolean {
    const later = this.#later;
    this.#later = [];
    for (const one of later) {
      if (--one.rounds <= 0) one.work();
      else this.#later.push(one);
    }
    const flights = this.#flights;
    this.#flights = [];
    if (this.isShuffled) flights.sort(() => this.random.next() - 0.5);
    for (const { from, to, batch } of flights) {
      if (this.isCut(from, to) || this.random.next() < this.lossRate) continue;
      this.nodes[to - 1]?.driver?.receive(from, batch);
      if (this.random.next() < this.doubleRate) this.#flights.push({ from, to, batch });
    }
    return flights.length > 0 || later.length > 0;
  }

  async ticks(count: number): Promise<void> {
    for (let tick = 0; tick < count; tick++) {
      this.clock.advance(this.#options.driver?.tickMs ?? multiRaftDefaults.tickMs);
      await this.settle();
    }
  }

  leaderOf(group: number): number | null {
    let leader: { number: number; term: number } | null = null;
    for (const { number, driver } of this.nodes) {
      if (driver === null || !driver.groups.includes(group) || driver.broken !== null) continue;
      const status = driver.status(group);
      if (status.role === "leader" && status.term > (leader?.term ?? 0)) leader = { number, term: status.term };
    }
    return leader?.number ?? null;
  }

  async elect(group: number, ticksMax = 200): Promise<number> {
    for (let tick = 0; tick < ticksMax; tick++) {
      const leader = this.leaderOf(group);
      if (leader !== null) return leader;
      await this.ticks(1);
    }
    throw new Error(`group ${group} has no leader after ${ticksMax} ticks`);
  }
}

/** The drive as one life of a node sees it: a dead process, whose promises still run here, reaches it no more. */
function ofLife(io: Io, isAlive: () => boolean): Io {
  return new Proxy(io, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...given: unknown[]): unknown => {
        if (!isAlive()) return Promise.reject(new CfsError("IO", "the process is dead"));
        return Reflect.apply(member, target, given);
      };
    },
  });
}
