/**
 * One replica of one group on a simulated host: the real Raft core, a log that remembers what was synced, a state machine.
 *
 * The order of the host, as raft-ts asks for it: early messages, store and sync, messages, apply, answer, advance. The write takes simulated time,
 * and meanwhile messages and ticks come in; a crash in it loses what crashes lose.
 */
import { assert } from "@cfs/core";
import { entryKinds, Raft } from "raft-ts";
import type { Configuration, ConfigurationChange, Entry, Message, RaftOptions, RaftRules, Ready, Role, SnapshotChunk } from "raft-ts";

import type { RegisterOutput } from "../../linearizability/index.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import { emptyBatch } from "./bare-log.ts";
import type { BareLog, Batch, StoredSnapshot } from "./bare-log.ts";
import type { RaftChecker } from "./raft-checker.ts";
import { RegisterMachine } from "./register-machine.ts";

/** What the replica asks of its host. */
export interface ReplicaHost {
  readonly node: number;
  readonly group: number;
  readonly checker: RaftChecker;
  readonly random: SimRandom;
  /** Ticks that its clock has counted and the replica has not had. */
  owedTicks(): number;
  send(message: Message): void;
  /** Whether the media of a quorum of one of these configurations hold the entry. */
  isOnQuorum(configurations: readonly Configuration[], index: number, term: number): boolean;
  /** Calls back when what was stored is synced. */
  sync(done: () => void): void;
  note(what: string, ...details: readonly (number | string)[]): void;
}

export interface ReplicaSettings {
  readonly options: Omit<RaftOptions, "id" | "applied">;
  readonly rules: RaftRules | null;
  readonly snapshotEntries: number;
  readonly snapshotPaddingBytes: number;
}

/** How a proposal or a read ended; output null: it certainly never happened. */
export type Ending = (output: RegisterOutput | null, index: number) => void;

interface PendingProposal {
  readonly term: number;
  readonly end: Ending;
}

interface PendingRead {
  readonly key: string;
  /** Committed, as far as anybody knew, when it was asked for. */
  readonly knownIndex: number;
  readonly end: Ending;
  /** Set when the quorum has spoken. */
  index: number | null;
}

export class BareReplica {
  readonly raft: Raft;
  readonly log: BareLog;
  readonly #host: ReplicaHost;
  readonly #settings: ReplicaSettings;
  readonly #proposals: Map<number, PendingProposal> = new Map();
  readonly #reads: Map<number, PendingRead> = new Map();
  #machine: RegisterMachine;
  #staged: SnapshotChunk[] = [];
  #isWriting = false;
  #isRunning = true;
  #readContext = 0;
  role: Role = "follower";
  /** Up to here the host is about to open the commit gate. */
  gateAsked = 0;
  /** Index and term of what the host has said may be committed. */
  #opened: { readonly index: number; readonly term: number }[] = [];
  /** When it became leader. */
  #electedCommit = 0;
  #configurationIndex = 0;
  /** While a write is under way: what the core takes for committed. */
  #commitSeen = 0;

  constructor(host: ReplicaHost, settings: ReplicaSettings, log: BareLog) {
    this.#host = host;
    this.#settings = settings;
    this.log = log;
    this.#machine = RegisterMachine.restore(log.ownSnapshot.bytes);
    assert(this.#machine.appliedIndex === log.ownSnapshot.meta.index, "a snapshot holds the state of its index");
    const parts = { storage: log, random: host.random };
    this.raft = new Raft(settings.rules === null ? parts : { ...parts, rules: settings.rules }, {
      ...settings.options,
      id: host.node,
      applied: this.#machine.appliedIndex,
    });
    host.checker.commit(host.node, log.hardState.commit, true);
  }

  get appliedIndex(): number {
    return this.#machine.appliedIndex;
  }

  get digest(): number {
    return this.#machine.digest;
  }

  tick(): void {
    this.raft.tick();
    this.pump();
  }

  step(message: Message): void {
    assert(this.#host.owedTicks() === 0, "a host gives the ticks that are due before a message");
    this.raft.step(message);
    if (this.#isWriting && this.role === "leader") this.#checkCommit();
    this.pump();
  }

  /** `end` is called when the entry of this place is applied here, or another one in its place; never if that does not happen. */
  propose(data: Uint8Array, end: Ending): { readonly index: number; readonly term: number } | { readonly leader: number } {
    const result = this.raft.propose(data);
    if (!result.ok) return { leader: result.leader };
    this.#proposals.set(result.index, { term: result.term, end });
    this.pump();
    return result;
  }

  read(key: string, end: Ending): boolean {
    assert(this.#host.owedTicks() === 0, "a host gives the ticks that are due before a read");
    const context = ++this.#readContext;
    this.#reads.set(context, { key, knownIndex: this.#host.checker.committedIndex, end, index: null });
    const result = this.raft.readIndex(context);
    if (!result.ok) this.#reads.delete(context);
    this.pump();
    return result.ok;
  }

  change(change: ConfigurationChange): boolean {
    const { ok } = this.raft.proposeConfiguration(change);
    this.pump();
    return ok;
  }

  /** What this entry and those before it wait for is there; it may have been replaced meanwhile. */
  openGate(index: number, term: number): void {
    if (!this.#isRunning) return;
    this.#opened.push({ index, term });
    this.raft.openCommitGate(index, term);
    this.pump();
  }

  /** The life ends: nothing of it happens any more. */
  stop(): void {
    this.#isRunning = false;
  }

  /** Does what the core wants done, up to the next write. */
  pump(): void {
    while (this.#isRunning && !this.#isWriting && this.raft.hasReady) {
      const ready = this.raft.ready();
      if (ready === null) return;
      for (const message of ready.earlyMessages) this.#send(message);
      const batch = this.#batchOf(ready);
      if (batch === null) {
        this.#finish(ready, emptyBatch);
        continue;
      }
      this.log.store(batch);
      if (!ready.mustSync) {
        this.#finish(ready, batch);
        continue;
      }
      this.#isWriting = true;
      this.#commitSeen = ready.hardState?.commit ?? this.log.hardState.commit;
      this.#host.sync(() => {
        if (!this.#isRunning) return;
        this.log.sync();
        this.#isWriting = false;
        this.#finish(ready, batch);
        this.pump();
      });
    }
  }

  #batchOf(ready: Ready): Batch | null {
    for (const chunk of ready.snapshotChunks) {
      if (chunk.offset === 0) this.#staged = [];
      this.#staged.push(chunk);
    }
    const snapshot = ready.snapshot === null ? null : this.#assembled(ready.snapshot.index);
    if (ready.hardState === null && snapshot === null && ready.entries.length === 0) return null;
    return { hardState: ready.hardState, snapshot, compaction: null, entries: ready.entries };
  }

  #assembled(index: number): StoredSnapshot {
    let atBytes = 0;
    for (const chunk of this.#staged) {
      assert(chunk.offset === atBytes && chunk.meta.index === index, "chunks of a snapshot follow each other");
      atBytes += chunk.bytes.length;
    }
    const last = this.#staged.at(-1);
    assert(last !== undefined && last.isLast, "a snapshot that is installed is whole");
    const bytes = new Uint8Array(atBytes);
    for (const chunk of this.#staged) bytes.set(chunk.bytes, chunk.offset);
    this.#staged = [];
    return { meta: last.meta, bytes };
  }

  #finish(ready: Ready, batch: Batch): void {
    const { checker, node } = this.#host;
    this.log.confirm(batch);
    if (batch.snapshot !== null) this.#install(batch.snapshot);
    const first = batch.entries[0];
    if (first !== undefined) checker.stored(node, batch.entries, this.log.term(first.index - 1) ?? 0);
    if (ready.hardState !== null) checker.commit(node, ready.hardState.commit, false);
    this.#heed(ready);
    if (this.role === "leader") this.#checkLeader(ready);
    for (const message of ready.messages) this.#send(message);
    for (const entry of ready.committed) this.#apply(entry);
    for (const { context, index } of ready.reads) {
      const read = this.#reads.get(context);
      if (read === undefined) continue;
      checker.read(node, index, read.knownIndex);
      read.index = index;
    }
    for (const context of ready.readsRefused) this.#reads.delete(context);
    this.#answerReads();
    this.raft.advance(ready);
    this.#compact();
  }

  #heed(ready: Ready): void {
    if (ready.softState === null) return;
    const { role, term, leader } = ready.softState;
    if (role !== this.role || role === "leader") this.#host.note(role, this.#host.group, term, leader);
    if (role === "leader" && this.role !== "leader") {
      this.gateAsked = this.log.hardState.commit;
      this.#electedCommit = this.log.hardState.commit;
      this.#configurationIndex = this.#lastConfigurationIndex();
      this.#host.checker.elected(this.#host.node, term, this.log.lastIndex, (index) => this.log.term(index));
    }
    this.role = role;
  }

  /** While its own write is under way a leader may take for committed only what others hold without it. */
  #checkCommit(): void {
    const { role, commit, term, configuration } = this.raft.status();
    if (role !== "leader" || commit <= this.#commitSeen) return;
    this.#commitSeen = commit;
    const { checker, node } = this.#host;
    checker.durable(node, commit, this.#host.isOnQuorum([configuration], commit, this.log.term(commit) ?? term));
  }

  #checkLeader(ready: Ready): void {
    const { checker, node } = this.#host;
    const { commit, term } = this.log.hardState;
    if (this.#settings.options.commitGate) checker.gate(node, commit, this.#openedIndex(commit));
    else if (commit > this.#electedCommit) checker.counted(node, commit, this.log.term(commit), term);
    for (const entry of ready.entries) {
      if (entry.kind !== entryKinds.configuration) continue;
      if (entry.term === term) checker.changed(node, entry, this.#configurationIndex, commit, this.log.term(commit));
      this.#configurationIndex = entry.index;
    }
  }

  /** How far the host let this leader commit. */
  #openedIndex(commit: number): number {
    let last = this.#electedCommit;
    for (const { index, term } of this.#opened) if (this.log.term(index) === term) last = Math.max(last, index);
    this.#opened = this.#opened.filter(({ index }) => index >= commit);
    return last;
  }

  /** Votes and acknowledged entries are promises: they must outlive a power failure before others hear of them, as long as their term is not over. */
  #send(message: Message): void {
    const { checker, node } = this.#host;
    const { term, vote } = this.log.durableHardState;
    if (message.type === "voteReply" && message.granted && !message.preVote) {
      checker.answered(node, `its vote in term ${message.term}`, term > message.term || (term === message.term && vote === message.to));
    } else if (message.type === "appendReply" && !message.rejected) {
      // Acknowledged and truncated by a later leader within one Ready: as if the answer had been slow.
      checker.answered(node, `entry ${message.index}`, term > message.term || message.index <= this.log.durableLastIndex);
    }
    this.#host.send(message);
  }

  #apply(entry: Entry): void {
    const { checker, node } = this.#host;
    if (checker.isNews(entry.index)) checker.durable(node, entry.index, this.#isOnQuorum(entry));
    const output = this.#machine.apply(entry.index, entry.term, entry.kind === entryKinds.command ? entry.data : null);
    checker.applied(node, this.log.hardState.term, entry, this.#machine.digest);
    const pending = this.#proposals.get(entry.index);
    if (pending === undefined) return;
    this.#proposals.delete(entry.index);
    if (pending.term === entry.term) {
      checker.acknowledged(node, entry.index, entry.term);
      pending.end(output, entry.index);
    } else pending.end(null, entry.index);
  }

  /** By any configuration that was in force since: which of them counted, only the leader knows. */
  #isOnQuorum({ index, term }: Entry): boolean {
    const { lastIndex } = this.log;
    if (this.#host.isOnQuorum([this.raft.configurationAt(index), this.raft.configurationAt(lastIndex)], index, term)) return true;
    const between = Array.from({ length: lastIndex - index }, (_, at) => this.raft.configurationAt(index + at));
    return this.#host.isOnQuorum(between, index, term);
  }

  #answerReads(): void {
    for (const [context, read] of this.#reads) {
      if (read.index === null || read.index > this.#machine.appliedIndex) continue;
      this.#reads.delete(context);
      read.end({ kind: "value", value: this.#machine.read(read.key) }, read.index);
    }
  }

  /** Of the last configuration in the log before what is new in this leadership; 0 when it is older than the log. */
  #lastConfigurationIndex(): number {
    const { firstIndex, lastIndex } = this.log;
    const entries = lastIndex < firstIndex ? [] : this.log.entries(firstIndex, lastIndex + 1, Number.MAX_SAFE_INTEGER);
    const { term } = this.log.hardState;
    return entries.findLast((entry) => entry.kind === entryKinds.configuration && entry.term < term)?.index ?? 0;
  }

  #install(snapshot: StoredSnapshot): void {
    const { checker, node, group } = this.#host;
    assert(snapshot.meta.index > this.#machine.appliedIndex, "a snapshot brings the state forward");
    this.#machine = RegisterMachine.restore(snapshot.bytes);
    this.#host.note("installed a snapshot", group, snapshot.meta.index);
    checker.state(node, snapshot.meta.index, this.#machine.digest);
    // What was proposed here below the snapshot has ended somewhere else, nobody here knows how.
    for (const index of this.#proposals.keys()) if (index <= snapshot.meta.index) this.#proposals.delete(index);
  }

  #compact(): void {
    const index = this.#machine.appliedIndex;
    if (index - this.log.ownSnapshot.meta.index < this.#settings.snapshotEntries) return;
    const term = this.log.term(index);
    assert(term !== null, "what was applied is in the log");
    const meta = { index, term, configuration: this.raft.configurationAt(index) };
    // Some hosts spare slow followers a snapshot, others do not.
    const dropIndex = this.#host.random.chance(0.5) ? index : Math.min(index, this.raft.compactableIndex());
    const compaction = { meta, bytes: this.#machine.snapshot(this.#settings.snapshotPaddingBytes), dropIndex };
    const batch = { ...emptyBatch, compaction };
    this.log.store(batch);
    this.log.confirm(batch);
  }
}
