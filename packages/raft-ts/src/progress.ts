/**
 * What a leader knows of one follower.
 *
 *            accepted                    log compacted below next
 *    probe ────────────► replicate    probe | replicate ─────────► snapshot
 *      ▲                     │                                        │
 *      └──── rejected, lost ─┘        ◄──── installed (replicate), given up (probe)
 *
 * probe: one append at a time, to find where the logs agree. replicate: pipelined, `next` runs ahead of answers. snapshot: see snapshot.ts.
 * Invariant: match < next; match never falls within a term. Source: nextIndex and matchIndex of thesis, figure 3.1; pipelining 10.2.2.
 */
import { assert } from "@cfs/core";
import type { NodeId } from "./entry.ts";
import type { Inflights } from "./inflights.ts";
import type { SnapshotStream } from "./snapshot-stream.ts";
import type { ProgressState, ProgressStatus } from "./status.ts";

export class Progress {
  readonly node: NodeId;
  readonly inflights: Inflights;
  /** Known to be in the follower's log. */
  match = 0;
  /** To be sent next. */
  next: number;
  state: ProgressState = "probe";
  /** probe: an append is out, nothing more is sent until an answer or a heartbeat's answer. */
  isProbeSent = false;
  /** An append must go out even when it has nothing new: the follower seems to lack what was sent. */
  mustProbe = false;
  /** Heard from since the last check of the quorum. */
  isActive = false;
  /** Was heard from in the interval before that. */
  wasActive = false;
  /** The highest commit index that it was told in a way that it could use. */
  commitSent = 0;
  /** The last round of heartbeats that it answered. */
  round = 0;
  stream: SnapshotStream | null = null;

  constructor(node: NodeId, next: number, inflights: Inflights) {
    this.node = node;
    this.next = next;
    this.inflights = inflights;
  }

  /** It is worth sending more than questions, and keeping the log for it. */
  get isPresent(): boolean {
    return this.isActive || this.wasActive;
  }

  get isPaused(): boolean {
    return this.state === "probe" ? this.isProbeSent : this.inflights.isFull;
  }

  #reset(state: ProgressState): void {
    this.stream?.close();
    this.stream = null;
    this.state = state;
    this.isProbeSent = false;
    this.mustProbe = false;
    this.inflights.clear();
  }

  becomeProbe(): void {
    this.#reset("probe");
    this.next = this.match + 1;
    this.commitSent = Math.min(this.commitSent, this.match);
  }

  becomeReplicate(): void {
    this.#reset("replicate");
    this.next = this.match + 1;
    assert(this.stream === null, "a stream ends with its state");
  }

  becomeSnapshot(stream: SnapshotStream): void {
    this.#reset("snapshot");
    this.stream = stream;
  }

  /** An append up to `lastIndex` goes out. */
  sent(lastIndex: number, count: number, bytes: number): void {
    assert(this.state !== "snapshot", "no appends while a snapshot streams");
    assert(lastIndex === this.next - 1 + count, "what is sent continues what was sent");
    this.mustProbe = false;
    if (this.state === "probe") {
      this.isProbeSent = true;
    } else if (count > 0) {
      this.next = lastIndex + 1;
      this.inflights.add(lastIndex, bytes);
    }
  }

  /** The follower has everything up to `index`. False: that is old news. */
  matched(index: number): boolean {
    const isNews = index > this.match;
    if (isNews) {
      this.match = index;
      this.isProbeSent = false;
    }
    this.next = Math.max(this.next, index + 1);
    return isNews;
  }

  /** The follower has no such entry as `rejected`; it may agree at `hint`. False: an old answer that says nothing new. */
  rejectedAt(rejected: number, hint: number): boolean {
    if (this.state === "snapshot") return false;
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.becomeProbe();
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.isProbeSent = false;
    assert(this.next > this.match, "what is known to match is not probed again");
    return true;
  }

  /** Of this follower for status(). */
  status(): ProgressStatus {
    const { node, state, match, next, isActive, stream, inflights } = this;
    return {
      node,
      state,
      match,
      next,
      inflightMessages: inflights.count,
      inflightBytes: inflights.bytes,
      isActive,
      snapshotIndex: stream?.meta.index ?? null,
      snapshotOffset: stream?.confirmedOffset ?? 0,
    };
  }
}
