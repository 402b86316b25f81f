/** The whole replica in a small cluster: election, replication, restart, refusals, limits. Stories are in testdata/. */
import { describe, expect, test } from "vitest";
import { Cluster } from "./testing/cluster.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

function elected(ids: readonly number[] = [1, 2, 3], options: ConstructorParameters<typeof Cluster>[0] = {}): Cluster {
  const cluster = Cluster.of(ids, options);
  cluster.raft(1).campaign();
  cluster.stabilize();
  return cluster;
}

describe("a group of three", () => {
  test("elects whoever campaigns", () => {
    const cluster = elected();
    expect(cluster.leader()).toBe(1);
    for (const { raft } of cluster.replicas.values()) expect(raft.status()).toMatchObject({ leader: 1, term: 1, commit: 1 });
  });

  test("applies a proposal everywhere", () => {
    const cluster = elected();
    expect(cluster.raft(1).propose(bytes("a"))).toEqual({ ok: true, index: 2, term: 1 });
    cluster.stabilize();
    for (const { applied } of cluster.replicas.values()) expect(applied).toEqual([{ index: 2, text: "a" }]);
  });

  test("elects by itself when time passes", () => {
    const cluster = Cluster.of([1, 2, 3]);
    cluster.tickAll(40);
    expect(cluster.leader()).not.toBe(0);
  });

  test("adds nothing to a Ready that is out: an answer of later waits for what it answers for", () => {
    const raft = elected().raft(1);
    raft.propose(bytes("a"));
    const ready = raft.ready();
    expect(ready?.messages).toEqual([]);
    raft.step({ type: "vote", from: 2, to: 1, term: 9, preVote: false, force: true, lastIndex: 99, lastTerm: 8 });
    expect(raft.status()).toMatchObject({ term: 9, vote: 2 });
    expect(ready?.messages).toEqual([]);
  });

  test("goes on after a restart of everybody", () => {
    const cluster = elected();
    cluster.raft(1).propose(bytes("a"));
    cluster.stabilize();
    for (const replica of cluster.replicas.values()) replica.restart();
    cluster.raft(2).campaign();
    cluster.stabilize();
    cluster.raft(2).propose(bytes("b"));
    cluster.stabilize();
    expect(cluster.at(3).applied.map(({ text }) => text)).toEqual(["a", "b"]);
  });
});
