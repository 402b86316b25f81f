/** The multi-group driver on nodes in one process: what callers see, what is durable, what it costs, what ends it. */
import type { CfsError } from "@cfs/core";
import { standardRules } from "@cfs/metadata";
import type { DriverRules, PeerItem } from "@cfs/metadata";
import { driverRulesWithBug } from "@cfs/metadata/testing";
import { FaultyIo } from "@cfs/storage";
import { entryKinds } from "raft-ts";
import { expect, test } from "vitest";
import { ShardBed, text, watched } from "./shard-bed.ts";

const noVoters = { voters: [], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };

test("a command is applied on every node, and its caller gets the result", async () => {
  const bed = await ShardBed.start();
  await bed.createGroup(1);
  const leader = bed.node(await bed.elect(1));
  const first = leader.up.propose(1, text("a=1"));
  const second = leader.up.propose(1, text("a=2"));
  await bed.settle();
  expect((await first).result).toBe("");
  expect((await second).result).toBe("1");
  await bed.ticks(2);
  for (const node of bed.nodes) expect(node.machines.get(1)?.registers.get("a")).toBe("2");
  await bed.closeAll();
});

test("a hundred groups share one write and one batch per peer", async () => {
  const bed = await ShardBed.start({ driver: { quiesceTicks: 0 } });
  for (let group = 1; group <= 100; group++) await bed.createGroup(group);
  for (let group = 1; group <= 100; group++) bed.node(1).up.campaign(group);
  await bed.settle();
  const before = { frames: bed.node(1).log?.statistics.frameCount ?? 0, batches: bed.batchCount };
  const answers = Array.from({ length: 100 }, (_, at) => bed.node(1).up.propose(at + 1, text("x=1")));
  await bed.settle();
  expect((await Promise.all(answers)).length).toBe(100);
  expect((bed.node(1).log?.statistics.frameCount ?? 0) - before.frames).toBe(1);
  // Appends to two peers, their answers, and the news of the commit.
  expect(bed.batchCount - before.batches).toBeLessThanOrEqual(8);
  const quiet = bed.batchCount;
  await bed.ticks(1);
  // Heartbeats of a hundred groups: one batch to each of two peers, and an answer from each.
  expect(bed.batchCount - quiet).toBeLessThanOrEqual(4);
  await bed.closeAll();
});

test("a leader that stood still does not answer a follower's read by a lease that is over, though it hears of it before its timer", async () => {
  const raft = { readMode: "lease", checkQuorum: true, electionTicks: 10 } as const;
  const bed = await ShardBed.start({ nodes: 5, driver: { quiesceTicks: 0, raft } });
  await bed.createGroup(1);
  await bed.ticks(15);
  const old = await bed.elect(1);
  await bed.ticks(5);
  const before = watched(bed.node(old).up.propose(1, text("a=1")));
  await bed.ticks(3);
  expect(before.value).not.toBeNull();
  // A follower is cut off with it, and still takes it for the leader when the three others have another one.
  const follower = old === 1 ? 2 : 1;
  bed.node(follower).up.setRank(1, 8);
  const pair = [old, follower];
  bed.holdTimers(old);
  bed.isCut = (from, to) => pair.includes(from) || pair.includes(to);
  await bed.ticks(45);
  const next = bed.nodes.find(({ number, up }) => number !== old && up.status(1).role === "leader")?.number ?? 0;
  expect(pair).not.toContain(next);
  const write = watched(bed.node(next).up.propose(1, text("a=2")));
  await bed.settle();
  expect(write.value).not.toBeNull();

  bed.isCut = (from, to) => !pair.includes(from) || !pair.includes(to);
  expect(bed.node(follower).up.status(1).leader).toBe(old);
  const read = watched(bed.node(follower).up.readIndex(1));
  await bed.settle();
  expect(read.value).toBeNull();
  bed.resumeTimers(old);
  await bed.settle();
  expect(read.value).toBeNull();
  await bed.closeAll();
});

test("groups with nothing to do have no timer and send nothing, and wake for work or a lost node", async () => {
  const bed = await ShardBed.start({ driver: { quiesceTicks: 5 } });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  await bed.ticks(15);
  for (const { driver } of bed.nodes) expect(driver?.awakeCount).toBe(0);
  const { batchCount } = bed;
  await bed.ticks(100);
  expect(bed.batchCount).toBe(batchCount);
  const answer = bed.node(leader).up.propose(1, text("a=1"));
  await bed.ticks(2);
  expect((await answer).index).toBeGreaterThan(0);
  await bed.ticks(15);
  // The leader's node dies: the others sleep on until they are told.
  bed.crash(leader);
  await bed.ticks(50);
  expect(bed.leaderOf(1)).toBeNull();
  for (const { driver } of bed.nodes) driver?.setPeerUp(leader, false);
  expect(await bed.elect(1)).not.toBe(leader);
  await bed.boot(leader);
  await bed.ticks(20);
  await bed.closeAll();
});

/** What a leader says to a follower before it goes quiet. */
function lastWords(bed: ShardBed, leader: number, to: number): PeerItem {
  const { term, commit } = bed.node(leader).up.status(1);
  const message = { type: "heartbeat", from: leader, to, term, commit, round: 1e6, quiesce: true } as const;
  return { type: "raft", group: 1, gate: 0, held: 0, message };
}

test("last words of a leader that come after the news of its death put nobody to sleep", async () => {
  const bed = await ShardBed.start({ driver: { quiesceTicks: 0 } });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  await bed.ticks(3);
  const others = bed.nodes.filter(({ number }) => number !== leader);
  const late = others.map(({ number }) => lastWords(bed, leader, number));
  bed.crash(leader);
  for (const { up } of others) up.setPeerUp(leader, false);
  for (const [at, { up }] of others.entries()) up.receive(leader, [late[at] as PeerItem]);
  await bed.settle();
  for (const { up } of others) expect(up.status(1).isQuiescent).toBe(false);
  expect(await bed.elect(1)).not.toBe(leader);
  await bed.closeAll();
});

test("a follower wakes for a lost leader that it has heard of while its drive hung", async () => {
  const bed = await ShardBed.start({ driver: { quiesceTicks: 0 } });
  await bed.createGroup(1);
  const first = await bed.elect(1);
  await bed.ticks(3);
  const [candidate, follower] = bed.nodes.filter(({ number }) => number !== first).map(({ number }) => number) as [number, number];
  // Its vote is on its way to the drive; so what it hears from the new leader is not looked at yet.
  bed.stall(follower);
  bed.node(first).up.transferLeadership(1, candidate);
  await bed.settle();
  expect(bed.leaderOf(1)).toBe(candidate);
  await bed.ticks(2);
  const { up } = bed.node(follower);
  up.receive(candidate, [lastWords(bed, candidate, follower)]);
  expect(up.status(1).isQuiescent).toBe(true);
  up.setPeerUp(candidate, false);
  expect(up.status(1).isQuiescent).toBe(false);
  bed.release(follower);
  await bed.closeAll();
});

/** A leader whose drive hangs, with one entry that has a payload; says which other nodes have the entry. */
async function withHangingLeader(
  rules: DriverRules,
): Promise<{ readonly holders: number; readonly entries: number; readonly isAnswered: boolean }> {
  const bed = await ShardBed.start({ rules });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  await bed.ticks(2);
  bed.stall(leader);
  const answer = watched(bed.node(leader).up.propose(1, text("a=1"), new Uint8Array(500)));
  await bed.settle();
  const others = bed.nodes.filter(({ number }) => number !== leader).map(({ log }) => log?.groups.get(1));
  const index = Math.max(...others.map((group) => group?.lastIndex ?? 0));
  const holders = others.filter((group) => group?.hasPayload(index) === true).length;
  const entries = others.filter((group) => group?.lastIndex === index).length;
  const isAnswered = answer.value !== null;
  bed.release(leader);
  await bed.ticks(3);
  expect(answer.value?.index).toBe(index);
  await bed.closeAll();
  return { holders, entries, isAnswered };
}

test("the gate counts a payload only where it is durable, the leader's own too", async () => {
  expect(await withHangingLeader(standardRules)).toEqual({ holders: 1, entries: 1, isAnswered: false });
  // The wrong rule gives the entry to a third node, while one node has its payload.
  expect(await withHangingLeader(driverRulesWithBug("countPayloadBeforeDurable"))).toMatchObject({ holders: 1, entries: 2 });
});

test("a payload is on the leader and one other node, and a new leader can give it to everybody who needs it", async () => {
  const bed = await ShardBed.start();
  await bed.createGroup(1);
  const first = await bed.elect(1);
  const payload = new Uint8Array(5000).fill(9);
  const answer = bed.node(first).up.propose(1, text("a=1"), payload);
  await bed.ticks(3);
  const { index } = await answer;
  const holders = bed.nodes.filter(({ log }) => log?.groups.get(1)?.hasPayload(index) === true).map(({ number }) => number);
  expect(holders.length).toBe(2);
  expect(holders).toContain(first);
  for (const holder of holders) expect(await bed.node(holder).up.readPayload(1, index)).toEqual(payload);
  bed.crash(first);
  const second = await bed.elect(1);
  const more = bed.node(second).up.propose(1, text("a=2"), payload);
  await bed.ticks(20);
  expect((await more).result).toBe("1");
  await bed.closeAll();
});

test("a follower that is far behind gets the state as a snapshot, within the node's rate, while the log goes on", async () => {
  const installed: number[] = [];
  const bed = await ShardBed.start({
    driver: { compactEntries: 20, raft: { snapshotChunkBytes: 64 }, snapshotBytesPerSecond: 4096 },
    listener: { onSnapshotInstalled: (_, meta) => installed.push(meta.index) },
  });
  await bed.createGroup(1);
  bed.node(1).up.campaign(1);
  await bed.settle();
  bed.crash(3);
  for (let round = 0; round < 30; round++) {
    for (let at = 0; at < 10; at++)
      bed
        .node(1)
        .up.propose(1, text(`key${at}=${round}`))
        .catch(() => undefined);
    await bed.ticks(1);
  }
  expect(bed.node(1).up.status(1).firstIndex).toBeGreaterThan(200);
  await bed.boot(3);
  for (let round = 0; round < 40; round++) {
    bed
      .node(1)
      .up.propose(1, text(`late=${round}`))
      .catch(() => undefined);
    await bed.ticks(1);
  }
  expect(installed.length).toBeGreaterThan(0);
  expect(bed.node(3).machines.get(1)?.hash).toBe(bed.node(1).machines.get(1)?.hash);
  await bed.closeAll();
});

test("a node joins a group that others began, and leaves it", async () => {
  const bed = await ShardBed.start({ nodes: 4 });
  await bed.createGroup(1, [1, 2, 3]);
  const leader = bed.node(await bed.elect(1));
  const answer = leader.up.propose(1, text("a=1"));
  await bed.ticks(1);
  await answer;
  await bed.node(4).up.createGroup(1, noVoters);
  const joined = leader.up.changeConfiguration(1, { type: "change", steps: [{ type: "addVoter", node: 4 }], transition: "auto" });
  await bed.ticks(10);
  expect((await joined).result).toBeNull();
  expect(bed.node(4).machines.get(1)?.registers.get("a")).toBe("1");
  const left = leader.up.changeConfiguration(1, { type: "change", steps: [{ type: "remove", node: 4 }], transition: "auto" });
  await bed.ticks(5);
  await left;
  await bed.node(4).up.removeGroup(1);
  expect(bed.node(4).up.groups).toEqual([]);
  expect(() => bed.node(4).up.status(1)).toThrow("NOT_FOUND");
  await bed.closeAll();
});

test("a read at a follower waits until it has what was answered before", async () => {
  const bed = await ShardBed.start();
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  const follower = bed.node((leader % 3) + 1);
  const answer = bed.node(leader).up.propose(1, text("a=1"));
  await bed.ticks(1);
  const { index } = await answer;
  const read = follower.up.readIndex(1);
  await bed.ticks(2);
  expect(await read).toBeGreaterThanOrEqual(index);
  expect(follower.machines.get(1)?.registers.get("a")).toBe("1");
  // Alone, nobody answers, and the read is given up.
  bed.isCut = () => true;
  const lost = watched(follower.up.readIndex(1));
  await bed.ticks(60);
  expect(["TIMED_OUT", "AGAIN"]).toContain(lost.error?.code);
  await bed.closeAll();
});

test("proposals are refused with AGAIN where they cannot be taken, and say who leads", async () => {
  const bed = await ShardBed.start({ driver: { payloadBytesMax: 2000 } });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  const follower = bed.node((leader % 3) + 1);
  await bed.ticks(2);
  await expect(follower.up.propose(1, text("a=1"))).rejects.toMatchObject({ code: "AGAIN", details: { reason: "notLeader", leader } });
  await expect(follower.up.propose(7, text("a=1"))).rejects.toMatchObject({ code: "NOT_FOUND" });
  bed.isCut = () => true;
  const { up } = bed.node(leader);
  const outcomes = [1, 2, 3].map((at) => watched(up.propose(1, text(`a=${at}`), new Uint8Array(900))));
  await bed.settle();
  expect(outcomes.map(({ error }) => error?.code ?? null)).toEqual([null, null, "AGAIN"]);
  const signal = AbortSignal.abort();
  await expect(up.propose(1, text("b=1"), null, { signal })).rejects.toMatchObject({ code: "INTERRUPTED" });
  const control = new AbortController();
  const waiting = watched(up.propose(1, text("b=1"), null, { signal: control.signal }));
  control.abort();
  await bed.settle();
  expect(waiting.error?.code).toBe("INTERRUPTED");
  // Without a quorum the leader steps down, and what it took may or may not happen.
  await bed.ticks(30);
  expect(outcomes[0]?.error?.code).toBe("TIMED_OUT");
  await bed.closeAll();
});

test("a drive that fails ends the node's driver: nothing is answered, everybody who waits hears why, the others go on", async () => {
  const faulty: FaultyIo[] = [];
  const broken: CfsError[] = [];
  const bed = await ShardBed.start({
    wrapIo: (io) => {
      faulty.push(new FaultyIo({ io }));
      return faulty.at(-1) as FaultyIo;
    },
    listener: { onBroken: (reason) => broken.push(reason) },
  });
  await bed.createGroup(1);
  const leader = await bed.elect(1);
  faulty[leader - 1]?.setRules([{ on: "write", nth: 1, fail: "IO" }]);
  const answer = watched(bed.node(leader).up.propose(1, text("a=1")));
  await bed.settle();
  expect(answer.error?.message).toContain("a write failed");
  expect(broken.length).toBe(1);
  await expect(bed.node(leader).up.propose(1, text("a=2"))).rejects.toBe(broken[0]);
  const dead = bed.node(leader);
  await dead.driver?.close();
  await dead.log?.close();
  dead.driver = null;
  const next = await bed.elect(1);
  const second = bed.node(next).up.propose(1, text("a=3"));
  await bed.ticks(5);
  expect((await second).index).toBeGreaterThan(1);
  await bed.closeAll();
});

test("closing answers everybody, twice is fine, and what was durable opens again", async () => {
  const bed = await ShardBed.start({ nodes: 1 });
  await bed.createGroup(1);
  await bed.elect(1);
  const { up, log } = bed.node(1);
  const answer = up.propose(1, text("a=1"));
  await bed.settle();
  await answer;
  bed.stall(1);
  const late = watched(up.propose(1, text("a=2")));
  await bed.settle();
  const closing = Promise.all([up.close(), up.close()]);
  bed.release(1);
  await closing;
  await log?.close();
  expect(late.value !== null || late.error !== null).toBe(true);
  await expect(up.propose(1, text("a=3"))).rejects.toMatchObject({ code: "BAD_HANDLE" });
  await bed.boot(1);
  await bed.elect(1);
  await bed.ticks(1);
  expect(bed.node(1).machines.get(1)?.registers.get("a")).toBe("2");
  await bed.closeAll();
});

test("a state that is behind its log's begin, or ahead of its end, is refused", async () => {
  const bed = await ShardBed.start({ nodes: 1, driver: { compactEntries: 5 } });
  await bed.createGroup(1);
  await bed.elect(1);
  for (let at = 0; at < 20; at++)
    bed
      .node(1)
      .up.propose(1, text(`a=${at}`))
      .catch(() => undefined);
  await bed.ticks(3);
  expect(bed.node(1).up.status(1).firstIndex).toBeGreaterThan(5);
  bed.crash(1);
  const disk = bed.node(1).disks.get(1);
  const { durable } = disk ?? {};
  bed.node(1).disks.delete(1);
  await expect(bed.boot(1)).rejects.toThrow("one of them was lost");
  bed.crash(1);
  if (disk !== undefined && durable !== undefined) {
    disk.durable = { ...durable, appliedIndex: 1000 };
    bed.node(1).disks.set(1, disk);
  }
  await expect(bed.boot(1)).rejects.toMatchObject({ code: "CORRUPT" });
});

test("power may fail at every single request of a drive: the node comes back with what it promised", { timeout: 120_000 }, async () => {
  let isLast = false;
  let points = 0;
  for (let request = 0; !isLast; request++) {
    const bed = await ShardBed.start({ seed: request + 1, driver: { compactEntries: 6 } });
    await bed.createGroup(1);
    bed.node(1).up.campaign(1);
    await bed.settle();
    bed.node(1).requestsLeft = request;
    const answered: number[] = [];
    for (let round = 0; round < 14 && bed.node(1).driver !== null; round++) {
      const { up } = bed.node(1);
      const { life } = bed.node(1);
      const taken = (applied: { index: number }): void => {
        if (bed.node(1).life === life) answered.push(applied.index);
      };
      up.propose(1, text(`a=${round}`), new Uint8Array(40)).then(taken, () => undefined);
      up.propose(1, text(`b=${round}`)).then(taken, () => undefined);
      await bed.ticks(1);
    }
    isLast = bed.node(1).driver !== null;
    bed.node(1).requestsLeft = Number.MAX_SAFE_INTEGER;
    if (!isLast) await bed.boot(1);
    await bed.ticks(60);
    await bed.elect(1);
    await bed.ticks(5);
    const [one, two, three] = bed.nodes.map(({ machines }) => machines.get(1));
    expect(one?.hash).toBe(two?.hash);
    expect(two?.hash).toBe(three?.hash);
    expect(one?.appliedIndex).toBeGreaterThanOrEqual(Math.max(0, ...answered));
    await bed.closeAll();
    points++;
  }
  expect(points).toBeGreaterThan(10);
});

test("a group that is asked for twice at once is created once", async () => {
  const bed = await ShardBed.start({ nodes: 1 });
  const { up } = bed.node(1);
  const configuration = { ...noVoters, voters: [1] };
  const both = await Promise.allSettled([up.createGroup(1, configuration), up.createGroup(1, configuration)]);
  expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(both[1]).toMatchObject({ reason: { code: "EXISTS" } });
  await bed.elect(1);
  await bed.closeAll();
});

test("a first configuration that contradicts itself is refused, and is not in the log", async () => {
  const bed = await ShardBed.start({ nodes: 1 });
  await expect(bed.node(1).up.createGroup(1, { ...noVoters, voters: [1, 1, 2] })).rejects.toMatchObject({ code: "INVALID" });
  bed.crash(1);
  await bed.boot(1);
  expect(bed.node(1).up.groups).toEqual([]);
  await bed.closeAll();
});

test("a message that cannot be understood is dropped, and the rest of its batch is taken", async () => {
  const bed = await ShardBed.start({ nodes: 2 });
  for (const group of [1, 2]) await bed.createGroup(group);
  const entries = [{ term: 5, index: 1, kind: entryKinds.configuration, data: Uint8Array.of(9, 0) }];
  const common = { from: 2, to: 1, term: 5, prevIndex: 0, prevTerm: 0, commit: 0 };
  const batch: PeerItem[] = [
    { type: "raft", group: 1, gate: 0, held: 0, message: { type: "append", ...common, entries } },
    { type: "raft", group: 2, gate: 0, held: 0, message: { type: "append", ...common, entries: [] } },
  ];
  bed.node(1).up.receive(2, batch);
  expect(bed.node(1).up.status(1)).toMatchObject({ lastIndex: 0, configuration: { voters: [1, 2] } });
  expect(bed.node(1).up.status(2)).toMatchObject({ term: 5, leader: 2 });
  await bed.closeAll();
});
