/**
 * One replica of one group: Raft, its durable log, its state, and who waits for it. The driver (multi-raft.ts) calls it in turns.
 *
 * A turn of a replica: collect (what must be written, what may be sent at once), the write that all groups share, finish (send the rest, apply,
 * answer). A Ready that carries parts of a snapshot is staged before the write and activated after it, aside from the turns of the others;
 * the log decides which state counts, so a crash at any point leaves the old state or the new one.
 */
import { assert, CfsError } from "@cfs/core";
import { entryKinds } from "raft-ts";
import type { Entry, HardState, LogStorage, Raft, Ready, SnapshotMeta, SnapshotSource, SoftState } from "raft-ts";
import { decodeEnvelope } from "./envelope-format.ts";
import type { DriverRules } from "./driver-rules.ts";
import type { GroupEntries } from "./group-entries.ts";
import { noUpdate } from "./group-log.ts";
import type { GroupId, GroupUpdate } from "./group-log.ts";
import { PayloadDesk } from "./payload-desk.ts";
import type { PayloadBudget } from "./payload-desk.ts";
import type { PeerItem } from "./peers.ts";
import type { MultiRaftListener, MultiRaftOptions, MultiRaftParts } from "./shard-options.ts";
import { SnapshotStream } from "./snapshot-stream.ts";
import type { SnapshotBudget } from "./snapshot-stream.ts";
import type { AppliedCommand, SnapshotWriter, StateMachine } from "./state-machine.ts";
import { Waiters } from "./waiters.ts";

/** What one group does in a turn. */
export interface Work<Result> {
  readonly replica: GroupReplica<Result>;
  readonly ready: Ready | null;
  readonly update: GroupUpdate;
  /** Null when nothing must be durable before the turn goes on. */
  readonly mustWrite: boolean;
}

export interface ReplicaParts<Result> {
  readonly driver: MultiRaftParts<Result>;
  readonly rules: DriverRules;
  readonly makeRaft: NonNullable<MultiRaftParts<Result>["makeRaft"]>;
  readonly options: MultiRaftOptions;
  readonly listener: MultiRaftListener;
  readonly snapshotBudget: SnapshotBudget;
  readonly payloadBudget: PayloadBudget;
  readonly send: (group: GroupId, replica: number, item: PeerItem) => void;
  /** The group has something to do. */
  readonly wake: (replica: GroupReplica<Result>) => void;
  readonly fail: (reason: CfsError) => void;
  /** Is the node of that replica up, as far as is known? */
  readonly isUp: (group: GroupId, replica: number) => boolean;
}

export class GroupReplica<Result> {
  readonly group: GroupId;
  readonly self: number;
  readonly raft: Raft;
  readonly desk: PayloadDesk;
  readonly waiters: Waiters<Result>;
  readonly #parts: ReplicaParts<Result>;
  readonly #entries: GroupEntries;
  readonly #machine: StateMachine<Result>;
  #soft: SoftState = { role: "follower", leader: 0, term: 0 };
  #appliedIndex: number;
  /** What changed in the hard state but need not be durable yet. */
  #lazyHardState: HardState | null = null;
  /** A stream whose leader went away stays here until the next one begins. */
  #incoming: SnapshotWriter | null = null;
  /** The state is being replaced. */
  #isActivating = false;
  #compaction: SnapshotMeta | null = null;
  #checkpoint: Promise<void> | null = null;
  /** Not looked at again before the log has grown to this. */
  #compactAtBytes: number;
  #compactAtEntries: number;
  #idleTicks = 0;
  /** Its Ready is being staged, written or activated. */
  isBusy = false;
  /** Woken meanwhile: to be looked at when that is done. */
  isWoken = false;
  isClosed = false;

  private constructor(parts: ReplicaParts<Result>, group: GroupId, entries: GroupEntries, machine: StateMachine<Result>) {
    this.group = group;
    this.self = parts.driver.placement.self(group);
    this.#parts = parts;
    this.#entries = entries;
    this.#machine = machine;
    this.#appliedIndex = machine.appliedIndex;
    this.#compactAtBytes = parts.options.compactBytes;
    this.#compactAtEntries = parts.options.compactEntries;
    this.waiters = new Waiters(parts.rules, parts.options.readTicks);
    this.desk = new PayloadDesk(
      {
        group,
        self: this.self,
        entries,
        rules: parts.rules,
        crc32c: parts.driver.crc32c,
        read: (index) => parts.driver.log.readPayload(group, index),
        send: (replica, item) => parts.send(group, replica, item),
        wake: () => this.#gateMoved(),
        budget: parts.payloadBudget,
      },
      { nearBytesMax: parts.options.payloadBytesMax, mateTicks: parts.options.mateTicks },
    );
    const options = { ...parts.options.raft, id: this.self, applied: machine.appliedIndex, commitGate: true };
    this.raft = parts.makeRaft({ storage: this.#storage(), random: parts.driver.random }, options);
    this.desk.advance(this.#appliedIndex);
  }

  /** CORRUPT when state and log do not fit together. */
  static async open<Result>(parts: ReplicaParts<Result>, group: GroupId): Promise<GroupReplica<Result>> {
    const entries = parts.driver.log.groups.get(group);
    assert(entries !== undefined, "a group that is opened is in the log");
    const machine = await parts.driver.openMachine(group, entries.snapshot.index);
    const { appliedIndex } = machine;
    if (appliedIndex < entries.snapshot.index || appliedIndex > entries.lastIndex) {
      await machine.close();
      const log = `its log has ${entries.firstIndex} to ${entries.lastIndex}`;
      throw new CfsError("CORRUPT", `the state of group ${group} is at entry ${appliedIndex}, but ${log}: one of them was lost`);
    }
    return new GroupReplica(parts, group, entries, machine);
  }

  #storage(): LogStorage {
    const entries = this.#entries;
    return {
      initial: () => {
        const { hardState, configuration } = entries;
        return { hardState: { ...hardState, commit: Math.max(hardState.commit, this.#appliedIndex) }, configuration };
      },
      get firstIndex() {
        return entries.firstIndex;
      },
      get lastIndex() {
        return entries.lastIndex;
      },
      term: (index) => entries.term(index),
      entries: (begin, end, bytesMax) => entries.entries(begin, end, bytesMax),
      snapshot: () => this.#openSnapshot(),
    };
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get role(): SoftState["role"] {
    return this.#soft.role;
  }

  get term(): number {
    return this.#soft.term;
  }

  get leader(): number {
    return this.#soft.leader;
  }

  isPayloadInUse(index: number): boolean {
    return this.#machine.isPayloadInUse(index);
  }

  #openSnapshot(): SnapshotSource | null {
    if (this.isClosed || this.#isActivating) return null;
    const reader = this.#machine.openSnapshot();
    const { index } = reader;
    const term = this.#entries.term(index);
    if (index !== this.#appliedIndex || term === null) {
      reader.close();
      return null;
    }
    const meta = { index, term, configuration: this.raft.configurationAt(index) };
    return new SnapshotStream(
      meta,
      { reader, budget: this.#parts.snapshotBudget },
      {
        ready: () => {
          if (this.isClosed) return;
          this.raft.resumeSnapshots();
          this.#parts.wake(this);
        },
        failed: (reason) => this.#parts.driver.logger.warn("a snapshot cannot be read", { group: this.group, reason: reason.message }),
      },
    );
  }

  #gateMoved(): void {
    if (this.isClosed) return;
    this.#openGate();
    this.#parts.wake(this);
  }

  /** Entries are asked about by their names, which the log here knows of what is durable; for the rest the gate opens when it is written. */
  #openGate(): void {
    if (this.#soft.role !== "leader") return;
    const index = Math.min(this.desk.gateIndex, this.#entries.lastIndex);
    this.raft.openCommitGate(index, this.#entries.term(index) ?? 0);
  }

  /** Something was asked of the group: it stays awake. */
  touched(): void {
    this.#idleTicks = 0;
  }

  tick(): void {
    this.raft.tick();
    this.waiters.tick();
    const isUp = (replica: number): boolean => this.#parts.isUp(this.group, replica);
    const isIdle = this.desk.nearBytes > 0 && !this.isBusy && this.raft.status().lastIndex === this.#entries.lastIndex;
    this.desk.tick(this.#soft.leader, isIdle, isUp);
    this.#idleTicks++;
    const { quiesceTicks } = this.#parts.options;
    if (quiesceTicks > 0 && this.#idleTicks >= quiesceTicks && this.#soft.role === "leader" && this.waiters.isEmpty) {
      const { progress } = this.raft.status();
      this.raft.quiesce(progress.map(({ node }) => node).filter((node) => !isUp(node)));
    }
  }

  /** What is to be done now; null when nothing is. Messages that need not wait are sent. */
  collect(): Work<Result> | null {
    const ready = this.raft.ready();
    if (ready !== null) this.#begin(ready);
    const entries = ready?.entries ?? [];
    if (entries.length > 0) this.desk.cut((entries[0] as Entry).index);
    const payloads = this.desk.payloadsFor(entries);
    const snapshot = this.#snapshotUpdate(ready);
    if (ready === null && payloads.length === 0 && snapshot === null) return null;
    const fresh = ready === null ? null : this.#parts.rules.hardStateToStore(ready);
    const hardState = fresh ?? this.#lazyHardState;
    const mustWrite = entries.length > 0 || payloads.length > 0 || snapshot !== null || (fresh !== null && ready?.mustSync === true);
    this.#lazyHardState = mustWrite ? null : hardState;
    const update = { ...noUpdate, group: this.group, hardState: mustWrite ? hardState : null, snapshot, entries, payloads };
    return { replica: this, ready, update, mustWrite };
  }

  #begin(ready: Ready): void {
    if (ready.softState !== null) this.#roleChanged(ready.softState);
    else if (ready.entries.some(({ kind }) => kind === entryKinds.configuration)) this.desk.setVoters(this.#voters());
    if (ready.entries.length > 0 || ready.committed.length > 0) this.#idleTicks = 0;
    for (const message of ready.earlyMessages) this.desk.send(message);
    if (!this.#parts.rules.messagesWait()) for (const message of ready.messages) this.desk.send(message);
    if (!this.#parts.rules.applyWaits()) this.#apply(ready.committed);
  }

  #roleChanged(soft: SoftState): void {
    const wasLeader = this.#soft.role === "leader";
    const isNewTerm = soft.term !== this.#soft.term;
    this.#soft = soft;
    if (wasLeader && (soft.role !== "leader" || isNewTerm)) {
      this.waiters.forget(Number.MAX_SAFE_INTEGER);
      this.desk.follow();
    }
    if (soft.role === "leader" && (!wasLeader || isNewTerm)) {
      this.desk.lead(this.#voters(), (replica) => this.#parts.isUp(this.group, replica));
    }
    this.#parts.listener.onRole?.(this.group, soft);
  }

  #voters(): readonly number[] {
    const { voters, votersOutgoing } = this.raft.status().configuration;
    return [...new Set([...voters, ...votersOutgoing])];
  }

  #snapshotUpdate(ready: Ready | null): GroupUpdate["snapshot"] {
    const { rules } = this.#parts;
    const compaction = this.#compaction;
    this.#compaction = null;
    if (ready !== null && ready.snapshot !== null) {
      return rules.storesSnapshot("installed") ? { how: "installed", meta: ready.snapshot } : null;
    }
    if (compaction === null || compaction.index <= this.#entries.snapshot.index) return null;
    return rules.storesSnapshot("compacted") ? { how: "compacted", meta: compaction } : null;
  }

  /** Stores parts of an incoming snapshot; when it is whole, it is durable but not in force. */
  async stage(ready: Ready): Promise<void> {
    for (const chunk of ready.snapshotChunks) {
      if (chunk.offset === 0) {
        this.#incoming?.abort();
        this.#incoming = this.#machine.receiveSnapshot(chunk.meta.index);
      }
      assert(this.#incoming !== null, "a snapshot begins with its first byte");
      await this.#incoming.write(chunk.offset, chunk.bytes);
    }
    if (ready.snapshot !== null) await this.#incoming?.finish();
  }

  /** The log says that the staged snapshot is the state now. */
  async activate(meta: SnapshotMeta): Promise<void> {
    assert(this.#incoming !== null, "what is activated was staged");
    this.#isActivating = true;
    // The state that it makes durable is about to be another.
    await this.#checkpoint;
    await this.#incoming.activate();
    this.#incoming = null;
    this.#isActivating = false;
    assert(this.#machine.appliedIndex === meta.index, "the state is the snapshot's");
    this.#appliedIndex = meta.index;
    this.waiters.forget(meta.index);
    this.#parts.listener.onSnapshotInstalled?.(this.group, meta);
  }

  /** Everything of the work is durable: what had to wait for that is sent. */
  send({ ready, update }: Work<Result>): void {
    this.desk.advance(ready?.committed.at(-1)?.index ?? this.#appliedIndex);
    if (update.snapshot?.how === "compacted") this.#parts.listener.onCompacted?.(this.group, update.snapshot.meta);
    if (ready !== null && this.#parts.rules.messagesWait()) for (const message of ready.messages) this.desk.send(message);
  }

  /** Applies, answers, and confirms to Raft. */
  finish({ ready }: Work<Result>): void {
    this.isBusy = false;
    if (ready !== null) {
      if (this.#parts.rules.applyWaits()) this.#apply(ready.committed);
      this.raft.advance(ready);
      for (const { context, index } of ready.reads) this.waiters.readAnswered(context, index, this.#appliedIndex);
      for (const context of ready.readsRefused) this.waiters.readRefused(context);
      this.#openGate();
    }
    this.#compactWhenLarge();
  }

  #apply(committed: readonly Entry[]): void {
    const last = committed.at(-1);
    if (last === undefined) return;
    const commands: AppliedCommand[] = [];
    for (const { index, term, kind, data } of committed) {
      if (kind !== entryKinds.command) continue;
      const { command, payload } = decodeEnvelope(data);
      commands.push({ index, term, command, payloadBytes: payload?.sizeBytes ?? null });
    }
    const results = this.#machine.apply(commands, last.index);
    assert(results.length === commands.length, "every command has a result");
    this.#appliedIndex = last.index;
    let at = 0;
    for (const entry of committed) {
      this.waiters.applied(entry, entry.kind === entryKinds.command ? (results[at++] as Result) : null);
      if (entry.kind === entryKinds.configuration) this.#parts.listener.onConfiguration?.(this.group, entry.index);
    }
    this.waiters.advanced(this.#appliedIndex);
  }

  #compactWhenLarge(): void {
    const { lastIndex, firstIndex, sizeBytes } = this.#entries;
    if (sizeBytes > this.#compactAtBytes || lastIndex - firstIndex >= this.#compactAtEntries) this.compact();
  }

  /** Makes the state durable and lets the log before it go, aside from the turns. */
  compact(): void {
    if (this.#checkpoint !== null || this.isClosed || this.#isActivating || this.#appliedIndex === this.#entries.snapshot.index) return;
    this.#checkpoint = this.#compactNow()
      .catch((reason: unknown) => this.#parts.fail(CfsError.from(reason)))
      .finally(() => {
        this.#checkpoint = null;
      });
  }

  async #compactNow(): Promise<void> {
    const durableIndex = await this.#machine.checkpoint();
    if (this.isClosed) return;
    const { compactBytes, compactEntries, compactFactorMax } = this.#parts.options;
    const entries = this.#entries;
    const count = entries.lastIndex - entries.snapshot.index;
    const isFar = entries.sizeBytes > compactFactorMax * compactBytes || count > compactFactorMax * compactEntries;
    const allowed = isFar ? durableIndex : Math.min(durableIndex, this.raft.compactableIndex());
    const index = this.#parts.rules.compactIndex(allowed, this.#appliedIndex);
    const isMoving = index > entries.snapshot.index && index <= entries.lastIndex;
    if (isMoving) await this.#letGo({ index, term: entries.term(index) as number, configuration: this.raft.configurationAt(index) });
    this.#compactAtBytes = isMoving ? compactBytes : entries.sizeBytes + compactBytes / 4;
    this.#compactAtEntries = isMoving ? compactEntries : count + compactEntries / 4;
  }

  /** With the next write; while writes wait for room, before them: room may come of it. */
  async #letGo(meta: SnapshotMeta): Promise<void> {
    const { driver, rules, listener } = this.#parts;
    const isAhead = driver.log.room === "none" && rules.storesSnapshot("compacted") && (await driver.log.compact(this.group, meta));
    if (isAhead) {
      listener.onCompacted?.(this.group, meta);
    } else {
      this.#compaction = meta;
      this.#parts.wake(this);
    }
  }

  /** What is not durable yet but would spare the next start some work. */
  lastUpdate(): GroupUpdate | null {
    const hardState = this.#lazyHardState;
    return hardState === null ? null : { ...noUpdate, group: this.group, hardState };
  }

  async close(reason: CfsError): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.waiters.fail(reason);
    this.desk.close();
    await this.#checkpoint;
    this.#incoming?.abort();
    await this.#machine.close();
  }
}
