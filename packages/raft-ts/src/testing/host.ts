/** A replica without a cluster, and a host that does what it is told: for tests that speak to it message by message. */
import type { Configuration } from "../configuration.ts";
import { MemoryLog } from "../memory-log.ts";
import type { Message } from "../message.ts";
import type { RaftOptions } from "../options.ts";
import { Raft } from "../raft.ts";
import type { Ready } from "../ready.ts";
import { seededRandom } from "./cluster.ts";

export const voters = (...ids: number[]): Configuration => ({
  voters: ids,
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
});
export const text = (value: string): Uint8Array => Buffer.from(value);

export function alone(options: Partial<RaftOptions> = {}, ids: readonly number[] = [1, 2, 3]): { raft: Raft; log: MemoryLog } {
  const log = new MemoryLog(voters(...ids));
  return { log, raft: new Raft({ storage: log, random: seededRandom(1) }, { id: 1, ...options }) };
}

/** Does everything that is to be done; gives the Readies. */
export function settle(raft: Raft, log: MemoryLog): Ready[] {
  const done: Ready[] = [];
  for (let ready = raft.ready(); ready !== null; ready = raft.ready()) {
    log.store(ready);
    raft.advance(ready);
    done.push(ready);
  }
  return done;
}

/** Replica 1 leads 1, 2 and 3; its peers answer when told to. */
export function leading(options: Partial<RaftOptions> = {}): { raft: Raft; log: MemoryLog } {
  const one = alone({ preVote: false, ...options });
  one.raft.campaign();
  settle(one.raft, one.log);
  one.raft.step({ type: "voteReply", from: 2, to: 1, term: 1, preVote: false, granted: true });
  settle(one.raft, one.log);
  return one;
}

export const holds = (from: number, index: number): Message => ({
  type: "appendReply",
  from,
  to: 1,
  term: 1,
  index,
  rejected: false,
  hintIndex: 0,
  hintTerm: 0,
});
