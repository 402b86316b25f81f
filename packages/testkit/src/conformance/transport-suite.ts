/**
 * What every Transport must do, as tests: order, batching, back-pressure, closing, failures.
 *
 * `factory` makes a fresh transport and an address to listen on for each test. Source: packages/rpc/src/transport.ts, claim by claim.
 */
import { CfsError } from "@cfs/core";
import { limits } from "@cfs/rpc";
import type { Address, Connection, Frame, Listener, PayloadPool, ReceivedFrame, Transport } from "@cfs/rpc";
import { afterEach, describe, expect, test } from "vitest";

export interface TransportUnderTest {
  readonly transport: Transport;
  /** Where the suite may listen; port 0 is fine. */
  readonly address: Address;
  /** An address on which nothing listens. */
  readonly deadAddress: Address;
}

export interface TransportSuiteOptions {
  /** Payloads go to `pool`, which the suite watches for leaks. */
  readonly factory: (pool: PayloadPool) => Promise<TransportUnderTest>;
}

/** Counts what is out, and hands out dirty memory, so that bytes that were not received show. */
class CountingPool implements PayloadPool {
  readonly out: Set<Uint8Array> = new Set();

  allocate(lengthBytes: number): Uint8Array {
    const payload = Buffer.alloc(lengthBytes, 0xdb);
    this.out.add(payload);
    return payload;
  }

  release(payload: Uint8Array): void {
    if (!this.out.delete(payload)) throw new Error("a payload was released that was not out");
  }
}

interface Copy {
  readonly head: Buffer;
  readonly payload: Buffer;
}

/** One end: keeps what arrives, and lets tests wait for it. */
class End {
  readonly connection: Connection;
  readonly frames: Copy[] = [];
  readonly batches: number[] = [];
  readonly closedWith: (CfsError | null)[] = [];
  readonly closed: PromiseWithResolvers<CfsError | null> = Promise.withResolvers();
  onBatch: (frames: readonly Copy[]) => void = () => {};
  #wake: () => void = () => {};

  constructor(connection: Connection, pool: PayloadPool) {
    this.connection = connection;
    connection.onFrames = (frames) => this.#take(frames, pool);
    connection.onClosed = (reason) => {
      this.closedWith.push(reason);
      this.closed.resolve(reason);
      this.#wake();
    };
  }

  async receive(count: number): Promise<readonly Copy[]> {
    while (this.frames.length < count) {
      if (this.closedWith.length > 0) throw new Error(`closed after ${this.frames.length} of ${count} frames: ${this.closedWith[0]}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.frames;
  }

  #take(frames: readonly ReceivedFrame[], pool: PayloadPool): void {
    const copies = frames.map(({ head, payload }) => ({ head: Buffer.from(head), payload: Buffer.from(payload) }));
    for (const { payload } of frames) if (payload.length > 0) pool.release(payload);
    this.batches.push(copies.length);
    this.frames.push(...copies);
    this.onBatch(copies);
    this.#wake();
  }
}

class Pair {
  readonly pool: CountingPool = new CountingPool();
  readonly under: TransportUnderTest;
  readonly listener: Listener;
  readonly client: End;
  readonly server: End;

  private constructor(pool: CountingPool, under: TransportUnderTest, listener: Listener, client: End, server: End) {
    this.pool = pool;
    this.under = under;
    this.listener = listener;
    this.client = client;
    this.server = server;
  }

  static async open(options: TransportSuiteOptions): Promise<Pair> {
    const pool = new CountingPool();
    const under = await options.factory(pool);
    const accepted = Promise.withResolvers<End>();
    const listener = await under.transport.listen(under.address, (connection) => accepted.resolve(new End(connection, pool)));
    const connection = await under.transport.connect(listener.address, { timeoutMs: 10_000 });
    return new Pair(pool, under, listener, new End(connection, pool), await accepted.promise);
  }

  /** Closes both ends; throws when a payload leaked or an end heard of its close more or less than once. */
  async close(): Promise<void> {
    await this.client.connection.close();
    await this.listener.close();
    if (this.pool.out.size > 0) throw new Error(`${this.pool.out.size} payloads were never released`);
    const heard = [this.client, this.server].map(({ closedWith }) => closedWith.length);
    if (heard.join() !== "1,1") throw new Error(`client and server heard ${heard.join(" and ")} times that the connection closed`);
  }
}

function frame(head: string, ...payload: Uint8Array[]): Frame {
  return { head: Buffer.from(head), payload };
}

function pattern(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at++) bytes[at] = (at * 31 + seed) & 0xff;
  return bytes;
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CfsError) return error.code;
    throw error;
  }
  throw new Error("it did not fail");
}

export function transportSuite(name: string, options: TransportSuiteOptions): void {
  describe(`transport: ${name}`, () => {
    let pair: Pair | null = null;
    const open = async (): Promise<Pair> => (pair = await Pair.open(options));
    afterEach(async () => {
      const last = pair;
      pair = null;
      await last?.close();
    });
    deliveryTests(open);
    backPressureTests(open);
    closingTests(open);
    failureTests(open);
  });
}

type Open = () => Promise<Pair>;

function deliveryTests(open: Open): void {
  test("frames arrive in order, in both directions, with head and payload", async () => {
    const { client, server } = await open();
    const sizes = [0, 1, 63, 4096, 8191, 8192, 65_536, 1_000_003];
    for (const [at, size] of sizes.entries()) {
      client.connection.send(frame(`up ${at}`, pattern(size, at)));
      server.connection.send(frame(`down ${at}`, pattern(size, at + 100)));
    }
    const up = await server.receive(sizes.length);
    const down = await client.receive(sizes.length);
    for (const [at, size] of sizes.entries()) {
      expect(up[at]?.head.toString()).toBe(`up ${at}`);
      expect(up[at]?.payload.equals(pattern(size, at))).toBe(true);
      expect(down[at]?.head.toString()).toBe(`down ${at}`);
      expect(down[at]?.payload.equals(pattern(size, at + 100))).toBe(true);
    }
  });

  test("a payload of several pieces arrives as one, small and large pieces mixed", async () => {
    const { client, server } = await open();
    const pieces = [10, 20_000, 0, 8192, 8191, 300_000, 1].map((size, at) => pattern(size, at));
    client.connection.send(frame("pieces", ...pieces));
    client.connection.send(frame("after"));
    const [first, second] = await server.receive(2);
    expect(first?.payload.equals(Buffer.concat(pieces))).toBe(true);
    expect(second?.head.toString()).toBe("after");
  });

  test("the largest head and payload, and an empty frame", async () => {
    const { client, server } = await open();
    client.connection.send({ head: pattern(limits.headBytesMax, 1), payload: [pattern(limits.payloadBytesMax, 2)] });
    client.connection.send({ head: new Uint8Array(0), payload: [] });
    const [large, empty] = await server.receive(2);
    expect(large?.head.equals(pattern(limits.headBytesMax, 1))).toBe(true);
    expect(large?.payload.equals(pattern(limits.payloadBytesMax, 2))).toBe(true);
    expect(empty).toEqual({ head: Buffer.alloc(0), payload: Buffer.alloc(0) });
  });

  test("frames of one turn arrive as one batch", async () => {
    const { client, server } = await open();
    for (let at = 0; at < 100; at++) client.connection.send(frame(`${at}`));
    await server.receive(100);
    expect(server.batches).toEqual([100]);
  });

  test("frames flushed in the middle of a turn arrive in order, all of them", async () => {
    const { client, server } = await open();
    const names = Array.from({ length: 100 }, (_, at) => `${at}`);
    for (const name of names) {
      client.connection.send(frame(name, pattern(10_000, 1)));
      client.connection.flush();
    }
    const received = await server.receive(names.length);
    expect(received.map(({ head }) => head.toString())).toEqual(names);
    await client.connection.close();
    client.connection.flush();
  });

  test("onSent is called once, when the bytes may be changed: what was sent before arrives unharmed", async () => {
    const { client, server } = await open();
    const bytes = pattern(500_000, 3);
    const sent = Promise.withResolvers<void>();
    let calls = 0;
    client.connection.send(frame("reuse", bytes), () => {
      calls++;
      bytes.fill(0);
      sent.resolve();
    });
    await sent.promise;
    const [received] = await server.receive(1);
    expect(received?.payload.equals(pattern(500_000, 3))).toBe(true);
    expect(calls).toBe(1);
  });

  test("requests answered inside onFrames: 20,000 of them, 64 in flight", async () => {
    const { client, server } = await open();
    server.onBatch = (frames) => {
      for (const { head } of frames) server.connection.send({ head, payload: [] });
    };
    let sent = 0;
    const issue = (): void => client.connection.send(frame(`${sent++}`));
    client.onBatch = (frames) => {
      for (let at = 0; at < frames.length && sent < 20_000; at++) issue();
    };
    while (sent < 64) issue();
    const replies = await client.receive(20_000);
    expect(replies.every(({ head }, at) => head.toString() === `${at}`)).toBe(true);
  });
}

function backPressureTests(open: Open): void {
  test("a paused receiver gets nothing and stops the sender; resumed, it gets all", async () => {
    const { client, server } = await open();
    server.connection.pause();
    const count = 40;
    const bytes = pattern(1_048_576, 5);
    for (let at = 0; at < count; at++) client.connection.send(frame(`${at}`, bytes));
    const drained = client.connection.drained().then(() => "drained");
    expect(await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 300, "waits"))])).toBe("waits");
    expect(server.frames).toHaveLength(0);
    expect(client.connection.queuedBytes).toBeGreaterThan(limits.queuedBytesLow);
    server.connection.resume();
    expect(await drained).toBe("drained");
    const frames = await server.receive(count);
    expect(frames.every(({ head, payload }, at) => head.toString() === `${at}` && payload.equals(bytes))).toBe(true);
    expect(client.connection.queuedBytes).toBe(0);
  });

  test("a pause inside onFrames holds back what came with it", async () => {
    const { client, server } = await open();
    server.onBatch = () => server.connection.pause();
    client.connection.send(frame("first"));
    await server.receive(1);
    client.connection.send(frame("second"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(server.frames).toHaveLength(1);
    server.connection.resume();
    const frames = await server.receive(2);
    expect(frames[1]?.head.toString()).toBe("second");
  });

  test("a receiver that pauses in every batch and resumes later gets all, one batch at a time", async () => {
    const { client, server } = await open();
    let isHeld = false;
    let broken = 0;
    server.onBatch = () => {
      if (isHeld) broken++;
      isHeld = true;
      server.connection.pause();
      setImmediate(() => {
        isHeld = false;
        server.connection.resume();
      });
    };
    for (let turn = 0; turn < 50; turn++) {
      for (let at = 0; at < 20; at++) client.connection.send(frame(`${turn * 20 + at}`, pattern(at * 1000, at)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const frames = await server.receive(1000);
    expect(frames.every(({ head }, at) => head.toString() === `${at}`)).toBe(true);
    expect(broken).toBe(0);
  });

  test("the queue refuses with AGAIN past its maximum", async () => {
    const { client, server } = await open();
    server.connection.pause();
    const bytes = Buffer.alloc(limits.payloadBytesMax);
    const flood = async (): Promise<void> => {
      for (let at = 0; at < 40; at++) client.connection.send(frame("flood", bytes));
    };
    expect(await codeOf(flood())).toBe("AGAIN");
    server.connection.resume();
    await client.connection.drained();
    client.connection.send(frame("last"));
    while (server.frames.at(-1)?.head.toString() !== "last") await server.receive(server.frames.length + 1);
  });
}

function closingTests(open: Open): void {
  for (const closer of ["client", "server"] as const) {
    test(`the ${closer} closes: what it sent arrives first, both ends see a clean end`, async () => {
      const pair = await open();
      const [near, far] = closer === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
      for (let at = 0; at < 10; at++) near.connection.send(frame(`${at}`, pattern(300_000, at)));
      await near.connection.close();
      expect(await near.closed.promise).toBeNull();
      expect(await far.closed.promise).toBeNull();
      expect(far.frames.map(({ head }) => head.toString())).toEqual(Array.from({ length: 10 }, (_, at) => `${at}`));
    });
  }

  test("close is idempotent; sending afterwards is UNREACHABLE; drained resolves", async () => {
    const { client } = await open();
    const first = client.connection.close();
    await Promise.all([first, client.connection.close()]);
    await client.connection.close();
    expect(await codeOf((async () => client.connection.send(frame("late")))())).toBe("UNREACHABLE");
    await client.connection.drained();
    expect(client.connection.queuedBytes).toBe(0);
  });

  test("the listener closes: its connections end, new ones are refused", async () => {
    const { client, listener, under } = await open();
    await listener.close();
    await listener.close();
    expect(await client.closed.promise).toBeNull();
    expect(await codeOf(under.transport.connect(listener.address, { timeoutMs: 2000 }))).toBe("UNREACHABLE");
  });

  test("every onSent is called when a connection closes with a paused peer", async () => {
    const { client, server } = await open();
    server.connection.pause();
    let sent = 0;
    for (let at = 0; at < 30; at++) client.connection.send(frame("stuck", Buffer.alloc(1_048_576)), () => sent++);
    await client.connection.close();
    expect(sent).toBe(30);
    await server.closed.promise;
  });

  test("onClosed that is set late is still called", async () => {
    const { under, listener } = await open();
    const connection = await under.transport.connect(listener.address, { timeoutMs: 2000 });
    await connection.close();
    expect(await new Promise((resolve) => (connection.onClosed = resolve))).toBeNull();
  });
}

function failureTests(open: Open): void {
  test("nothing listens: UNREACHABLE with the address in the message", async () => {
    const { under } = await open();
    const attempt = under.transport.connect(under.deadAddress, { timeoutMs: 5000 });
    await expect(attempt).rejects.toThrow(String(under.deadAddress.port));
    expect(await codeOf(under.transport.connect(under.deadAddress, { timeoutMs: 5000 }))).toBe("UNREACHABLE");
  });

  test("an address in use: ADDRESS_IN_USE with the address in the message", async () => {
    const { under, listener } = await open();
    const attempt = under.transport.listen(listener.address, () => {});
    await expect(attempt).rejects.toThrow(String(listener.address.port));
    expect(await codeOf(under.transport.listen(listener.address, () => {}))).toBe("ADDRESS_IN_USE");
  });

  test("an aborted connect throws the signal's reason", async () => {
    const { under, listener } = await open();
    const reason = new Error("not wanted any more");
    await expect(under.transport.connect(listener.address, { timeoutMs: 5000, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
}
