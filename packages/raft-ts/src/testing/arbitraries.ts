/** Random messages and configurations for property tests and fuzzing. */
import type { Random } from "@cfs/core";
import type { Configuration } from "../configuration.ts";
import type { Entry, EntryKind } from "../entry.ts";
import type { Message } from "../message.ts";

/** Small numbers often, large ones now and then. */
function count(random: Random): number {
  const scale = random.next();
  return Math.floor(random.next() * (scale < 0.6 ? 200 : scale < 0.9 ? 2 ** 31 : 2 ** 50));
}

function flip(random: Random): boolean {
  return random.next() < 0.5;
}

export function someConfiguration(random: Random): Configuration {
  const nodes = Array.from({ length: 7 }, (_unused, at) => at + 1).filter(() => random.next() < 0.7);
  const cut = Math.floor(random.next() * (nodes.length + 1));
  const voters = nodes.slice(0, cut);
  const rest = nodes.slice(cut);
  if (flip(random)) return { voters, votersOutgoing: [], learners: rest, learnersNext: [], autoLeave: false };
  return { voters, votersOutgoing: rest, learners: [9], learnersNext: rest.slice(0, 1), autoLeave: rest.length > 0 && flip(random) };
}

function someEntries(random: Random, prevIndex: number, prevTerm: number): Entry[] {
  let term = prevTerm;
  return Array.from({ length: Math.floor(random.next() * 5) }, (_unused, at) => {
    term += Math.floor(random.next() * 3);
    const kind = Math.floor(random.next() * 3) as EntryKind;
    return { term, index: prevIndex + 1 + at, kind, data: random.bytes(new Uint8Array(Math.floor(random.next() * 40))) };
  });
}

export function someMessage(random: Random): Message {
  const from = 1 + count(random);
  const envelope = { from, to: from + 1 + count(random), term: 20 + count(random) };
  const index = count(random);
  const term = Math.floor(random.next() * 8);
  const messages: readonly (() => Message)[] = [
    () => ({ type: "vote", ...envelope, preVote: flip(random), force: flip(random), lastIndex: index, lastTerm: term }),
    () => ({ type: "voteReply", ...envelope, preVote: flip(random), granted: flip(random) }),
    () => ({
      type: "append",
      ...envelope,
      prevIndex: index,
      prevTerm: term,
      commit: count(random),
      entries: someEntries(random, index, term),
    }),
    () => ({ type: "appendReply", ...envelope, index, rejected: flip(random), hintIndex: count(random), hintTerm: term }),
    () => ({ type: "heartbeat", ...envelope, commit: index, round: count(random), quiesce: flip(random) }),
    () => ({ type: "heartbeatReply", ...envelope, round: index }),
    () => ({
      type: "snapshot",
      ...envelope,
      stream: count(random),
      meta: { index, term, configuration: someConfiguration(random) },
      offset: count(random),
      data: random.bytes(new Uint8Array(Math.floor(random.next() * 60))),
      isLast: flip(random),
    }),
    () => ({ type: "snapshotReply", ...envelope, stream: index, nextOffset: count(random) }),
    () => ({ type: "timeoutNow", ...envelope }),
    () => ({ type: "readIndex", ...envelope, context: index }),
    () => ({ type: "readIndexReply", ...envelope, context: count(random), index }),
  ];
  return (messages[Math.floor(random.next() * messages.length)] as () => Message)();
}
