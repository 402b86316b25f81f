/**
 * The multi-group driver: runs the replicas of hundreds of Raft groups on one node.
 *
 * A turn takes what every group that has something to do wants, makes one write of it (GroupLog), sends one batch to each peer, applies, and
 * begins again while there is more. What comes in meanwhile goes into the next turn. A group that is quiescent has no part in turns or
 * ticks; without awake groups there is no timer.
 *
 * Invariants: a message that depends on something durable is sent, and a command applied, only after the write that holds it is done. A
 * failed write or state ends everything: nothing is answered any more. Order: style of raft-ts (`Ready`); thesis, section 10.2.
 */
import { CfsError } from "@cfs/core";
import { defaultOptions, isSound, Raft } from "raft-ts";
import type { Configuration, ConfigurationChange, HeartbeatMessage, Message, ProposeResult, RaftStatus } from "raft-ts";
import { encodeEnvelope } from "./envelope-format.ts";
import { standardRules } from "./driver-rules.ts";
import { noUpdate } from "./group-log.ts";
import type { GroupId } from "./group-log.ts";
import { GroupReplica } from "./group-replica.ts";
import type { ReplicaParts } from "./group-replica.ts";
import { Outbox } from "./peers.ts";
import type { PeerId, PeerItem } from "./peers.ts";
import { multiRaftDefaults } from "./shard-options.ts";
import type { MultiRaftListener, MultiRaftOptions, MultiRaftParts } from "./shard-options.ts";
import { SnapshotBudget } from "./snapshot-stream.ts";
import { Turns } from "./turns.ts";
import { interruptible } from "./waiters.ts";
import type { Applied, CallOptions } from "./waiters.ts";

export interface GroupStatus extends RaftStatus {
  /** Applied to the state. */
  readonly appliedIndex: number;
  /** The follower that gets payloads, or 0. */
  readonly mate: number;
  /** How far payloads are here for certain. */
  readonly heldIndex: number;
  readonly entryBytes: number;
}

export class MultiRaft<Result> {
  readonly #parts: MultiRaftParts<Result>;
  readonly #options: MultiRaftOptions;
  readonly #listener: MultiRaftListener;
  readonly #replicaParts: ReplicaParts<Result>;
  readonly #outbox: Outbox;
  readonly #turns: Turns<Result>;
  readonly #groups: Map<GroupId, GroupReplica<Result>> = new Map();
  /** Asked for and not open yet. */
  readonly #creating: Set<GroupId> = new Set();
  readonly #awake: Set<GroupReplica<Result>> = new Set();
  readonly #down: Set<PeerId> = new Set();
  #state: "open" | "broken" | "closing" | "closed" = "open";
  #broken: CfsError | null = null;
  #cancelTick: (() => void) | null = null;
  /** Up to where ticks were given, by the clock. */
  #tickedMs = 0;
  #closing: Promise<void> | null = null;
  #reclaim: Promise<void> | null = null;

  private constructor(parts: MultiRaftParts<Result>, options: MultiRaftOptions, listener: MultiRaftListener) {
    this.#parts = parts;
    this.#options = options;
    this.#listener = listener;
    this.#outbox = new Outbox(parts.peers);
    this.#turns = new Turns({
      log: parts.log,
      clock: parts.clock,
      outbox: this.#outbox,
      schedule: parts.schedule ?? queueMicrotask,
      turnBytesMax: options.turnBytesMax,
      onWritten: (groupCount, durationMs) => listener.onWritten?.(groupCount, durationMs),
      onCollected: (replica) => {
        if (replica.raft.isQuiescent) this.#awake.delete(replica);
      },
      onSnapshotStored: () => this.#startReclaim(),
      fail: (reason) => this.#fail(reason),
    });
    this.#replicaParts = {
      driver: parts,
      rules: parts.rules ?? standardRules,
      makeRaft: parts.makeRaft ?? ((raftParts, raftOptions) => new Raft(raftParts, raftOptions)),
      options,
      listener,
      snapshotBudget: new SnapshotBudget(parts.clock, options.snapshotBytesPerSecond),
      payloadBudget: { usedBytes: 0, bytesMax: options.nodePayloadBytesMax },
      send: (group, replica, item) => this.#send(group, replica, item),
      wake: (replica) => this.#wake(replica),
      fail: (reason) => this.#fail(reason),
      isUp: (group, replica) => {
        const peer = parts.placement.peerOf(group, replica);
        return peer !== null && !this.#down.has(peer);
      },
    };
  }

  /** Opens every group that the log knows. */
  static async open<Result>(
    parts: MultiRaftParts<Result>,
    options: Partial<MultiRaftOptions> = {},
    listener: MultiRaftListener = {},
  ): Promise<MultiRaft<Result>> {
    const driver = new MultiRaft(parts, { ...multiRaftDefaults, ...options }, listener);
    try {
      for (const group of parts.log.groups.keys()) await driver.#openGroup(group);
      return driver;
    } catch (reason) {
      await driver.close();
      throw reason;
    }
  }

  get groups(): readonly GroupId[] {
    return [...this.#groups.keys()];
  }

  /** Of groups that have timers running. */
  get awakeCount(): number {
    return this.#awake.size;
  }

  /** Why nothing goes on, or null. */
  get broken(): CfsError | null {
    return this.#broken;
  }

  status(group: GroupId): GroupStatus {
    const replica = this.#group(group);
    const entryBytes = this.#parts.log.groups.get(group)?.sizeBytes ?? 0;
    const { appliedIndex, desk } = replica;
    return { ...replica.raft.status(), appliedIndex, mate: desk.mate, heldIndex: desk.heldIndex, entryBytes };
  }

  /** A replica of a new group, with the group's first configuration; without voters where it joins a group that others began. */
  async createGroup(group: GroupId, configuration: Configuration): Promise<void> {
    this.#checkOpen();
    if (!isSound(configuration)) throw new CfsError("INVALID", `the first configuration of group ${group} contradicts itself`);
    const isHere = this.#groups.has(group) || this.#parts.log.groups.has(group) || this.#creating.has(group);
    if (isHere) throw new CfsError("EXISTS", `group ${group} is here already`);
    // Two calls at once must not make two replicas of one number.
    this.#creating.add(group);
    try {
      await this.#parts.log.append([{ ...noUpdate, group, snapshot: { how: "installed", meta: { index: 0, term: 0, configuration } } }]);
      await this.#openGroup(group);
    } finally {
      this.#creating.delete(group);
    }
  }

  /** The replica and its log go; its state is its owner's to remove. */
  async removeGroup(group: GroupId): Promise<void> {
    const replica = this.#group(group);
    this.#groups.delete(group);
    this.#awake.delete(replica);
    const written = this.#parts.log.append([{ ...noUpdate, group, isRemoved: true }]);
    await replica.close(new CfsError("NOT_FOUND", `group ${group} was removed from this node`));
    await written;
    this.#startReclaim();
  }

  async #openGroup(group: GroupId): Promise<void> {
    const replica = await GroupReplica.open(this.#replicaParts, group);
    if (this.#state !== "open") return replica.close(this.#closedError());
    this.#groups.set(group, replica);
    this.#wake(replica);
  }

  /**
   * Resolves with the state machine's result when the command is applied here. AGAIN: not taken, or not committed; `details.leader` names the
   * leader where it is known. TIMED_OUT: leadership was lost, and the command may still take effect. Command and payload are given.
   */
  propose(group: GroupId, command: Uint8Array, payload: Uint8Array | null = null, options: CallOptions = {}): Promise<Applied<Result>> {
    return interruptible(options, () => {
      const replica = this.#ready(group);
      const sizeBytes = payload?.length ?? 0;
      if (payload !== null && !replica.desk.hasRoom(sizeBytes))
        throw new CfsError("AGAIN", `group ${group} has too many payloads on their way`);
      const head = payload === null ? null : { sizeBytes, crc: this.#parts.crc32c(payload) };
      const result = this.#taken(group, replica.raft.propose(encodeEnvelope({ command, payload: head })));
      if (payload !== null) replica.desk.propose({ index: result.index, term: result.term, bytes: payload });
      return this.#proposed(replica, result);
    });
  }

  /** Resolves when the change is applied here; a joint change goes on by itself after that. */
  changeConfiguration(group: GroupId, change: ConfigurationChange, options: CallOptions = {}): Promise<Applied<Result>> {
    return interruptible(options, () => {
      const replica = this.#ready(group);
      return this.#proposed(replica, this.#taken(group, replica.raft.proposeConfiguration(change)));
    });
  }

  #proposed(replica: GroupReplica<Result>, { index, term }: { index: number; term: number }): Promise<Applied<Result>> {
    const applied = replica.waiters.proposed(index, term);
    replica.touched();
    this.#wake(replica);
    return applied;
  }

  /** Resolves with the applied index when the state here is at least as new as everything that was answered before the call. */
  readIndex(group: GroupId, options: CallOptions = {}): Promise<number> {
    return interruptible(options, () => {
      const replica = this.#ready(group);
      this.#payTicks();
      const context = replica.waiters.newContext();
      const result = replica.raft.readIndex(context);
      if (!result.ok)
        throw new CfsError("AGAIN", `group ${group} cannot confirm a read: ${result.reason}`, { details: { reason: result.reason } });
      const answered = replica.waiters.read(context);
      replica.touched();
      this.#wake(replica);
      return answered;
    });
  }

  campaign(group: GroupId): void {
    const replica = this.#group(group);
    replica.raft.campaign();
    this.#wake(replica);
  }

  /** Leadership goes to that replica as soon as it has everything; false when that cannot be. */
  transferLeadership(group: GroupId, to: number): boolean {
    const replica = this.#group(group);
    const isBegun = replica.raft.transferLeadership(to);
    this.#wake(replica);
    return isBegun;
  }

  /** 0 is preferred as leader; others wait longer before they try. */
  setRank(group: GroupId, rank: number): void {
    this.#group(group).raft.setRank(rank);
  }

  readPayload(group: GroupId, index: number): Promise<Uint8Array> {
    return this.#parts.log.readPayload(group, index);
  }

  /** What membership says of a node: groups that sleep wake where it matters. */
  setPeerUp(peer: PeerId, isUp: boolean): void {
    if (this.#down.has(peer) !== isUp) return;
    if (isUp) this.#down.delete(peer);
    else this.#down.add(peer);
    for (const replica of this.#groups.values()) {
      if (!replica.raft.isQuiescent) continue;
      // Asked of the core: what the replica took from its last Ready is older while it waits for its drive.
      const { leader } = replica.raft.status();
      const isOwnLeader = leader === replica.self;
      const isLeaders = leader !== 0 && this.#parts.placement.peerOf(replica.group, leader) === peer;
      if (isUp ? !isOwnLeader : !isLeaders) continue;
      replica.raft.wake();
      replica.touched();
      this.#wake(replica);
    }
  }

  /** A batch from a peer; in any order, any number of times. An item that is CORRUPT is dropped and logged. */
  receive(from: PeerId, batch: readonly PeerItem[]): void {
    if (this.#state !== "open") return;
    // A follower's read may be among it.
    this.#payTicks();
    for (const item of batch) {
      const replica = this.#groups.get(item.group);
      if (replica === undefined) this.#listener.onUnknownGroup?.(item.group, from);
      else this.#takeOrDrop(replica, from, item);
    }
    // What waited for this (appends whose payloads two nodes have now) need not wait for a slow drive here.
    this.#outbox.flush();
  }

  /** What cannot be understood (a peer of another version, perhaps) is lost, and nothing with it. */
  #takeOrDrop(replica: GroupReplica<Result>, from: PeerId, item: PeerItem): void {
    try {
      this.#take(replica, from, item);
    } catch (reason) {
      if (!(reason instanceof CfsError) || reason.code !== "CORRUPT") throw reason;
      this.#parts.logger.warn("a message of a peer was dropped", { group: item.group, from, reason: reason.message });
      this.#wake(replica);
    }
  }

  #take(replica: GroupReplica<Result>, from: PeerId, item: PeerItem): void {
    const { desk, raft } = replica;
    switch (item.type) {
      case "raft": {
        const { message } = item;
        if (message.to !== replica.self) return;
        if (message.type === "append") raft.step(desk.admit(message, item.gate));
        else raft.step(this.#isLastWords(from, message) ? { ...message, quiesce: false } : message);
        if (message.type === "appendReply" && item.held > 0 && this.#isFromOwnTerm(replica, message.term))
          desk.heldBy(message.from, item.held);
        break;
      }
      case "payloads":
        desk.receive(item.payloads);
        break;
      case "held":
        if (this.#isFromOwnTerm(replica, item.term)) desk.heldBy(item.replica, item.index);
        break;
      case "want":
        this.#turns.runAside(this.#answer(replica, from, item.entries));
        return;
    }
    this.#wake(replica);
  }

  /** A leader went quiet before its node was lost: who fell asleep by that now would not be woken, for the news of the loss came before. */
  #isLastWords(from: PeerId, message: Message): message is HeartbeatMessage {
    return message.type === "heartbeat" && message.quiesce && this.#down.has(from);
  }

  #isFromOwnTerm(replica: GroupReplica<Result>, term: number): boolean {
    return replica.role === "leader" && replica.term === term;
  }

  async #answer(
    replica: GroupReplica<Result>,
    to: PeerId,
    wanted: readonly { readonly index: number; readonly term: number }[],
  ): Promise<void> {
    for await (const payload of replica.desk.find(wanted)) {
      this.#outbox.put(to, { type: "payloads", group: replica.group, payloads: [payload] });
      this.#turns.schedule();
    }
  }

  #send(group: GroupId, replica: number, item: PeerItem): void {
    const peer = this.#parts.placement.peerOf(group, replica);
    if (peer === null) return;
    this.#outbox.put(peer, item);
  }

  #group(group: GroupId): GroupReplica<Result> {
    const replica = this.#groups.get(group);
    if (replica === undefined) throw new CfsError("NOT_FOUND", `group ${group} has no replica on this node`);
    return replica;
  }

  /** The group, when it may take new work. */
  #ready(group: GroupId): GroupReplica<Result> {
    this.#checkOpen();
    if (this.#parts.log.room !== "enough") throw new CfsError("AGAIN", "the drive of the group log has no room");
    if (this.#parts.log.isFull) throw new CfsError("AGAIN", "the group log is full: it waits for states to become durable");
    return this.#group(group);
  }

  #taken(group: GroupId, result: ProposeResult): { index: number; term: number } {
    if (result.ok) return result;
    const { reason, leader } = result;
    const code = reason === "tooLarge" ? "TOO_BIG" : reason === "invalidChange" ? "INVALID" : "AGAIN";
    throw new CfsError(code, `group ${group} did not take a proposal: ${reason}`, { details: { reason, leader } });
  }

  #checkOpen(): void {
    if (this.#state !== "open") throw this.#closedError();
  }

  #closedError(): CfsError {
    return this.#broken ?? new CfsError("BAD_HANDLE", "the shard driver is closed");
  }

  #wake(replica: GroupReplica<Result>): void {
    if (this.#state !== "open" || replica.isClosed) return;
    if (!replica.raft.isQuiescent) this.#awake.add(replica);
    this.#turns.add(replica);
    this.#watch();
  }

  #startReclaim(): void {
    if (this.#reclaim !== null || this.#state !== "open") return;
    this.#reclaim = this.#parts.log
      .reclaim((group, index) => this.#groups.get(group)?.isPayloadInUse(index) ?? true)
      .catch((reason: unknown) => this.#fail(reason))
      .finally(() => {
        this.#reclaim = null;
      });
  }

  /** One timer while any group is awake. */
  #watch(): void {
    if (this.#cancelTick !== null || this.#awake.size === 0 || this.#state !== "open") return;
    this.#tickedMs = this.#parts.clock.monotonicMs();
    this.#tickLater();
  }

  #tickLater(): void {
    this.#cancelTick = this.#parts.clock.after(this.#options.tickMs, () => {
      this.#cancelTick = null;
      this.#tick(this.#options.raft.readMode === "lease" ? this.#owedTicks() : 1, 1);
      if (this.#awake.size > 0 && this.#state === "open") this.#tickLater();
    });
  }

  /**
   * A lease is as good as the leader's ticks: before it answers by one it has had every tick that is due, also when the process stood still.
   * Followers get one for each timer: fewer ticks only make them wait longer before an election.
   */
  #payTicks(): void {
    if (this.#options.raft.readMode !== "lease" || this.#awake.size === 0 || !this.#replicaParts.rules.paysTicks()) return;
    const owed = this.#owedTicks();
    if (owed > 0) this.#tick(owed, 0);
  }

  #owedTicks(): number {
    const { tickMs, raft } = this.#options;
    // A timer comes a rounding error early now and then.
    const owed = Math.floor((this.#parts.clock.monotonicMs() - this.#tickedMs) / tickMs + 1e-6);
    this.#tickedMs += owed * tickMs;
    // After that many every lease is over.
    return Math.min(owed, 2 * (raft.electionTicks ?? defaultOptions.electionTicks));
  }

  #tick(leaderTicks: number, otherTicks: number): void {
    const isFull = this.#parts.log.isFull;
    for (const replica of this.#awake) {
      for (let count = replica.role === "leader" ? leaderTicks : otherTicks; count > 0; count--) replica.tick();
      if (isFull) replica.compact();
      if (replica.raft.hasReady) this.#turns.add(replica);
      else if (replica.raft.isQuiescent) this.#awake.delete(replica);
    }
    this.#turns.schedule();
    if (this.#parts.log.fileCount > 1) this.#startReclaim();
  }

  #fail(reason: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "broken";
    this.#turns.stop();
    const error = reason instanceof CfsError ? reason : new CfsError("IO", "the shard driver failed", { cause: reason });
    this.#broken = error;
    this.#cancelTick?.();
    this.#cancelTick = null;
    for (const replica of this.#groups.values()) replica.waiters.fail(error);
    this.#parts.logger.error("the shard driver stopped", { reason: error.message });
    this.#listener.onBroken?.(error);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const wasOpen = this.#state === "open";
    this.#state = "closing";
    this.#cancelTick?.();
    this.#cancelTick = null;
    await this.#turns.close();
    await this.#reclaim;
    const problems: unknown[] = [];
    const attempt = async (work: () => Promise<void>): Promise<void> => {
      await work().catch((reason: unknown) => problems.push(reason));
    };
    const updates = [...this.#groups.values()].flatMap((replica) => replica.lastUpdate() ?? []);
    const { log } = this.#parts;
    // Commit indexes only: a start works without them, so a full drive is not waited for.
    if (wasOpen && updates.length > 0 && log.broken === null && log.room === "enough") await attempt(() => log.append(updates));
    for (const replica of [...this.#groups.values()].toReversed()) await attempt(() => replica.close(this.#closedError()));
    this.#groups.clear();
    this.#awake.clear();
    this.#state = "closed";
    if (problems.length > 0) throw new AggregateError(problems, "the shard driver did not close cleanly");
  }
}
