/**
 * A few replicas of one group in one process, on a network that a test holds in its hand: nothing moves unless told to.
 *
 * Each replica does exactly what ready.ts prescribes, over a MemoryLog; its state machine is the list of what was applied. Checks the safety
 * properties of Raft (thesis, figure 3.2) after each step, so that every transcript is a test of all of them.
 */
import { assert, type Random } from "@cfs/core";
import type { Configuration } from "../configuration.ts";
import { type Entry, entryKinds, type NodeId } from "../entry.ts";
import { MemoryLog } from "../memory-log.ts";
import type { Message, SnapshotMeta } from "../message.ts";
import type { RaftOptions } from "../options.ts";
import { Raft } from "../raft.ts";
import type { Ready } from "../ready.ts";
import type { RaftRules } from "../rules.ts";

/** Numbers from a seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, bytes: (target) => target.map(() => Math.floor(next() * 256)) };
}

export class Replica {
  readonly id: NodeId;
  /** What the running replica reads, durable or not. */
  log: MemoryLog;
  raft: Raft;
  isUp = true;
  /** Its host does nothing by itself: a test takes each of its steps. */
  isHeld = false;
  /** The state machine: every command that was applied, with its index. */
  applied: { readonly index: number; readonly text: string }[] = [];
  appliedIndex = 0;
  #staged: Uint8Array[] = [];
  /** What survives a crash, and what was stored since without a sync. */
  #durable: MemoryLog;
  #unsynced: Ready[] = [];
  /** What the host is at, between begin() and finish(). */
  #ready: Ready | null = null;
  #isStored = false;
  readonly #create: (log: MemoryLog, applied: number) => Raft;
  readonly onReady: (ready: Ready) => void;

  constructor(id: NodeId, log: MemoryLog, create: (log: MemoryLog, applied: number) => Raft, onReady: (ready: Ready) => void) {
    this.id = id;
    this.log = log;
    this.#durable = log.copy();
    this.onReady = onReady;
    this.#create = create;
    this.raft = create(log, 0);
  }

  /** Memory and what was not synced are lost; the state machine is kept with its index. */
  restart(): void {
    this.isUp = true;
    this.#staged = [];
    this.#unsynced = [];
    this.#ready = null;
    this.#isStored = false;
    this.log = this.#durable.copy();
    this.raft = this.#create(this.log, this.appliedIndex);
  }

  #store(ready: Ready): void {
    this.log.store(ready);
    this.#unsynced.push(ready);
    if (!ready.mustSync) return;
    for (const stored of this.#unsynced) this.#durable.store(stored);
    this.#unsynced = [];
  }

  /** Does all of what one Ready asks for; gives the messages. */
  handle(): readonly Message[] {
    return [...this.begin(), ...this.store(), ...this.finish()];
  }

  /** Takes a Ready; gives the messages that may go out early. */
  begin(): readonly Message[] {
    this.#ready = this.raft.ready();
    return this.#ready?.earlyMessages ?? [];
  }

  /** What the host is at: nothing, storing, or applying. */
  get stage(): "idle" | "begun" | "stored" {
    return this.#ready === null ? "idle" : this.#isStored ? "stored" : "begun";
  }

  /** Stores it; gives the messages that had to wait for that. */
  store(): readonly Message[] {
    const ready = this.#ready;
    if (ready === null || this.#isStored) return [];
    for (const { offset, bytes } of ready.snapshotChunks) {
      if (offset === 0) this.#staged = [];
      this.#staged.push(bytes);
    }
    this.#store(ready);
    if (ready.snapshot !== null) this.#install(ready.snapshot);
    this.#isStored = true;
    return ready.messages;
  }

  /** Applies what is committed, and says that all is done. */
  finish(): readonly Message[] {
    const ready = this.#ready;
    if (ready === null) return [];
    for (const entry of ready.committed) this.#apply(entry);
    this.#ready = null;
    this.#isStored = false;
    this.raft.advance(ready);
    this.onReady(ready);
    return [];
  }

  #apply(entry: Entry): void {
    assert(entry.index === this.appliedIndex + 1, "entries are applied in order, each once");
    this.appliedIndex = entry.index;
    if (entry.kind === entryKinds.command) this.applied.push({ index: entry.index, text: Buffer.from(entry.data).toString() });
  }

  #install(meta: SnapshotMeta): void {
    const bytes = Buffer.concat(this.#staged);
    this.applied = JSON.parse(bytes.toString()) as { index: number; text: string }[];
    this.appliedIndex = meta.index;
    for (const log of [this.log, this.#durable]) log.setSnapshot(meta, bytes);
    this.#staged = [];
  }

  /** A snapshot of what is applied; the log is dropped up to `keep` entries before it. */
  compact(keep: number): void {
    const index = this.appliedIndex;
    const configuration = this.raft.configurationAt(index);
    const meta = { index, term: this.log.term(index) ?? 0, configuration };
    const base = Math.max(this.log.firstIndex - 1, index - keep);
    for (const log of [this.log, this.#durable]) {
      log.setSnapshot(meta, Buffer.from(JSON.stringify(this.applied)));
      log.compact(base, this.raft.configurationAt(base));
    }
  }
}

export interface ClusterOptions {
  readonly raft?: Partial<RaftOptions>;
  readonly rules?: RaftRules;
  readonly seed?: number;
}

export class Cluster {
  readonly replicas: Map<NodeId, Replica> = new Map();
  /** On their way, oldest first. */
  network: Message[] = [];
  readonly #options: ClusterOptions;
  readonly #cut = new Set<string>();
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed = new Map<number, Entry>();
  readonly #applied = new Map<number, string>();
  /** Hears of each Ready; for transcripts. */
  onReady: (id: NodeId, ready: Ready) => void = () => undefined;
  /** Hears of each message that is dropped. */
  onDrop: (message: Message) => void = () => undefined;

  constructor(options: ClusterOptions = {}) {
    this.#options = options;
  }

  add(id: NodeId, configuration?: Configuration, own: Partial<RaftOptions> = {}): Replica {
    const log = new MemoryLog(configuration);
    const { raft, rules, seed = 1 } = this.#options;
    let lives = 0;
    const create = (storage: MemoryLog, applied: number): Raft =>
      new Raft(
        { storage, random: seededRandom(seed * 1000 + id + 7_919 * lives++), ...(rules === undefined ? {} : { rules }) },
        { ...raft, ...own, id, applied },
      );
    const replica = new Replica(id, log, create, (ready) => this.onReady(id, ready));
    this.replicas.set(id, replica);
    return replica;
  }

  static of(ids: readonly NodeId[], options: ClusterOptions = {}): Cluster {
    const cluster = new Cluster(options);
    const configuration: Configuration = { voters: ids, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
    for (const id of ids) cluster.add(id, configuration);
    return cluster;
  }

  at(id: NodeId): Replica {
    const replica = this.replicas.get(id);
    assert(replica !== undefined, `replica ${id} is there`);
    return replica;
  }

  raft(id: NodeId): Raft {
    return this.at(id).raft;
  }

  /** From now on messages from `from` to `to` are lost. */
  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(from: NodeId, to: NodeId): void {
    this.#cut.delete(`${from}>${to}`);
  }

  healAll(): void {
    this.#cut.clear();
  }

  isolate(id: NodeId): void {
    for (const other of this.replicas.keys()) {
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  crash(id: NodeId): void {
    this.at(id).isUp = false;
  }

  /** Lets each replica do what it wants to do now; its messages are then on their way. */
  process(only?: NodeId): void {
    for (const replica of this.replicas.values()) {
      if (!replica.isUp || replica.isHeld || (only !== undefined && replica.id !== only)) continue;
      this.network.push(...replica.store(), ...replica.finish());
      while (replica.raft.hasReady) this.network.push(...replica.handle());
      this.check(replica);
    }
  }

  /** Delivers the messages that are on their way now (those that match), and none that they cause. */
  deliver(matches: (message: Message) => boolean = () => true): number {
    const now = this.network;
    this.network = [];
    let count = 0;
    for (const message of now) {
      if (!matches(message)) this.network.push(message);
      else if (this.#deliver(message)) count++;
    }
    return count;
  }

  #deliver(message: Message): boolean {
    const target = this.replicas.get(message.to);
    if (target === undefined || !target.isUp || this.#cut.has(`${message.from}>${message.to}`)) {
      this.onDrop(message);
      return false;
    }
    target.raft.step(message);
    return true;
  }

  /** Until nothing moves any more. */
  stabilize(roundsMax = 1000): void {
    for (let round = 0; round < roundsMax; round++) {
      this.process();
      if (this.network.length === 0) return;
      this.deliver();
    }
    throw new Error(`the cluster is not quiet after ${roundsMax} rounds`);
  }

  tick(id: NodeId, count: number): void {
    for (let at = 0; at < count; at++) {
      this.raft(id).tick();
      this.process(id);
    }
  }

  /** One tick of everybody, then everything is delivered. */
  tickAll(count = 1): void {
    for (let at = 0; at < count; at++) {
      for (const { isUp, raft } of this.replicas.values()) if (isUp) raft.tick();
      this.stabilize();
    }
  }

  leader(): NodeId {
    const leaders = [...this.replicas.values()].filter(({ isUp, raft }) => isUp && raft.isLeader);
    leaders.sort((left, right) => right.raft.status().term - left.raft.status().term);
    return leaders[0]?.id ?? 0;
  }

  /** Election Safety, State Machine Safety, Log Matching of what is committed, Leader Completeness. */
  check({ id, raft, log, applied, appliedIndex }: Replica): void {
    const { term, commit, role, stableIndex, firstIndex } = raft.status();
    if (role === "leader") {
      assert((this.#leaders.get(term) ?? id) === id, `term ${term} has one leader`);
      if (!this.#leaders.has(term)) this.#checkComplete(id, log);
      this.#leaders.set(term, id);
    }
    assert(appliedIndex <= commit, "only what is committed is applied");
    for (const { index, text } of applied) {
      assert((this.#applied.get(index) ?? text) === text, `command ${index} is the same everywhere`);
      this.#applied.set(index, text);
    }
    const end = Math.min(commit, stableIndex, log.lastIndex);
    for (let index = Math.max(log.firstIndex, firstIndex); index <= end; index++) {
      const entry = log.entries(index, index + 1, 1)[0] as Entry;
      const before = this.#committed.get(index);
      if (before === undefined) this.#committed.set(index, entry);
      else if (before !== entry)
        assert(before.term === entry.term && Buffer.compare(before.data, entry.data) === 0, `entry ${index} is committed once`);
    }
  }

  #checkComplete(id: NodeId, log: MemoryLog): void {
    for (const [index, { term }] of this.#committed) {
      const own = index < log.firstIndex ? term : log.term(index);
      assert(own === term, `leader ${id} has entry ${index}, which is committed`);
    }
  }
}
