/**
 * One replica of one group. Pure and synchronous: no clock, no I/O; chance comes from a port.
 */
import type { Random } from "@cfs/core";
import type { Configuration, ConfigurationChange } from "./configuration.ts";
import type { NodeId } from "./entry.ts";
import type { Message } from "./message.ts";
import type { ProposeResult, Ready, ReadResult } from "./ready.ts";
import type { RaftStatus } from "./status.ts";
import type { LogStorage } from "./storage.ts";

export interface RaftParts {
  readonly storage: LogStorage;
  /** For the jitter of election timeouts only. */
  readonly random: Random;
}

export interface Raft {
  /** Advances logical time by one tick; the host decides how many milliseconds a tick is. Does nothing while quiescent. */
  tick(): void;
  /** Takes one message from a peer. Wakes a quiescent replica (unless the message is to quiesce). */
  step(message: Message): void;
  /** `data` is given: it must not change afterwards. Only a leader takes proposals. */
  propose(data: Uint8Array): ProposeResult;
  proposeConfiguration(change: ConfigurationChange): ProposeResult;
  /** Begins an election now, if this replica may (a voter, not leader): pre-vote first, where that is on. */
  campaign(): void;
  /** Hands leadership to a voter as soon as it has the whole log; false: not leader, or no such voter. Given up after electionTicks. */
  transferLeadership(to: NodeId): boolean;
  /** Asks for an index at which a linearizable read may be served. The answer comes in Ready.reads, or Ready.readsRefused, or (forwarded and lost) never. */
  readIndex(context: number): ReadResult;
  /** The host knows that the leader is gone: stops refusing other candidates. Does nothing in lease mode. */
  forgetLeader(): void;
  /** The next elections wait rank × electionTicks longer. */
  setRank(rank: number): void;
  /** What to do now, or null when nothing. Must not be called again before advance(). */
  ready(): Ready | null;
  /** Cheap: whether ready() would give something. */
  readonly hasReady: boolean;
  /** Everything in `ready` was done. */
  advance(ready: Ready): void;
  /** Entries up to `index` may be committed as far as the host is concerned. Never lowers; a new leader begins with its commit index. */
  openCommitGate(index: number): void;
  /** Parts of snapshots that were not there before can be read now. */
  resumeSnapshots(): void;
  /** The configuration in force at `index`, from the oldest entry in the log to its end. */
  configurationAt(index: number): Configuration;
  /** As far as the log can be dropped without sending a snapshot to a follower that is heard from, or the stream of a snapshot being in vain. */
  compactableIndex(): number;
  /** A leader with nothing to do tells its followers to go quiet, and does itself; false: something is under way. `absent`: replicas known to be down. */
  quiesce(absent: readonly NodeId[]): boolean;
  /** Time runs again: for a follower when its leader's node failed, for a leader when an absent replica is back. */
  wake(): void;
  readonly isQuiescent: boolean;
  status(): RaftStatus;
}
