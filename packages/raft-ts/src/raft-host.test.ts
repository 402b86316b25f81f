/** The face of a replica as its host sees it: what is refused and why, what the order of a Ready guarantees, what the limits bound. */
import { describe, expect, test } from "vitest";
import type { ConfigurationChange } from "./configuration.ts";
import type { AppendMessage, HeartbeatMessage, Message } from "./message.ts";
import type { RaftOptions } from "./options.ts";
import type { Ready } from "./ready.ts";
import { Cluster } from "./testing/cluster.ts";
import { alone, holds, leading, settle, text } from "./testing/host.ts";

function elected(options: Partial<RaftOptions> = {}): Cluster {
  const cluster = Cluster.of([1, 2, 3], { raft: options });
  cluster.raft(1).campaign();
  cluster.stabilize();
  return cluster;
}

describe("proposals are refused", () => {
  test("by a follower, which names the leader", () => {
    const cluster = elected();
    expect(cluster.raft(2).propose(text("x"))).toEqual({ ok: false, reason: "notLeader", leader: 1 });
    const change: ConfigurationChange = { type: "change", steps: [{ type: "addVoter", node: 4 }], transition: "auto" };
    expect(cluster.raft(2).proposeConfiguration(change)).toEqual({ ok: false, reason: "notLeader", leader: 1 });
  });

  test("when one is too large", () => {
    const { raft } = leading({ entryBytesMax: 10 });
    expect(raft.propose(new Uint8Array(11))).toMatchObject({ reason: "tooLarge" });
    expect(raft.propose(new Uint8Array(10))).toMatchObject({ ok: true });
  });

  test("when too much is not committed, until it is", () => {
    const { raft, log } = leading({ uncommittedBytesMax: 200 });
    raft.step(holds(2, 1));
    settle(raft, log);
    expect(raft.status().uncommittedBytes).toBe(0);
    expect(raft.propose(new Uint8Array(500))).toMatchObject({ ok: true, index: 2 });
    expect(raft.propose(new Uint8Array(1))).toMatchObject({ reason: "full" });
    settle(raft, log);
    raft.step(holds(2, 2));
    settle(raft, log);
    expect(raft.propose(new Uint8Array(1))).toMatchObject({ ok: true });
  });

  test("by a new leader too, while what its predecessor left is not committed", () => {
    const { raft, log } = alone({ preVote: false, uncommittedBytesMax: 200 });
    const entries = [{ term: 1, index: 1, kind: 1, data: new Uint8Array(180) }] as const;
    raft.step({ type: "append", from: 2, to: 1, term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries });
    settle(raft, log);
    raft.campaign();
    settle(raft, log);
    raft.step({ type: "voteReply", from: 3, to: 1, term: 2, preVote: false, granted: true });
    settle(raft, log);
    expect(raft.propose(new Uint8Array(100))).toMatchObject({ reason: "full" });
    raft.step({ ...holds(3, 2), term: 2 });
    settle(raft, log);
    expect(raft.status().uncommittedBytes).toBe(0);
    expect(raft.propose(new Uint8Array(100))).toMatchObject({ ok: true });
  });

  test("while leadership is handed over", () => {
    const { raft } = leading();
    expect(raft.transferLeadership(3)).toBe(true);
    expect(raft.propose(text("x"))).toMatchObject({ reason: "transferring" });
    expect(raft.proposeConfiguration({ type: "leaveJoint" })).toMatchObject({ reason: "transferring" });
  });
});

describe("a Ready", () => {
  test("is the only one until it is done", () => {
    const { raft } = alone();
    raft.campaign();
    const ready = raft.ready();
    expect(raft.hasReady).toBe(false);
    expect(() => raft.ready()).toThrow("one Ready at a time");
    expect(() => raft.advance({ ...(ready as Ready) })).toThrow("the one that is done");
  });

  test("sends a vote only behind the vote that is stored, and a leader's appends before", () => {
    const { raft, log } = alone({ preVote: false });
    raft.campaign();
    const asking = raft.ready() as Ready;
    expect([asking.earlyMessages.length, asking.messages.length, asking.mustSync]).toEqual([0, 2, true]);
    expect(asking.hardState).toEqual({ term: 1, vote: 1, commit: 0 });
    // Both answers are faster than the host's word that the own vote is durable.
    for (const from of [2, 3]) raft.step({ type: "voteReply", from, to: 1, term: 1, preVote: false, granted: true });
    expect(raft.isLeader).toBe(false);
    log.store(asking);
    raft.advance(asking);
    expect(raft.isLeader).toBe(true);
    const leaderReady = raft.ready() as Ready;
    expect(leaderReady.earlyMessages.map(({ type }) => type)).toEqual(["append", "append"]);
    expect([leaderReady.entries.length, leaderReady.committed.length]).toEqual([1, 0]);
  });

  test("needs no sync when only the commit index has changed", () => {
    const { raft, log } = leading();
    raft.step(holds(2, 1));
    const [ready] = settle(raft, log);
    expect(ready).toMatchObject({ mustSync: false, hardState: { commit: 1 } });
    expect(ready?.committed.length).toBe(1);
  });

  test("gives what was cut off while it was being stored anew in the next", () => {
    const { raft, log } = alone();
    const append = (term: number, prevIndex: number, prevTerm: number, ...names: string[]): AppendMessage => ({
      type: "append",
      from: term + 1,
      to: 1,
      term,
      prevIndex,
      prevTerm,
      commit: 0,
      entries: names.map((name, at) => ({ term, index: prevIndex + 1 + at, kind: 1, data: text(name) })),
    });
    raft.step(append(1, 0, 0, "a", "b", "c"));
    const first = raft.ready() as Ready;
    raft.step(append(2, 1, 1, "B"));
    log.store(first);
    raft.advance(first);
    expect(raft.status()).toMatchObject({ lastIndex: 2, stableIndex: 1 });
    const [second] = settle(raft, log);
    expect(second?.entries.map(({ index, term }) => [index, term])).toEqual([[2, 2]]);
    expect([log.lastIndex, log.term(2)]).toEqual([2, 2]);
  });

  test("holds no more committed bytes than asked for", () => {
    const { raft, log } = leading({ committedBytesMax: 100 });
    for (let count = 0; count < 5; count++) raft.propose(new Uint8Array(20));
    settle(raft, log);
    raft.step(holds(2, 6));
    const counts = settle(raft, log).map(({ committed }) => committed.length);
    expect(counts.filter((count) => count > 0)).toEqual([2, 2, 2]);
  });

  test("does not gather heartbeats while the host is stuck", () => {
    const { raft, log } = leading({ checkQuorum: false });
    raft.propose(text("x"));
    const stuck = raft.ready() as Ready;
    for (let tick = 0; tick < 1000; tick++) raft.tick();
    log.store(stuck);
    raft.advance(stuck);
    const [next] = settle(raft, log);
    expect(next?.earlyMessages.length).toBe(2);
  });
});

describe("reads", () => {
  test("are bounded in number, and refused when the leader steps down", () => {
    const { raft, log } = leading({ readsPendingMax: 2 });
    expect([raft.readIndex(1), raft.readIndex(2)]).toEqual([{ ok: true }, { ok: true }]);
    expect(raft.readIndex(3)).toEqual({ ok: false, reason: "full" });
    raft.step({ type: "readIndex", from: 2, to: 1, term: 1, context: 9 });
    expect(raft.status().readsPending).toBe(2);
    for (let tick = 0; tick < 20; tick++) raft.tick();
    const refused = settle(raft, log).flatMap(({ readsRefused }) => readsRefused);
    expect(refused).toEqual([1, 2]);
  });

  test("that came before one Ready share a round", () => {
    const { raft, log } = leading();
    raft.step(holds(2, 1));
    settle(raft, log);
    for (let context = 1; context <= 5; context++) raft.readIndex(context);
    const [ready] = settle(raft, log);
    const rounds = ready?.earlyMessages.filter((message): message is HeartbeatMessage => message.type === "heartbeat") ?? [];
    expect(rounds.length).toBe(2);
    raft.step({ type: "heartbeatReply", from: 3, to: 1, term: 1, round: rounds[0]?.round ?? 0 });
    const answers = settle(raft, log).flatMap(({ reads }) => reads);
    expect(answers).toEqual([1, 2, 3, 4, 5].map((context) => ({ context, index: 1 })));
  });

  test("through a follower are answered once, whatever is doubled, and not after a restart", () => {
    const cluster = elected();
    cluster.raft(2).readIndex(5);
    cluster.process(2);
    cluster.deliver();
    cluster.process(1);
    cluster.deliver();
    cluster.process(2);
    cluster.process(3);
    cluster.deliver();
    cluster.process(1);
    const answer = cluster.network.find(({ type }) => type === "readIndexReply") as Message;
    const follower = cluster.raft(2);
    follower.step(answer);
    follower.step(answer);
    const ready = follower.ready() as Ready;
    expect(ready.reads).toEqual([{ context: 5, index: 1 }]);
    follower.advance(ready);
    cluster.at(2).restart();
    cluster.raft(2).step({ type: "heartbeat", from: 1, to: 2, term: 1, commit: 1, round: 9, quiesce: false });
    expect(cluster.raft(2).readIndex(5)).toEqual({ ok: true });
    cluster.raft(2).step(answer);
    expect(cluster.raft(2).ready()?.reads).toEqual([]);
  });

  test("that a follower passed on are refused when the term ends, or when there are too many", () => {
    const { raft, log } = alone({ readsPendingMax: 2 });
    raft.step({ type: "heartbeat", from: 2, to: 1, term: 1, commit: 0, round: 1, quiesce: false });
    for (let context = 1; context <= 3; context++) raft.readIndex(context);
    expect(settle(raft, log).flatMap(({ readsRefused }) => readsRefused)).toEqual([1]);
    raft.step({ type: "heartbeat", from: 3, to: 1, term: 2, commit: 0, round: 1, quiesce: false });
    expect(settle(raft, log).flatMap(({ readsRefused }) => readsRefused)).toEqual([2, 3]);
  });

  test("of a lone voter need nobody", () => {
    const { raft, log } = alone({}, [1]);
    raft.campaign();
    settle(raft, log);
    raft.readIndex(7);
    expect(settle(raft, log).flatMap(({ reads }) => reads)).toEqual([{ context: 7, index: 1 }]);
  });
});

describe("faith in a leader", () => {
  const vote = (term: number): Message => ({
    type: "vote",
    from: 3,
    to: 2,
    term,
    preVote: false,
    force: false,
    lastIndex: 9,
    lastTerm: 9,
  });

  test("ends when the host knows that the leader is gone", () => {
    const cluster = elected();
    cluster.raft(2).step(vote(2));
    expect(cluster.raft(2).status().term).toBe(1);
    cluster.raft(2).forgetLeader();
    cluster.raft(2).step(vote(2));
    expect(cluster.raft(2).status()).toMatchObject({ term: 2, vote: 3 });
    cluster.raft(1).forgetLeader();
    expect(cluster.raft(1).isLeader).toBe(true);
  });

  test("is a promise in lease mode: kept over a restart, and not to be talked out of", () => {
    const cluster = Cluster.of([1, 2, 3], { raft: { readMode: "lease" } });
    cluster.tickAll(40);
    cluster.at(2).restart();
    cluster.raft(2).forgetLeader();
    cluster.raft(2).step(vote(9));
    expect(cluster.raft(2).status()).toMatchObject({ term: 1 });
    cluster.raft(2).campaign();
    expect(cluster.raft(2).status().role).toBe("follower");
  });
});

describe("a quiet group", () => {
  test("ignores a last heartbeat that was overtaken", () => {
    const cluster = elected();
    expect(cluster.raft(1).quiesce()).toBe(true);
    expect(cluster.raft(1).quiesce()).toBe(true);
    const ready = cluster.raft(1).ready() as Ready;
    const last = ready.earlyMessages.find(({ to }) => to === 2) as Message;
    cluster.raft(1).advance(ready);
    cluster.raft(1).wake();
    cluster.stabilize();
    cluster.raft(2).step(last);
    expect(cluster.raft(2).isQuiescent).toBe(false);
  });

  test("breaks no promise of a life before, though a last heartbeat comes again after a restart", () => {
    const cluster = Cluster.of([1, 2, 3], { raft: { readMode: "lease" } });
    cluster.tickAll(40);
    const leader = cluster.leader();
    const [voter, other] = [1, 2, 3].filter((id) => id !== leader) as [number, number];
    expect(cluster.raft(leader).quiesce()).toBe(true);
    cluster.process(leader);
    const last = cluster.network.find(({ to }) => to === voter) as Message;
    cluster.stabilize();
    expect([1, 2, 3].map((id) => cluster.raft(id).isQuiescent)).toEqual([true, true, true]);

    // The leader loses one of them, and has a lease with the other.
    cluster.cut(leader, other);
    cluster.cut(other, leader);
    cluster.raft(other).wake();
    cluster.raft(leader).wake();
    for (let tick = 0; tick < 25; tick++) {
      cluster.stabilize();
      cluster.raft(leader).tick();
      cluster.raft(voter).tick();
    }
    cluster.stabilize();
    cluster.at(voter).restart();
    cluster.raft(voter).step(last);
    expect(cluster.raft(voter).isQuiescent).toBe(true);
    cluster.isolate(leader);
    cluster.raft(voter).wake();
    // The other has waited for long enough; the voter has not.
    for (let tick = 0; tick < 10; tick++) cluster.raft(other).tick();
    cluster.raft(other).campaign();
    cluster.stabilize();
    expect(cluster.raft(other).isLeader).toBe(false);
    const answers: number[] = [];
    cluster.onReady = (id, { reads }) => {
      if (id === leader) answers.push(...reads.map(({ context }) => context));
    };
    cluster.raft(leader).readIndex(7);
    cluster.stabilize();
    expect(answers).toEqual([7]);

    // Nor for ever.
    for (let tick = 0; tick < 60; tick++) {
      cluster.raft(voter).tick();
      cluster.raft(other).tick();
      cluster.stabilize();
    }
    expect(cluster.raft(voter).isLeader || cluster.raft(other).isLeader).toBe(true);
  });

  test("is not woken by answers to what was said before", () => {
    const cluster = elected();
    cluster.raft(1).tick();
    cluster.process(1);
    cluster.deliver();
    cluster.process(2);
    cluster.process(3);
    expect(cluster.raft(1).quiesce()).toBe(true);
    cluster.stabilize();
    expect([1, 2, 3].map((id) => cluster.raft(id).isQuiescent)).toEqual([true, true, true]);
  });

  test("needs a quorum that is there", () => {
    const cluster = elected();
    expect(cluster.raft(1).quiesce([2, 3])).toBe(false);
    expect(cluster.raft(1).quiesce([2])).toBe(true);
  });
});

describe("hints", () => {
  test("of rank are in range, and do not make a leader restless", () => {
    const cluster = elected();
    cluster.raft(1).setRank(3);
    cluster.tickAll(5);
    expect(cluster.leader()).toBe(1);
    expect(() => cluster.raft(1).setRank(9)).toThrow("rank");
  });

  test("of lost connections and snapshots are harmless elsewhere", () => {
    const cluster = elected();
    cluster.raft(2).reportUnreachable(1);
    cluster.raft(2).resumeSnapshots();
    cluster.raft(1).reportUnreachable(9);
    cluster.raft(1).resumeSnapshots();
    cluster.stabilize();
    expect(
      cluster
        .raft(1)
        .status()
        .progress.map(({ state }) => state),
    ).toEqual(["replicate", "replicate"]);
  });
});

describe("compaction", () => {
  test("leaves what present followers need, and does not wait for absent ones", () => {
    const cluster = elected();
    cluster.isolate(3);
    for (const name of ["a", "b", "c"]) cluster.raft(1).propose(text(name));
    cluster.stabilize();
    expect(cluster.raft(1).compactableIndex()).toBe(1);
    expect(cluster.raft(2).compactableIndex()).toBe(4);
    cluster.tickAll(25);
    expect(cluster.raft(1).compactableIndex()).toBe(4);
  });

  test("knows the configuration at each index that is left", () => {
    const cluster = elected();
    const change: ConfigurationChange = { type: "change", steps: [{ type: "addLearner", node: 4 }], transition: "auto" };
    cluster.raft(1).proposeConfiguration(change);
    cluster.stabilize();
    expect(cluster.raft(1).configurationAt(1).learners).toEqual([]);
    expect(cluster.raft(1).configurationAt(2).learners).toEqual([4]);
  });
});

describe("messages", () => {
  test("for somebody else are a bug of the host", () => {
    expect(() => alone().raft.step({ type: "timeoutNow", from: 2, to: 3, term: 1 })).toThrow("for this replica");
  });

  test("from strangers and of past roles change nothing", () => {
    const { raft, log } = leading();
    for (const from of [7, 8]) {
      raft.step(holds(from, 1));
      raft.step({ type: "heartbeatReply", from, to: 1, term: 1, round: 0 });
      raft.step({ type: "snapshotReply", from, to: 1, term: 1, stream: 1, nextOffset: 5 });
    }
    raft.step({ type: "snapshotReply", from: 2, to: 1, term: 1, stream: 1, nextOffset: 5 });
    raft.step({ type: "voteReply", from: 3, to: 1, term: 1, preVote: true, granted: true });
    settle(raft, log);
    expect(raft.status()).toMatchObject({ role: "leader", commit: 0 });
  });

  test("of a candidate that is behind are answered with the newer term", () => {
    const { raft, log } = alone();
    raft.step({ type: "heartbeat", from: 2, to: 1, term: 5, commit: 0, round: 1, quiesce: false });
    settle(raft, log);
    for (const preVote of [true, false])
      raft.step({ type: "vote", from: 3, to: 1, term: 3, preVote, force: false, lastIndex: 0, lastTerm: 0 });
    const replies = settle(raft, log).flatMap(({ messages }) => messages);
    expect(replies).toMatchObject([
      { type: "voteReply", term: 5, granted: false },
      { type: "voteReply", term: 5, granted: false },
    ]);
  });

  test("of an old leader are answered only where that is needed", () => {
    const heartbeat: Message = { type: "heartbeat", from: 3, to: 1, term: 3, commit: 0, round: 1, quiesce: false };
    for (const isChecked of [true, false]) {
      const { raft, log } = alone({ preVote: isChecked, checkQuorum: isChecked });
      raft.step({ ...heartbeat, from: 2, term: 5 });
      settle(raft, log);
      raft.step(heartbeat);
      expect(settle(raft, log).flatMap(({ messages }) => messages).length).toBe(isChecked ? 1 : 0);
    }
  });
});
