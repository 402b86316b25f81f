/** The whole replica in a small cluster: election, replication, restart, refusals, limits. Stories are in testdata/. */
import { describe, expect, test } from "vitest";
import { emptyConfiguration } from "./configuration.ts";
import { entryKinds } from "./entry.ts";
import { MemoryLog } from "./memory-log.ts";
import { Raft } from "./raft.ts";
import { Cluster, seededRandom } from "./testing/cluster.ts";

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

describe("a change of the configuration", () => {
  test("does not depose the leader before the new member could answer once", () => {
    // Up to one tick before the next check of the quorum, whenever that is.
    for (let tick = 0; tick < 10; tick++) {
      const lone = Cluster.of([1]);
      lone.tickAll(40 + tick);
      const steps = [{ type: "addVoter", node: 2 }] as const;
      expect(lone.raft(1).proposeConfiguration({ type: "change", transition: "auto", steps })).toMatchObject({ ok: true });
      lone.tickAll(1);
      expect([tick, lone.raft(1).isLeader]).toEqual([tick, true]);
      lone.tickAll(20);
      expect([tick, lone.raft(1).isLeader]).toEqual([tick, false]);
    }
  });

  test("that cannot be read is refused as a whole, again and again, and is not in the log after a restart", () => {
    const cluster = Cluster.of([1, 2, 3]);
    const entries = [
      { term: 1, index: 1, kind: entryKinds.empty, data: bytes("") },
      { term: 1, index: 2, kind: entryKinds.configuration, data: Uint8Array.of(9, 0) },
    ];
    for (let time = 0; time < 2; time++) {
      const message = { type: "append", from: 2, to: 1, term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries } as const;
      expect(() => cluster.raft(1).step(message)).toThrow("raft configuration has version 9, 1 is known");
      expect(cluster.raft(1).status()).toMatchObject({ lastIndex: 0, configuration: { voters: [1, 2, 3] } });
    }
    cluster.stabilize();
    cluster.at(1).restart();
    expect(cluster.raft(1).status()).toMatchObject({ lastIndex: 0, term: 1 });
  });
});

test("a first configuration that names a voter twice is refused", () => {
  const storage = new MemoryLog({ ...emptyConfiguration, voters: [1, 1, 1, 2, 3] });
  expect(() => new Raft({ storage, random: seededRandom(1) }, { id: 1 })).toThrow("first configuration is sound");
});
