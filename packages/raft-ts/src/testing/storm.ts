/**
 * A group in a storm: random delivery, loss, duplication, reordering, crashes between sending and storing, partitions, changes of the configuration,
 * transfers, reads, compaction, quiet and awakening; then calm, in which the group must come back to work.
 *
 * A run is a function of its seed. Safety is checked by Cluster after each step and, for reads and the gate, here. This is the package's own small
 * simulator; the one in testkit drives real hosts, disks and clocks.
 */
import { assert } from "@cfs/core";
import type { ConfigurationStep } from "../configuration.ts";
import type { NodeId } from "../entry.ts";
import type { RaftOptions } from "../options.ts";
import type { Ready } from "../ready.ts";
import type { RaftRules } from "../rules.ts";
import { Cluster, type Replica, seededRandom } from "./cluster.ts";

export interface StormOptions {
  readonly seed: number;
  readonly steps: number;
  readonly rules?: RaftRules;
  readonly raft?: Partial<RaftOptions>;
}

export interface StormResult {
  readonly committed: number;
  readonly reads: number;
  readonly elections: number;
  readonly snapshots: number;
}

const electionTicks = 6;
const nodes: readonly NodeId[] = [1, 2, 3, 4, 5];

export class Storm {
  readonly cluster: Cluster;
  readonly #chance: () => number;
  readonly #steps: number;
  readonly #isGated: boolean;
  readonly #isLeased: boolean;
  /** Hosts do each Ready in one go. */
  readonly #isPatient: boolean;
  #proposed = 0;
  #committed = 0;
  /** Entries that some leader's host waits for, as index and term, and who asked. */
  #waiting: { readonly id: NodeId; readonly index: number; readonly term: number }[] = [];
  /** "index/term" of what some leader's gate was opened for. */
  readonly #opened = new Set<string>();
  /** Reads on their way: what was committed anywhere when they were asked. */
  readonly #asked = new Map<number, number>();
  #reads = 0;
  #elections = 0;
  #snapshots = 0;
  readonly #actions: readonly (readonly [weight: number, act: () => void])[];

  constructor({ seed, steps, rules, raft }: StormOptions) {
    const random = seededRandom(seed);
    this.#chance = () => random.next();
    this.#steps = steps;
    this.#isGated = raft?.commitGate ?? this.#chance() < 0.3;
    this.#isPatient = this.#chance() < 0.3;
    this.#isLeased = raft?.readMode === "lease";
    const small: Partial<RaftOptions> = {
      electionTicks,
      commitGate: this.#isGated,
      clockDriftTicks: 0,
      preVote: this.#chance() < 0.7,
      checkQuorum: this.#chance() < 0.8 || this.#isLeased,
      messageBytesMax: this.#chance() < 0.5 ? 60 : 1 << 16,
      inflightMessagesMax: this.#chance() < 0.5 ? 2 : 64,
      snapshotChunkBytes: 50,
      snapshotChunksMax: 3,
      committedBytesMax: 200,
      ...raft,
    };
    this.cluster = new Cluster({ raft: small, seed, ...(rules === undefined ? {} : { rules }) });
    const voters = this.#chance() < 0.5 ? [1, 2, 3] : [1, 2, 3, 4, 5];
    for (const id of nodes) {
      if (voters.includes(id)) this.cluster.add(id, { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false });
      else this.cluster.add(id);
    }
    this.cluster.onReady = (id, ready) => this.#observe(id, ready);
    this.#actions = this.#weights();
  }

  #weights(): readonly (readonly [number, () => void])[] {
    // From a breeze, in which the group gets far, to a hurricane, in which it hardly elects.
    const faults = [0.05, 0.3, 1, 1][Math.floor(this.#chance() * 4)] as number;
    return [
      [10, () => this.#tick()],
      [50, () => this.#handle()],
      [70, () => this.#deliverOne()],
      [8, () => this.#propose()],
      [4, () => this.#read()],
      [0.4 * faults, () => this.cluster.crash(this.#node())],
      [0.15 * faults, () => this.#atLeader(({ id }) => this.cluster.crash(id))],
      [0.15 * faults, () => this.#atLeader(({ id }) => this.cluster.isolate(id))],
      [0.3 * faults, () => this.#up()?.raft.reportUnreachable(this.#node())],
      [1, () => this.#restart()],
      [0.7 * faults, () => this.cluster.cut(this.#node(), this.#node())],
      [0.7, () => this.cluster.heal(this.#node(), this.#node())],
      [0.1 * faults, () => this.cluster.isolate(this.#node())],
      [0.3, () => this.cluster.healAll()],
      [0.5 * faults, () => this.#change()],
      [0.3 * faults, () => this.#up()?.raft.transferLeadership(this.#node())],
      [0.1 * faults, () => this.#up()?.raft.campaign()],
      [0.6, () => this.#compact()],
      [0.5, () => this.#up()?.raft.quiesce([])],
      [0.2, () => this.#up()?.raft.wake()],
      [3, () => this.#askGate()],
      [3, () => this.#answerGate()],
      [0.5, () => this.#calm(10)],
    ];
  }

  run(): StormResult {
    const total = this.#actions.reduce((sum, [weight]) => sum + weight, 0);
    for (let step = 0; step < this.#steps; step++) {
      let at = this.#chance() * total;
      const action = this.#actions.find(([weight]) => (at -= weight) < 0);
      action?.[1]();
    }
    this.#proveProgress();
    return { committed: this.#committed, reads: this.#reads, elections: this.#elections, snapshots: this.#snapshots };
  }

  #node(): NodeId {
    return nodes[Math.floor(this.#chance() * nodes.length)] as NodeId;
  }

  #up(): Replica | null {
    const replica = this.cluster.at(this.#node());
    return replica.isUp ? replica : null;
  }

  #atLeader(act: (leader: Replica) => void): void {
    const leader = this.cluster.leader();
    if (leader !== 0) act(this.cluster.at(leader));
  }

  /** Clocks run at their own pace; in lease mode, which stands on clocks, all at the same. */
  #tick(): void {
    if (!this.#isLeased) this.#up()?.raft.tick();
    else if (this.#chance() < 0.3) for (const { isUp, raft } of this.cluster.replicas.values()) if (isUp) raft.tick();
  }

  #handle(): void {
    const replica = this.#up();
    if (replica === null) return;
    // The host takes its time: other things happen between its steps, and it may die there.
    const { stage } = replica;
    const messages = stage === "idle" ? replica.begin() : stage === "begun" ? replica.store() : replica.finish();
    this.cluster.network.push(...messages);
    if (this.#isPatient) this.cluster.process(replica.id);
    this.cluster.check(replica);
  }

  #deliverOne(): void {
    const { network } = this.cluster;
    if (network.length === 0) return;
    const at = Math.floor(this.#chance() * Math.min(network.length, 8));
    const message = network[at];
    const isDoubled = this.#chance() < 0.04;
    if (this.#chance() < 0.05) network.splice(at, 1);
    else this.cluster.deliver((candidate) => candidate === message);
    if (isDoubled && message !== undefined) this.cluster.network.push(message);
  }

  #propose(): void {
    const replica = this.#up();
    if (replica?.raft.isLeader !== true) return;
    for (let count = this.#chance() < 0.2 ? 6 : 1; count > 0; count--) {
      this.#proposed++;
      replica.raft.propose(Buffer.from(`c${this.#proposed}`));
    }
  }

  #read(): void {
    for (const { isUp, raft } of this.cluster.replicas.values()) {
      if (!isUp || this.#chance() < 0.5) continue;
      const context = this.#asked.size + 1;
      this.#asked.set(context, this.#committed);
      raft.readIndex(context);
    }
  }

  #restart(): void {
    const replica = this.cluster.at(this.#node());
    if (!replica.isUp) replica.restart();
  }

  #change(): void {
    const types = ["addVoter", "addLearner", "remove"] as const;
    const steps: ConfigurationStep[] = [];
    for (let count = this.#chance() < 0.5 ? 1 : 2; count > 0; count--)
      steps.push({ type: types[Math.floor(this.#chance() * 3)] ?? "remove", node: this.#node() });
    for (const { isUp, raft } of this.cluster.replicas.values())
      if (isUp && raft.isLeader) raft.proposeConfiguration({ type: "change", steps, transition: "auto" });
  }

  #compact(): void {
    const replica = this.#up();
    if (replica?.stage === "idle" && replica.appliedIndex >= replica.log.firstIndex) replica.compact(Math.floor(this.#chance() * 10));
  }

  /** A leader's host asks whether what an entry waits for is there. */
  #askGate(): void {
    if (!this.#isGated) return;
    for (const { id, isUp, raft, log } of this.cluster.replicas.values()) {
      if (!isUp || !raft.isLeader) continue;
      const index = log.lastIndex - Math.floor(this.#chance() * 3);
      const term = log.term(index);
      if (term !== null) this.#waiting.push({ id, index, term });
    }
  }

  /** The answer to one of the last questions comes at last: it may be for a leader of long ago. */
  #answerGate(): void {
    const at = Math.max(0, this.#waiting.length - 1 - Math.floor(this.#chance() ** 3 * 20));
    const [answer] = this.#waiting.splice(at, 1);
    if (answer !== undefined) this.#openGate(this.cluster.at(answer.id), answer.index, answer.term);
  }

  #openGate({ raft, log, isUp }: Replica, index: number, term: number): void {
    if (!isUp) return;
    const isRight = raft.isLeader && log.term(index) === term;
    for (let at = index; isRight && at >= log.firstIndex && !this.#opened.has(`${at}/${log.term(at)}`); at--) {
      this.#opened.add(`${at}/${log.term(at)}`);
    }
    raft.openCommitGate(index, term);
  }

  /** A few rounds in which everything arrives. */
  #calm(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.cluster.process();
      this.cluster.deliver();
    }
  }

  #observe(_id: NodeId, ready: Ready): void {
    if (ready.softState?.role === "leader") this.#elections++;
    if (ready.snapshot !== null) this.#snapshots++;
    for (const { index, term } of ready.committed) {
      assert(!this.#isGated || this.#opened.has(`${index}/${term}`), "nothing is applied that the gate holds back");
      this.#committed = Math.max(this.#committed, index);
    }
    for (const { context, index } of ready.reads) {
      assert(index >= (this.#asked.get(context) ?? 0), "a read sees everything that was committed before it was asked");
      this.#reads++;
    }
  }

  /** All faults end: within a bound there is a leader, and what it takes is applied by every voter. */
  #proveProgress(): void {
    this.cluster.healAll();
    for (const replica of this.cluster.replicas.values()) if (!replica.isUp) replica.restart();
    for (const { raft } of this.cluster.replicas.values()) raft.wake();
    const text = "last";
    for (let tick = 0; tick < electionTicks * 60; tick++) {
      this.cluster.tickAll();
      this.#openAllGates();
      const id = this.cluster.leader();
      if (id === 0) continue;
      const { raft } = this.cluster.at(id);
      raft.propose(Buffer.from(text));
      const { voters } = raft.status().configuration;
      if (voters.every((voter) => this.cluster.at(voter).applied.some((command) => command.text === text))) return;
    }
    const states = [...this.cluster.replicas.values()].map(({ raft }) => JSON.stringify(raft.status()));
    throw new Error(`no progress after the storm:\n${states.join("\n")}`);
  }

  #openAllGates(): void {
    for (const replica of this.cluster.replicas.values()) {
      const { lastIndex } = replica.log;
      this.#openGate(replica, lastIndex, replica.log.term(lastIndex) ?? 0);
    }
    this.cluster.stabilize();
  }
}

export function storm(options: StormOptions): StormResult {
  return new Storm(options).run();
}
