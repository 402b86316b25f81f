/**
 * The state of one replica, and the steps that every part of the algorithm takes: becoming a follower, sending, timers.
 *
 * The parts are functions over this record, a file each: election, replication, snapshot, read, transfer, quiesce. raft.ts is their face.
 * Invariant: within a term there is one vote and at most one leader; a message waits in `late` until what it answers for is durable.
 * Source: thesis, figure 3.1 ("State").
 */
import { assert, type Random } from "@cfs/core";
import type { Configuration } from "./configuration.ts";
import { isSound, isVoter, membersOf } from "./configuration.ts";
import { ConfigurationHistory } from "./configuration-history.ts";
import { type HardState, type NodeId, nobody } from "./entry.ts";
import { Inflights } from "./inflights.ts";
import { Log } from "./log.ts";
import type { Message } from "./message.ts";
import type { RaftOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { Progress } from "./progress.ts";
import type { ReadAnswer, Role, SnapshotChunk } from "./ready.ts";
import type { RaftRules } from "./rules.ts";
import type { LogStorage } from "./storage.ts";

export interface PendingRead {
  readonly context: number;
  /** Who asked: this replica, or a follower. */
  readonly from: NodeId;
  /** What was committed when it came; null until the leader knows. */
  index: number | null;
  /** The round of heartbeats that confirms it; null until one has begun. */
  round: number | null;
}

/** A snapshot that is coming in. */
export interface IncomingSnapshot {
  readonly from: NodeId;
  readonly term: number;
  readonly stream: number;
  nextOffset: number;
}

export class Core {
  readonly id: NodeId;
  readonly options: RaftOptions;
  readonly rules: RaftRules;
  readonly random: Pick<Random, "next">;
  readonly storage: LogStorage;
  readonly log: Log;
  readonly history: ConfigurationHistory;

  term: number;
  vote: NodeId;
  role: Role = "follower";
  leader: NodeId = nobody;
  /** What is durable of (term, vote, commit). */
  stableHard: HardState;

  /** Ticks since the start. */
  tickCount = 0;
  /** Ticks since the election timer began; a leader's counts towards the next check of its quorum. */
  electionElapsed = 0;
  electionTimeoutTicks = 0;
  heartbeatElapsed = 0;
  /** Ticks since this replica heard from a leader; a voter keeps faith with it for electionTicks. */
  sinceLeaderTicks: number;
  /** The highest round of heartbeats seen in this term. */
  roundSeen = 0;
  rank: number;

  /** Who has answered this election, and how. */
  readonly votes: Map<NodeId, boolean> = new Map();

  // What follows is the leader's; void in other roles.
  readonly progress: Map<NodeId, Progress> = new Map();
  termStartIndex = 0;
  gateIndex: number = Infinity;
  uncommittedBytes = 0;
  transferTarget: NodeId = nobody;
  transferElapsed = 0;
  /** Somebody was told to campaign at once: no lease may be relied on for the rest of the term (thesis, section 6.4.1). */
  isLeaseLost = false;
  round = 0;
  /** When the first round of each tick went out, for as long as a lease may last. */
  roundTicks: { readonly tick: number; readonly round: number }[] = [];
  reads: PendingRead[] = [];
  streamCount = 0;
  /** Some follower may be owed an append or a chunk. */
  areAppendsDue = false;
  /** Some read waits for a round to begin. */
  isRoundDue = false;

  /** A follower's reads that its leader was asked for: ticket to context, oldest first. */
  readonly forwarded: Map<number, number> = new Map();
  /** Drawn when it is first needed. */
  nextTicket: number | null = null;

  incoming: IncomingSnapshot | null = null;
  isQuiescent = false;

  // What the next Ready takes along.
  readonly early: Outbox = new Outbox();
  readonly late: Outbox = new Outbox();
  chunks: SnapshotChunk[] = [];
  readAnswers: ReadAnswer[] = [];
  readsRefused: number[] = [];

  constructor(
    parts: { readonly storage: LogStorage; readonly random: Pick<Random, "next">; readonly rules: RaftRules },
    options: RaftOptions,
  ) {
    const { hardState, configuration } = parts.storage.initial();
    assert(isSound(configuration), "the first configuration is sound");
    this.id = options.id;
    this.options = options;
    this.rules = parts.rules;
    this.random = parts.random;
    this.storage = parts.storage;
    this.log = new Log(parts.storage, hardState.commit, options.applied);
    this.history = historyOf(this.log, configuration);
    this.term = hardState.term;
    this.vote = hardState.vote;
    assert(this.term >= this.log.lastTerm, "the durable term is not older than the log");
    this.stableHard = { ...hardState, commit: this.log.commit };
    this.rank = options.rank;
    // In lease mode this replica may have promised faith to a leader before it was restarted.
    this.sinceLeaderTicks = options.readMode === "lease" ? 0 : options.electionTicks;
    this.resetElectionTimer();
  }

  get configuration(): Configuration {
    return this.history.current;
  }

  get isLeader(): boolean {
    return this.role === "leader";
  }

  get isVoter(): boolean {
    return isVoter(this.configuration, this.id);
  }

  /**
   * Section 4.2.2: a replica that a change removes still campaigns until the change is committed. It may be the only one that has the entry, and
   * then nobody else can win.
   */
  get mayCampaign(): boolean {
    return this.history.isVoterFrom(this.log.commit, this.id);
  }

  /** Whether this replica keeps faith with a leader and refuses to help others (thesis, sections 4.2.3 and 6.4.1). */
  get isLed(): boolean {
    const { leader, sinceLeaderTicks, options } = this;
    const { electionTicks, readMode, checkQuorum } = options;
    return checkQuorum && this.rules.isLed({ isLeaseMode: readMode === "lease", leader, sinceLeaderTicks, electionTicks });
  }

  /** Section 3.4: drawn anew each time, so that candidates seldom split the vote twice. */
  resetElectionTimer(): void {
    const { electionTicks } = this.options;
    this.electionElapsed = 0;
    this.electionTimeoutTicks = electionTicks * (1 + this.rank) + Math.floor(this.random.next() * electionTicks);
  }

  send(message: Message): void {
    assert(message.to !== this.id, "nobody writes to himself");
    (this.rules.isEarly(message) ? this.early : this.late).push(message);
  }

  heardFromLeader(leader: NodeId): void {
    this.leader = leader;
    this.sinceLeaderTicks = 0;
    this.electionElapsed = 0;
  }

  /** Steps into `term` (which may be the present one) without leading it. */
  becomeFollower(term: number, leader: NodeId): void {
    assert(term >= this.term, "terms never fall");
    if (this.role !== "follower") {
      if (this.isLeader) this.#leaveLeadership();
      this.role = "follower";
      this.resetElectionTimer();
    }
    this.enterTerm(term);
    this.leader = leader;
  }

  enterTerm(term: number): void {
    this.votes.clear();
    if (term === this.term) return;
    this.term = term;
    this.vote = nobody;
    this.roundSeen = 0;
    // The leader that was asked does not answer in this term.
    this.readsRefused.push(...this.forwarded.values());
    this.forwarded.clear();
  }

  #leaveLeadership(): void {
    for (const progress of this.progress.values()) progress.stream?.close();
    this.progress.clear();
    for (const read of this.reads) if (read.from === this.id) this.readsRefused.push(read.context);
    this.reads = [];
    this.transferTarget = nobody;
    this.gateIndex = Infinity;
    this.uncommittedBytes = 0;
    this.areAppendsDue = false;
    this.isRoundDue = false;
    this.sinceLeaderTicks = this.options.electionTicks;
  }

  /** A leader knows each member but itself, and nobody else. Called whenever the configuration has changed. */
  syncProgress(): void {
    const members = membersOf(this.configuration);
    for (const [node, progress] of this.progress) {
      if (members.includes(node)) continue;
      progress.stream?.close();
      this.progress.delete(node);
    }
    for (const node of members) {
      if (node !== this.id && !this.progress.has(node)) this.progress.set(node, this.#newProgress(node));
    }
    if (!members.includes(this.transferTarget)) this.transferTarget = nobody;
    this.areAppendsDue = true;
  }

  #newProgress(node: NodeId): Progress {
    const { inflightMessagesMax, inflightBytesMax } = this.options;
    const progress = new Progress(node, this.log.lastIndex + 1, new Inflights(inflightMessagesMax, inflightBytesMax));
    // Asked at once where its log agrees, also when there is nothing new to send.
    progress.mustProbe = true;
    // Taken for present until the second check of the quorum: else the first could depose the leader before the member had the time to answer.
    progress.isActive = true;
    return progress;
  }

  /** What the member holds durably, as far as this leader knows. */
  readonly matchOf = (node: NodeId): number => {
    if (node === this.id) return this.rules.ownMatch(this.log.stableIndex, this.log.lastIndex);
    return this.progress.get(node)?.match ?? 0;
  };
}

/** Reads the log for configurations: on a restart they are as much in force as they were before. */
function historyOf(log: Log, configuration: Configuration): ConfigurationHistory {
  const history = new ConfigurationHistory(log.firstIndex - 1, configuration);
  const stepBytes = 1 << 20;
  for (let at = log.firstIndex; at <= log.lastIndex;) {
    const entries = log.entries(at, log.lastIndex + 1, stepBytes);
    history.append(entries);
    at += entries.length;
  }
  return history;
}
