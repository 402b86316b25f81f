/** Snapshots that come late, chunk by chunk, from one stream at a time, and that are given up. */
import { describe, expect, test } from "vitest";
import type { ConfigurationChange } from "./configuration.ts";
import { MemoryLog } from "./memory-log.ts";
import type { Message, SnapshotMessage } from "./message.ts";
import { Raft } from "./raft.ts";
import type { LogStorage, SnapshotSource } from "./storage.ts";
import { seededRandom } from "./testing/cluster.ts";
import { alone, holds, settle, text, voters } from "./testing/host.ts";

/** Storage whose snapshot is there when a test says so. */
class LateSnapshot implements LogStorage {
  readonly log: MemoryLog;
  isThere = false;
  released = 0;
  readable = 0;

  constructor(log: MemoryLog) {
    this.log = log;
  }

  initial(): ReturnType<LogStorage["initial"]> {
    return this.log.initial();
  }

  get firstIndex(): number {
    return this.log.firstIndex;
  }

  get lastIndex(): number {
    return this.log.lastIndex;
  }

  term(index: number): number | null {
    return this.log.term(index);
  }

  entries(begin: number, end: number, bytesMax: number): ReturnType<LogStorage["entries"]> {
    return this.log.entries(begin, end, bytesMax);
  }

  snapshot(): SnapshotSource | null {
    const source = this.isThere ? this.log.snapshot() : null;
    return source === null
      ? null
      : {
          meta: source.meta,
          read: (offset, lengthMax) => (offset < this.readable ? source.read(offset, lengthMax) : null),
          release: () => void this.released++,
        };
  }
}

describe("a snapshot", () => {
  function compacted(): { raft: Raft; log: MemoryLog; storage: LateSnapshot } {
    const log = new MemoryLog(voters(1, 2));
    const storage = new LateSnapshot(log);
    const raft = new Raft({ storage, random: seededRandom(1) }, { id: 1, preVote: false, checkQuorum: false, snapshotChunkBytes: 4 });
    raft.campaign();
    settle(raft, log);
    raft.step({ type: "voteReply", from: 2, to: 1, term: 1, preVote: false, granted: true });
    settle(raft, log);
    raft.step(holds(2, 1));
    raft.propose(text("x"));
    settle(raft, log);
    raft.step(holds(2, 2));
    settle(raft, log);
    log.setSnapshot({ index: 2, term: 1, configuration: raft.configurationAt(2) }, text("snapshot"));
    log.compact(2, raft.configurationAt(2));
    // The follower lost its log behind the leader's back: its answer says that it holds nothing like entry 2.
    raft.reportUnreachable(2);
    return { raft, log, storage };
  }

  const lost: Message = { ...holds(2, 2), type: "appendReply", rejected: true, hintIndex: 0, hintTerm: 0 } as Message;

  test("is asked for again when the host has none yet", () => {
    const log = new MemoryLog(voters(1, 2));
    const storage = new LateSnapshot(log);
    const raft = new Raft({ storage, random: seededRandom(1) }, { id: 1, preVote: false, checkQuorum: false, snapshotChunkBytes: 4 });
    raft.campaign();
    settle(raft, log);
    raft.step({ type: "voteReply", from: 2, to: 1, term: 1, preVote: false, granted: true });
    const change: ConfigurationChange = { type: "change", steps: [{ type: "addLearner", node: 3 }], transition: "auto" };
    settle(raft, log);
    raft.step(holds(2, 1));
    settle(raft, log);
    log.setSnapshot({ index: 1, term: 1, configuration: raft.configurationAt(1) }, text("snapshot"));
    log.compact(1, raft.configurationAt(1));
    raft.proposeConfiguration(change);
    settle(raft, log);
    raft.step({ ...holds(3, 2), rejected: true } as Message);
    settle(raft, log);
    expect(raft.status().progress.find(({ node }) => node === 3)).toMatchObject({ state: "probe" });
    storage.isThere = true;
    raft.tick();
    settle(raft, log);
    raft.step({ type: "heartbeatReply", from: 3, to: 1, term: 1, round: 1 });
    settle(raft, log);
    expect(raft.status().progress.find(({ node }) => node === 3)).toMatchObject({ state: "snapshot", snapshotIndex: 1 });
    // Its bytes come later too.
    storage.readable = 4;
    raft.resumeSnapshots();
    const chunk = settle(raft, log).flatMap(({ earlyMessages }) => earlyMessages);
    expect(chunk).toMatchObject([{ type: "snapshot", to: 3, offset: 0, isLast: false }]);
    // Silence for ten election timeouts: given up, and released.
    for (let tick = 0; tick < 120; tick++) raft.tick();
    settle(raft, log);
    expect([storage.released, raft.status().progress.find(({ node }) => node === 3)?.state]).toEqual([1, "probe"]);
  });

  test("is not sent for a rejection of what is known to match", () => {
    const { raft, log, storage } = compacted();
    storage.isThere = true;
    raft.step(lost);
    settle(raft, log);
    expect(raft.status().progress[0]).toMatchObject({ match: 2, next: 3, state: "probe" });
  });

  test("is taken from one stream only, and one at a time", () => {
    const { raft, log } = alone();
    const meta = { index: 9, term: 1, configuration: log.initial().configuration };
    const chunk = (from: number, term: number, stream: number, offset: number, isLast: boolean): SnapshotMessage => ({
      type: "snapshot",
      from,
      to: 1,
      term,
      stream,
      meta: { ...meta, index: 8 + stream },
      offset,
      data: text("1234"),
      isLast,
    });
    const wants = (): unknown[] =>
      settle(raft, log).flatMap(({ messages }) =>
        messages.map((message) => (message.type === "snapshotReply" ? message.nextOffset : message.type)),
      );
    raft.step(chunk(2, 1, 2, 0, false));
    expect(wants()).toEqual([4]);
    raft.step(chunk(2, 1, 1, 4, true));
    expect(wants()).toEqual([]);
    raft.step(chunk(2, 1, 2, 8, true));
    expect(wants()).toEqual([4]);
    raft.step(chunk(2, 1, 3, 0, false));
    expect(wants()).toEqual([4]);
    raft.step(chunk(2, 1, 3, 4, true));
    // Whole, but not installed: the next one has to wait.
    raft.step(chunk(3, 2, 5, 0, false));
    const [ready] = settle(raft, log);
    expect(ready).toMatchObject({ snapshot: { index: 11 }, mustSync: true });
    expect(ready?.snapshotChunks.map(({ offset }) => offset)).toEqual([4]);
    expect([log.firstIndex, raft.status().commit, raft.status().applied]).toEqual([12, 11, 11]);
    raft.step(chunk(3, 2, 5, 0, false));
    expect(wants()).toEqual([4]);
  });

  test("is not staged beyond the window", () => {
    const { raft } = alone({ snapshotChunksMax: 2 });
    const meta = { index: 9, term: 1, configuration: voters(1, 2) };
    for (let at = 0; at < 5; at++)
      raft.step({ type: "snapshot", from: 2, to: 1, term: 1, stream: 1, meta, offset: at * 4, data: text("1234"), isLast: false });
    expect(raft.ready()?.snapshotChunks.length).toBe(2);
  });
});
