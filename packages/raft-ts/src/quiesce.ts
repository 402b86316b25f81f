/**
 * A group with nothing to do stops its clocks: no ticks, no heartbeats, no cost.
 *
 * The leader goes quiet only when everybody holds everything and nothing waits, and says so in one last heartbeat. A follower follows when that is
 * true for itself too; else it goes on as before, its answer wakes the leader, or its election timer fires and its question wakes everybody.
 * Quiet followers cannot notice that their leader's node is gone: the host knows (membership) and wakes them. A quiet leader holds no lease. A
 * quiesce that was overtaken by a later heartbeat is ignored (rounds are numbered), but a restarted follower does not know what it has heard:
 * so in lease mode a quiesce ends no promise, and who is woken keeps faith for electionTicks first.
 * Source: ours; the idea is CockroachDB's.
 */
import { assert } from "@cfs/core";
import { isJoint } from "./configuration.ts";
import type { Core } from "./core.ts";
import { type NodeId, nobody } from "./entry.ts";
import type { HeartbeatMessage, Message } from "./message.ts";
import { broadcastHeartbeat } from "./read.ts";

function isIdle(core: Core, absent: readonly NodeId[]): boolean {
  const { log, progress, configuration } = core;
  const isQuiet =
    log.commit === log.lastIndex &&
    log.applied === log.lastIndex &&
    core.reads.length === 0 &&
    core.transferTarget === nobody &&
    !isJoint(configuration);
  if (!isQuiet) return false;
  for (const { node, match, stream } of progress.values()) {
    if (stream !== null || (match < log.lastIndex && !absent.includes(node))) return false;
  }
  return core.rules.hasQuorum(configuration, (node) => !absent.includes(node));
}

/** Leader: goes quiet if it can. */
export function quiesce(core: Core, absent: readonly NodeId[]): boolean {
  if (core.isQuiescent) return true;
  if (!core.isLeader || !isIdle(core, absent)) return false;
  assert(core.log.commit === core.log.lastIndex, "a quiet group has committed everything");
  core.isQuiescent = true;
  broadcastHeartbeat(core, true);
  core.roundTicks = [];
  return true;
}

/** Follower: the leader has gone quiet. False: this is to be taken as an ordinary heartbeat. */
export function followIntoQuiet(core: Core, message: HeartbeatMessage): boolean {
  const isCurrent = message.term === core.term && message.round > core.roundSeen && core.role === "follower";
  if (!isCurrent || core.log.lastIndex !== message.commit) return false;
  core.heardFromLeader(message.from);
  core.roundSeen = message.round;
  core.log.commitTo(message.commit);
  core.isQuiescent = true;
  // The leader may have a lease again by a round that this replica answered before it was restarted.
  if (core.options.readMode !== "lease") core.sinceLeaderTicks = core.options.electionTicks;
  return true;
}

/**
 * Time runs again because the host says so. Unless in lease mode, a quiet follower may help another leader at once: the host may know that the
 * old one is gone.
 */
export function wake(core: Core): void {
  if (!core.isQuiescent) return;
  core.isQuiescent = false;
  if (core.isLeader) {
    core.electionElapsed = 0;
    core.heartbeatElapsed = 0;
    for (const progress of core.progress.values()) progress.isActive = true;
    broadcastHeartbeat(core, false);
  } else core.resetElectionTimer();
}

/** Somebody spoke. A quiet follower gives its leader the time to show that it is alive before it helps anybody against it. */
export function wakeForMessage(core: Core, message: Message): void {
  if (!core.isQuiescent || isEcho(core, message)) return;
  if (!core.isLeader) core.sinceLeaderTicks = 0;
  wake(core);
}

/** An answer to what the leader said before it went quiet must not wake it: it would never sleep. */
function isEcho(core: Core, message: Message): boolean {
  if (!core.isLeader || message.term !== core.term) return false;
  if (message.type === "heartbeatReply") return message.round < core.round;
  return message.type === "appendReply" && !message.rejected;
}
