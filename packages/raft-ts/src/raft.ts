/**
 * One replica of one group. Pure and synchronous: no clock, no I/O; chance comes from a port.
 *
 * The host calls tick, step, propose and the like at any time, and does what ready() says (ready.ts has the order); advance() says that it is done.
 * Source: Diego Ongaro, "Consensus: Bridging Theory and Practice" (Stanford, 2014), called "thesis" throughout.
 */
import { assert, type Random, unreachable } from "@cfs/core";
import { applyChange, type Configuration, type ConfigurationChange } from "./configuration.ts";
import { encodeConfiguration } from "./configuration-format.ts";
import { Core } from "./core.ts";
import { afterPersist, campaign, checkQuorum, handleVote, handleVoteReply, tickElection } from "./election.ts";
import { type EntryKind, entryKinds, type NodeId, nobody } from "./entry.ts";
import type { Message } from "./message.ts";
import { completeOptions, type RaftOptions } from "./options.ts";
import { followIntoQuiet, quiesce, wake, wakeForMessage } from "./quiesce.ts";
import { broadcastHeartbeat, handleHeartbeatReply, handleReadIndex, handleReadIndexReply, requestRead } from "./read.ts";
import type { ProposeRefusal, ProposeResult, Ready, ReadResult } from "./ready.ts";
import { ReadyBuilder } from "./ready-builder.ts";
import { appendOwn, handleAppend, handleAppendReply, handleHeartbeat, maybeCommit } from "./replication.ts";
import { type RaftRules, standardRules } from "./rules.ts";
import { handleSnapshot, handleSnapshotReply, tickStreams } from "./snapshot.ts";
import { compactableIndex, type RaftStatus, statusOf } from "./status.ts";
import type { LogStorage } from "./storage.ts";
import { beginTransfer, tickTransfer } from "./transfer.ts";

export interface RaftParts {
  readonly storage: LogStorage;
  /** From 0 to below 1, not the same again after a restart: for the jitter of election timeouts, and where the numbers of forwarded reads begin. */
  readonly random: Pick<Random, "next">;
  /** Tests only: the decisions of the algorithm. */
  readonly rules?: RaftRules;
}

export class Raft {
  readonly #core: Core;
  readonly #builder: ReadyBuilder;

  constructor(parts: RaftParts, options: Partial<RaftOptions> & { readonly id: NodeId }) {
    const complete = completeOptions(options, parts.storage.firstIndex - 1);
    this.#core = new Core({ storage: parts.storage, random: parts.random, rules: parts.rules ?? standardRules }, complete);
    this.#builder = new ReadyBuilder(this.#core);
  }

  /** Advances logical time by one tick; the host decides how many milliseconds a tick is. Does nothing while quiescent. */
  tick(): void {
    const core = this.#core;
    if (core.isQuiescent) return;
    core.tickCount++;
    if (core.isLeader) tickLeader(core);
    else tickElection(core);
  }

  /** Takes one message from a peer. Wakes a quiescent replica (unless the message is to quiesce). */
  step(message: Message): void {
    const core = this.#core;
    assert(message.to === core.id, "the message is for this replica");
    if (message.type === "heartbeat" && message.quiesce && followIntoQuiet(core, message)) return;
    wakeForMessage(core, message);
    if (isWelcome(core, message)) dispatch(core, message);
  }

  /** `data` is given: it must not change afterwards. Only a leader takes proposals. */
  propose(data: Uint8Array): ProposeResult {
    const core = this.#core;
    if (!core.isLeader) return refused(core, "notLeader");
    if (core.transferTarget !== nobody) return refused(core, "transferring");
    if (data.length > core.options.entryBytesMax) return refused(core, "tooLarge");
    // One entry is always taken, however large: else it could never be.
    if (core.uncommittedBytes > 0 && core.uncommittedBytes + data.length > core.options.uncommittedBytesMax) return refused(core, "full");
    return this.#append(entryKinds.command, data);
  }

  /** Changes who belongs to the group. In force as soon as it is in the log; the next change may begin when it is committed. */
  proposeConfiguration(change: ConfigurationChange): ProposeResult {
    const core = this.#core;
    if (!core.isLeader) return refused(core, "notLeader");
    if (core.transferTarget !== nobody) return refused(core, "transferring");
    const { history, log, termStartIndex } = core;
    const configurationIndex = history.currentIndex;
    if (!core.rules.mayChangeConfiguration({ configurationIndex, commit: log.commit, termStartIndex }))
      return refused(core, "changePending");
    const next = applyChange(history.current, change);
    return next === null ? refused(core, "invalidChange") : this.#append(entryKinds.configuration, encodeConfiguration(next));
  }

  #append(kind: EntryKind, data: Uint8Array): ProposeResult {
    wake(this.#core);
    return { ok: true, index: appendOwn(this.#core, kind, data), term: this.#core.term };
  }

  /** Begins an election now, if this replica may: a voter, not leader, and in lease mode not bound to a leader. Pre-vote first, where that is on. */
  campaign(): void {
    const core = this.#core;
    wake(core);
    if (core.options.readMode === "lease" && core.isLed) return;
    campaign(core, false);
  }

  /** Hands leadership to a voter as soon as it has the whole log; false: not leader, or no such voter. Given up after electionTicks. */
  transferLeadership(to: NodeId): boolean {
    wake(this.#core);
    return beginTransfer(this.#core, to);
  }

  /**
   * Asks for an index at which a linearizable read may be served. The answer comes in Ready.reads or Ready.readsRefused, at most once. A follower
   * asks its leader; that may get lost: ask again after a while.
   */
  readIndex(context: number): ReadResult {
    wake(this.#core);
    return requestRead(this.#core, context);
  }

  /** The host knows that the leader is gone: stops refusing other candidates. Does nothing in lease mode, and at a leader. */
  forgetLeader(): void {
    const core = this.#core;
    if (core.isLeader || core.options.readMode === "lease") return;
    core.leader = nobody;
    core.sinceLeaderTicks = core.options.electionTicks;
  }

  /** The connection to a peer broke: what was on its way to it counts as lost. Only a hint; heartbeats find out too. */
  reportUnreachable(node: NodeId): void {
    const progress = this.#core.progress.get(node);
    if (progress?.state === "replicate") progress.becomeProbe();
  }

  /** The next elections wait rank × electionTicks longer; 0 to 8. */
  setRank(rank: number): void {
    assert(Number.isSafeInteger(rank) && rank >= 0 && rank <= 8, "rank is in range");
    this.#core.rank = rank;
    if (!this.#core.isLeader) this.#core.resetElectionTimer();
  }

  /** Cheap: whether ready() may give something. */
  get hasReady(): boolean {
    return this.#builder.hasReady;
  }

  /** What to do now, or null when nothing. Must not be called again before advance(). */
  ready(): Ready | null {
    return this.#builder.take();
  }

  /** Everything in `ready` was done. */
  advance(ready: Ready): void {
    this.#builder.finish(ready);
    afterPersist(this.#core);
  }

  /**
   * The entry of this index and term, and all before it, may be committed as far as the host is concerned. Does nothing when another entry has taken
   * its place, or there is none. Never lowers; a new leader begins with its commit index.
   */
  openCommitGate(index: number, term: number): void {
    const core = this.#core;
    if (!core.isLeader || index <= core.gateIndex || !core.rules.opensGate(term, core.log.term(index))) return;
    core.gateIndex = index;
    maybeCommit(core);
  }

  /** Parts of snapshots that were not there before can be read now. */
  resumeSnapshots(): void {
    if (this.#core.isLeader) this.#core.areAppendsDue = true;
  }

  /** The configuration in force at `index`, from firstIndex - 1 to the end of the log. */
  configurationAt(index: number): Configuration {
    return this.#core.history.at(index);
  }

  /** As far as the log can be dropped without sending a snapshot to a follower that is heard from, or making a snapshot that streams useless. */
  compactableIndex(): number {
    return compactableIndex(this.#core);
  }

  /** A leader with nothing to do tells its followers to go quiet, and does itself; false: something is under way. `absent`: replicas known to be down. */
  quiesce(absent: readonly NodeId[] = []): boolean {
    return quiesce(this.#core, absent);
  }

  /** Time runs again: for a follower when its leader's node failed, for a leader when an absent replica is back. */
  wake(): void {
    wake(this.#core);
  }

  get isQuiescent(): boolean {
    return this.#core.isQuiescent;
  }

  get isLeader(): boolean {
    return this.#core.isLeader;
  }

  status(): RaftStatus {
    return statusOf(this.#core);
  }
}

function refused(core: Core, reason: ProposeRefusal): ProposeResult {
  return { ok: false, reason, leader: core.leader };
}

function tickLeader(core: Core): void {
  tickStreams(core);
  tickTransfer(core);
  core.electionElapsed++;
  if (core.electionElapsed >= core.options.electionTicks) {
    core.electionElapsed = 0;
    checkQuorum(core);
    if (!core.isLeader) return;
  }
  core.heartbeatElapsed++;
  if (core.heartbeatElapsed < core.options.heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  broadcastHeartbeat(core, false);
}

/** Compares terms (thesis, figure 3.1, "Rules for Servers"). False: the message is to be ignored, or was answered. */
function isWelcome(core: Core, message: Message): boolean {
  // Whoever hears from a leader helps nobody against it, whatever the term says (section 4.2.3).
  if (message.type === "vote" && !message.force && message.term >= core.term && core.isLed) return false;
  if (message.term > core.term) return isWelcomeFromLaterTerm(core, message);
  if (core.rules.acceptsTerm(message.term, core.term)) return true;
  const { preVote, checkQuorum: isChecked } = core.options;
  const isFromLeader = message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
  // A leader of an older term that this replica refuses to hear, and an asker that will never win, must learn of the newer term.
  if (isFromLeader && (preVote || isChecked)) {
    const { id, term } = core;
    core.send({ type: "appendReply", from: id, to: message.from, term, index: 0, rejected: false, hintIndex: 0, hintTerm: 0 });
  } else if (message.type === "vote") {
    const { preVote: isPreVote, from } = message;
    core.send({ type: "voteReply", from: core.id, to: from, term: core.term, preVote: isPreVote, granted: false });
  }
  return false;
}

function isWelcomeFromLaterTerm(core: Core, message: Message): boolean {
  if (message.type === "vote" && message.preVote) return true;
  if (message.type === "voteReply" && message.preVote && message.granted) return true;
  const isFromLeader = message.type === "append" || message.type === "heartbeat" || message.type === "snapshot";
  core.becomeFollower(message.term, isFromLeader ? message.from : nobody);
  return true;
}

function dispatch(core: Core, message: Message): void {
  switch (message.type) {
    case "vote":
      return handleVote(core, message);
    case "voteReply":
      return handleVoteReply(core, message);
    case "append":
      followLeader(core, message.from);
      return handleAppend(core, message);
    case "appendReply":
      return handleAppendReply(core, message);
    case "heartbeat":
      followLeader(core, message.from);
      return handleHeartbeat(core, message);
    case "heartbeatReply":
      return handleHeartbeatReply(core, message);
    case "snapshot":
      followLeader(core, message.from);
      return handleSnapshot(core, message);
    case "snapshotReply":
      return handleSnapshotReply(core, message);
    case "timeoutNow":
      return campaign(core, true);
    case "readIndex":
      return handleReadIndex(core, message);
    case "readIndexReply":
      return handleReadIndexReply(core, message);
    default:
      return unreachable(message, "message of a known type");
  }
}

/** Somebody leads this term: a candidate gives way. */
function followLeader(core: Core, leader: NodeId): void {
  assert(!core.isLeader, "a term has one leader");
  if (core.role !== "follower") core.becomeFollower(core.term, leader);
}
