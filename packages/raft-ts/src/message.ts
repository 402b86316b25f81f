/**
 * What replicas of a group say to each other.
 *
 * Messages may be lost, doubled, delayed and reordered; they must not be changed. A message must not be modified after it was handed over.
 * Source: thesis, figure 3.1 (vote, append), section 9.6 (pre-vote), 3.10 (timeoutNow), 6.4 (reads), chapter 5 (snapshots).
 */
import type { Configuration } from "./configuration.ts";
import type { Entry, NodeId } from "./entry.ts";

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The sender's term; of a pre-vote (and the answer that grants it) the term that the candidate would have. */
  readonly term: number;
}

export interface VoteMessage extends Envelope {
  readonly type: "vote";
  /** Asks "would you?" only: nobody's term or vote changes (thesis, section 9.6). */
  readonly preVote: boolean;
  /** The leader itself asked for this election (transfer): voters that hear from a leader may answer too. */
  readonly force: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

export interface VoteReplyMessage extends Envelope {
  readonly type: "voteReply";
  readonly preVote: boolean;
  readonly granted: boolean;
}

export interface AppendMessage extends Envelope {
  readonly type: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly commit: number;
  /** Consecutive from prevIndex + 1; may be empty. */
  readonly entries: readonly Entry[];
}

export interface AppendReplyMessage extends Envelope {
  readonly type: "appendReply";
  /** Accepted: the last index that is known to match. Rejected: the prevIndex that did not. */
  readonly index: number;
  readonly rejected: boolean;
  /** When rejected: the last index of the follower's log where it may match, and its term there (fast backtracking). Else 0. */
  readonly hintIndex: number;
  readonly hintTerm: number;
}

export interface HeartbeatMessage extends Envelope {
  readonly type: "heartbeat";
  readonly commit: number;
  /** Counts the leader's rounds of heartbeats in this term; the answer repeats it. Reads and leases stand on it. */
  readonly round: number;
  /** The leader goes quiet: whoever has everything up to `commit` and nothing beyond does too. */
  readonly quiesce: boolean;
}

export interface HeartbeatReplyMessage extends Envelope {
  readonly type: "heartbeatReply";
  readonly round: number;
}

export interface SnapshotMeta {
  /** The last entry that the snapshot holds the effects of. */
  readonly index: number;
  readonly term: number;
  /** In force at `index`. */
  readonly configuration: Configuration;
}

export interface SnapshotMessage extends Envelope {
  readonly type: "snapshot";
  /** Numbers the leader's streams in its term: parts of two streams are never mixed, not even of the same index. */
  readonly stream: number;
  readonly meta: SnapshotMeta;
  readonly offset: number;
  readonly data: Uint8Array;
  readonly isLast: boolean;
}

export interface SnapshotReplyMessage extends Envelope {
  readonly type: "snapshotReply";
  readonly stream: number;
  /** The byte that is wanted next. */
  readonly nextOffset: number;
}

export interface TimeoutNowMessage extends Envelope {
  readonly type: "timeoutNow";
}

export interface ReadIndexMessage extends Envelope {
  readonly type: "readIndex";
  /** The asker's ticket; the answer repeats it. */
  readonly context: number;
}

export interface ReadIndexReplyMessage extends Envelope {
  readonly type: "readIndexReply";
  readonly context: number;
  readonly index: number;
}

export type Message =
  | VoteMessage
  | VoteReplyMessage
  | AppendMessage
  | AppendReplyMessage
  | HeartbeatMessage
  | HeartbeatReplyMessage
  | SnapshotMessage
  | SnapshotReplyMessage
  | TimeoutNowMessage
  | ReadIndexMessage
  | ReadIndexReplyMessage;
