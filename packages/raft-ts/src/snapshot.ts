/**
 * Snapshots between replicas: chunks out to a follower whose next entry is compacted away, and chunks in from the leader.
 *
 * Invariant: a follower installs only a whole snapshot of one stream; it never takes back what it has committed; where its log already holds the
 * snapshot's last entry, the log is kept (thesis, section 5.1: "retain the suffix").
 * The receiving host stages chunks; Raft itself holds none longer than until the next Ready.
 */
import { assert } from "@cfs/core";
import type { Core } from "./core.ts";
import type { AppendReplyMessage, SnapshotMessage, SnapshotReplyMessage } from "./message.ts";
import type { Progress } from "./progress.ts";
import { SnapshotStream } from "./snapshot-stream.ts";

/** After so many times electionTicks of silence a stream is given up. */
const streamPatience = 10;

/** The log no longer holds what the follower needs. */
export function beginSnapshot(core: Core, progress: Progress): void {
  const source = progress.isPresent ? core.storage.snapshot() : null;
  if (source === null) {
    // Asked again at the follower's next answer to a heartbeat.
    progress.becomeProbe();
    progress.isProbeSent = true;
    return;
  }
  assert(source.meta.index >= core.log.firstIndex - 1, "the log continues the snapshot");
  core.streamCount++;
  const { snapshotChunkBytes, snapshotChunksMax } = core.options;
  progress.becomeSnapshot(new SnapshotStream(core.streamCount, source, snapshotChunkBytes, snapshotChunksMax));
}

export function sendChunks(core: Core, progress: Progress): void {
  const stream = progress.stream;
  if (stream === null) return;
  for (let part = stream.next(); part !== null; part = stream.next()) {
    core.send({
      type: "snapshot",
      from: core.id,
      to: progress.node,
      term: core.term,
      stream: stream.id,
      meta: stream.meta,
      offset: part.offset,
      data: part.bytes,
      isLast: part.isLast,
    });
  }
}

export function tickStreams(core: Core): void {
  const { electionTicks } = core.options;
  for (const progress of core.progress.values()) {
    if (progress.stream === null) continue;
    if (progress.stream.tick(electionTicks) > electionTicks * streamPatience) progress.becomeProbe();
    core.areAppendsDue = true;
  }
}

export function handleSnapshotReply(core: Core, message: SnapshotReplyMessage): void {
  const progress = core.progress.get(message.from);
  if (!core.isLeader || progress === undefined) return;
  progress.isActive = true;
  if (progress.stream?.id !== message.stream) return;
  progress.stream.wants(message.nextOffset);
  core.areAppendsDue = true;
}

function holds(core: Core, index: number): AppendReplyMessage {
  return { type: "appendReply", from: core.id, to: core.leader, term: core.term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

/** Nothing to install when the log has it all: only to be told. */
function isKnown(core: Core, { meta }: SnapshotMessage): boolean {
  if (meta.index <= core.log.commit) return true;
  if (core.log.term(meta.index) !== meta.term) return false;
  core.log.commitTo(meta.index);
  return true;
}

export function handleSnapshot(core: Core, message: SnapshotMessage): void {
  core.heardFromLeader(message.from);
  if (isKnown(core, message)) {
    core.send(holds(core, core.log.commit));
    return;
  }
  // One at a time: the host stages the chunks of one snapshot until it is installed. The leader will send this one again.
  if (core.log.pendingSnapshot !== null) return;
  const { meta, offset, data, isLast, from, term, stream } = message;
  const before = core.incoming;
  const isNewStream = before === null || before.from !== from || term > before.term || (term === before.term && stream > before.stream);
  const incoming = isNewStream ? { from, term, stream, nextOffset: 0 } : before;
  if (incoming.stream !== stream) return;
  const isRoom = core.chunks.length < core.options.snapshotChunksMax;
  core.incoming = incoming;
  if (isRoom && core.rules.acceptsChunk(offset, incoming.nextOffset)) {
    incoming.nextOffset = offset + data.length;
    core.chunks.push({ meta, offset, bytes: data, isLast });
    if (isLast) {
      install(core, message);
      return;
    }
  }
  core.send({ type: "snapshotReply", from: core.id, to: from, term: core.term, stream, nextOffset: incoming.nextOffset });
}

function install(core: Core, { meta }: SnapshotMessage): void {
  assert(meta.index > core.log.commit, "a snapshot brings news");
  assert(meta.term <= core.term, "a snapshot is of no later term");
  core.incoming = null;
  core.log.restore(meta);
  core.history.restore(meta.index, meta.configuration);
  core.send(holds(core, meta.index));
}
