/** Messages, Readies and states as lines that people read. */
import { unreachable } from "@cfs/core";
import type { Configuration } from "../configuration.ts";
import { decodeConfiguration } from "../configuration-format.ts";
import { type Entry, entryKinds, type NodeId } from "../entry.ts";
import type { Message } from "../message.ts";
import type { Ready } from "../ready.ts";
import type { RaftStatus } from "../status.ts";

function list(name: string, nodes: readonly NodeId[]): string[] {
  return nodes.length === 0 ? [] : [`${name} ${nodes.join(",")}`];
}

export function describeConfiguration({ voters, votersOutgoing, learners, learnersNext, autoLeave }: Configuration): string {
  const parts = [
    `voters ${voters.join(",")}`,
    ...list("outgoing", votersOutgoing),
    ...list("learners", learners),
    ...list("learners next", learnersNext),
    ...(votersOutgoing.length > 0 && !autoLeave ? ["left by hand"] : []),
  ];
  return `(${parts.join("; ")})`;
}

export function describeEntry({ term, index, kind, data }: Entry): string {
  const place = `${index}/${term}`;
  if (kind === entryKinds.empty) return `${place} empty`;
  if (kind === entryKinds.configuration) return `${place} ${describeConfiguration(decodeConfiguration(data))}`;
  return `${place} "${Buffer.from(data).toString()}"`;
}

function describeBody(message: Message): string {
  switch (message.type) {
    case "vote":
      return `${message.preVote ? "pre-vote" : "vote"}${message.force ? " by order" : ""}, log ends ${message.lastIndex}/${message.lastTerm}`;
    case "voteReply":
      return `${message.preVote ? "pre-vote" : "vote"} ${message.granted ? "granted" : "refused"}`;
    case "append": {
      const entries = message.entries.length === 0 ? "nothing" : message.entries.map(describeEntry).join(", ");
      return `append after ${message.prevIndex}/${message.prevTerm}: ${entries}; commit ${message.commit}`;
    }
    case "appendReply":
      return message.rejected
        ? `no entry ${message.index} like that, perhaps ${message.hintIndex}/${message.hintTerm}`
        : `holds ${message.index}`;
    case "heartbeat":
      return `${message.quiesce ? "last heartbeat" : "heartbeat"} ${message.round}, commit ${message.commit}`;
    case "heartbeatReply":
      return `heard ${message.round}`;
    case "snapshot": {
      const { meta, offset, data, isLast } = message;
      return `snapshot ${meta.index}/${meta.term}: bytes ${offset} to ${offset + data.length}${isLast ? ", the last" : ""}`;
    }
    case "snapshotReply":
      return `wants byte ${message.nextOffset}`;
    case "timeoutNow":
      return "campaign now";
    case "readIndex":
      return "may I read?";
    case "readIndexReply":
      return `read at ${message.index}`;
    default:
      return unreachable(message, "message of a known type");
  }
}

export function describeMessage(message: Message): string {
  return `${message.from}->${message.to} term ${message.term}: ${describeBody(message)}`;
}

/** What the group's user would notice, and what is stored. */
export function describeReady(id: NodeId, ready: Ready): readonly string[] {
  const lines: string[] = [];
  const { softState, entries, snapshot, committed, reads, readsRefused } = ready;
  if (softState !== null) {
    const leader = softState.role === "leader" || softState.leader === 0 ? "" : `, follows ${softState.leader}`;
    lines.push(`${id} is ${softState.role} in term ${softState.term}${leader}`);
  }
  if (snapshot !== null)
    lines.push(`${id} installs snapshot ${snapshot.index}/${snapshot.term} ${describeConfiguration(snapshot.configuration)}`);
  if (entries.length > 0) lines.push(`${id} stores ${entries.map(describeEntry).join(", ")}`);
  if (committed.length > 0) lines.push(`${id} applies ${committed.map(({ index }) => index).join(" ")}`);
  for (const { context, index } of reads) lines.push(`${id} may read ${context} at ${index}`);
  for (const context of readsRefused) lines.push(`${id} may not read ${context}`);
  return lines;
}

export function describeStatus(status: RaftStatus): string {
  const { id, role, term, leader, commit, lastIndex, configuration, isQuiescent, gateIndex } = status;
  const parts = [
    `${id}: ${role} in term ${term}`,
    ...(leader === 0 || leader === id ? [] : [`follows ${leader}`]),
    `log to ${lastIndex}, committed ${commit}`,
    ...(gateIndex === Infinity ? [] : [`gate ${gateIndex}`]),
    ...(isQuiescent ? ["quiet"] : []),
    describeConfiguration(configuration),
  ];
  return parts.join(", ");
}

export function describeProgress({ progress }: RaftStatus): readonly string[] {
  return progress.map(({ node, state, match, next, inflightMessages, snapshotIndex, snapshotOffset }) => {
    const flights = inflightMessages === 0 ? "" : `, ${inflightMessages} in flight`;
    const snapshot = snapshotIndex === null ? "" : `, snapshot ${snapshotIndex} confirmed to byte ${snapshotOffset}`;
    return `  ${node}: ${state}, match ${match}, next ${next}${flights}${snapshot}`;
  });
}
