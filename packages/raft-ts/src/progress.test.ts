/** What a leader keeps of one follower: the window, the states, the stream of a snapshot, and what waits for a Ready. */
import { describe, expect, test } from "vitest";
import { emptyConfiguration } from "./configuration.ts";
import { Inflights } from "./inflights.ts";
import type { HeartbeatMessage, Message } from "./message.ts";
import { completeOptions } from "./options.ts";
import { Outbox } from "./outbox.ts";
import { Progress } from "./progress.ts";
import { SnapshotStream } from "./snapshot-stream.ts";

describe("inflights", () => {
  test("are full by count", () => {
    const inflights = new Inflights(2, 1000);
    inflights.add(1, 10);
    expect(inflights.isFull).toBe(false);
    inflights.add(2, 10);
    expect(inflights.isFull).toBe(true);
    inflights.freeTo(1);
    expect([inflights.isFull, inflights.count, inflights.bytes]).toEqual([false, 1, 10]);
  });

  test("are full by bytes, but let one large append pass", () => {
    const inflights = new Inflights(10, 100);
    inflights.add(1, 5000);
    expect(inflights.isFull).toBe(true);
    expect(() => inflights.add(2, 1)).toThrow("room in the window");
    inflights.freeTo(1);
    expect([inflights.isFull, inflights.bytes]).toEqual([false, 0]);
  });

  test("keep their memory bounded over many appends", () => {
    const inflights = new Inflights(3, 1000);
    inflights.add(0, 1);
    for (let index = 1; index < 1000; index++) {
      inflights.add(index, 1);
      inflights.freeTo(index - 1);
      expect([inflights.count, inflights.bytes]).toEqual([1, 1]);
    }
  });
});

describe("progress", () => {
  const progress = (): Progress => new Progress(2, 11, new Inflights(4, 1000));

  test("probes once at a time, then pipelines", () => {
    const follower = progress();
    follower.sent(10, 0, 0);
    expect([follower.isPaused, follower.next]).toEqual([true, 11]);
    expect(follower.matched(10)).toBe(true);
    follower.becomeReplicate();
    follower.sent(12, 2, 50);
    follower.sent(13, 1, 50);
    expect([follower.isPaused, follower.next, follower.match]).toEqual([false, 14, 10]);
    expect(follower.matched(10)).toBe(false);
  });

  test("steps back to where the follower may agree, and never below what matches", () => {
    const follower = progress();
    expect(follower.rejectedAt(9, 5)).toBe(false);
    expect(follower.rejectedAt(10, 5)).toBe(true);
    expect(follower.next).toBe(6);
    follower.matched(3);
    expect(follower.rejectedAt(5, 0)).toBe(true);
    expect(follower.next).toBe(4);
  });

  test("goes back to probing when something that was sent is missing", () => {
    const follower = progress();
    follower.matched(10);
    follower.becomeReplicate();
    follower.sent(12, 2, 50);
    expect(follower.rejectedAt(9, 9)).toBe(false);
    expect(follower.rejectedAt(12, 10)).toBe(true);
    expect([follower.state, follower.next, follower.inflights.count]).toEqual(["probe", 11, 0]);
  });

  test("does not listen to old rejections while a snapshot streams", () => {
    const follower = progress();
    let released = 0;
    const meta = { index: 9, term: 1, configuration: emptyConfiguration };
    const source = { meta, read: () => null, release: () => void released++ };
    follower.becomeSnapshot(new SnapshotStream(1, source, 10, 2));
    expect(follower.rejectedAt(10, 5)).toBe(false);
    expect(follower.status()).toMatchObject({ state: "snapshot", snapshotIndex: 9 });
    follower.becomeProbe();
    expect(released).toBe(1);
  });
});

describe("the stream of a snapshot", () => {
  const bytes = Uint8Array.from({ length: 35 }, (_unused, at) => at);
  const meta = { index: 9, term: 1, configuration: emptyConfiguration };
  const open = (readable: () => number = () => bytes.length): SnapshotStream =>
    new SnapshotStream(
      1,
      {
        meta,
        read: (offset, lengthMax) =>
          offset < readable() ? { bytes: bytes.subarray(offset, offset + lengthMax), isLast: offset + lengthMax >= bytes.length } : null,
        release: () => undefined,
      },
      10,
      2,
    );
  const offsets = (stream: SnapshotStream): number[] => {
    const sent: number[] = [];
    for (let part = stream.next(); part !== null; part = stream.next()) sent.push(part.offset);
    return sent;
  };

  test("keeps a window", () => {
    const stream = open();
    expect(offsets(stream)).toEqual([0, 10]);
    stream.wants(10);
    expect(offsets(stream)).toEqual([20]);
    stream.wants(30);
    expect(offsets(stream)).toEqual([30]);
    expect(stream.confirmedOffset).toBe(30);
  });

  test("goes back at once when the same byte is wished again, but only once", () => {
    const stream = open();
    offsets(stream);
    stream.wants(10);
    offsets(stream);
    stream.wants(10);
    expect(offsets(stream)).toEqual([10, 20]);
    stream.wants(10);
    expect(offsets(stream)).toEqual([]);
  });

  test("goes back after silence, to what was wished last", () => {
    const stream = open();
    offsets(stream);
    stream.wants(10);
    offsets(stream);
    stream.wants(0);
    for (let tick = 0; tick < 4; tick++) expect(stream.tick(5)).toBe(tick + 1);
    expect(offsets(stream)).toEqual([]);
    stream.tick(5);
    expect(offsets(stream)).toEqual([0, 10]);
  });

  test("jumps ahead when the follower turns out to have more", () => {
    const stream = open();
    offsets(stream);
    stream.wants(20);
    offsets(stream);
    stream.wants(0);
    for (let tick = 0; tick < 5; tick++) stream.tick(5);
    offsets(stream);
    stream.wants(35);
    expect(stream.confirmedOffset).toBe(35);
    expect(offsets(stream)).toEqual([]);
  });

  test("does not believe in bytes that were never sent", () => {
    const stream = open();
    offsets(stream);
    stream.wants(1000);
    expect(stream.confirmedOffset).toBe(0);
  });

  test("waits for what the host has not read yet", () => {
    let readable = 0;
    const stream = open(() => readable);
    expect(offsets(stream)).toEqual([]);
    readable = 10;
    expect(offsets(stream)).toEqual([0]);
  });
});

describe("the outbox", () => {
  const heartbeat = (to: number, round: number): HeartbeatMessage => ({
    type: "heartbeat",
    from: 1,
    to,
    term: 1,
    commit: 0,
    round,
    quiesce: false,
  });
  const holds = (index: number, rejected = false): Message => ({
    type: "appendReply",
    from: 1,
    to: 2,
    term: 1,
    index,
    rejected,
    hintIndex: 0,
    hintTerm: 0,
  });

  test("keeps the newest heartbeat for each peer, however long the host takes", () => {
    const outbox = new Outbox();
    for (let round = 1; round < 100; round++) for (const to of [2, 3]) outbox.push(heartbeat(to, round));
    expect(outbox.take()).toEqual([heartbeat(2, 99), heartbeat(3, 99)]);
    expect(outbox.take()).toEqual([]);
  });

  test("keeps the last acknowledgement in a row, and every rejection", () => {
    const outbox = new Outbox();
    for (const message of [holds(1), holds(2), holds(9, true), holds(3), holds(2)]) outbox.push(message);
    expect(outbox.take()).toEqual([holds(2), holds(9, true), holds(3), holds(2)]);
  });
});

describe("options", () => {
  test.each<[Parameters<typeof completeOptions>[0], string]>([
    [{ id: 0 }, "id"],
    [{ id: 1, electionTicks: 1 }, "electionTicks"],
    [{ id: 1, heartbeatTicks: 0 }, "heartbeatTicks"],
    [{ id: 1, readMode: "lease", checkQuorum: false }, "checkQuorum"],
    [{ id: 1, clockDriftTicks: 9 }, "clockDriftTicks"],
    [{ id: 1, rank: 9 }, "rank"],
    [{ id: 1, inflightMessagesMax: 0 }, "inflightMessagesMax"],
  ])("%o are a bug of the host", (options, name) => {
    expect(() => completeOptions(options, 0)).toThrow(name);
  });
});
