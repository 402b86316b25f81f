/** What only a local stream can get wrong: foreign, dead and silent peers, how it ends, and memory that is given back while bytes come. */
import type { CfsError } from "@cfs/core";
import { connect as connectSocket } from "node:net";
import type { Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { Http2Transport } from "./http2-transport.ts";
import { localListenName } from "./local-socket.ts";
import { machineClock } from "./testing/clock.ts";
import type { Connection, PayloadPool, ReceivedFrame } from "./transport.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const preface = "cfs-stream/1\n";

interface Accepted {
  readonly connection: Connection;
  readonly frames: ReceivedFrame[];
  readonly closed: Promise<CfsError | null>;
}

async function serve(options: { keepAliveMs?: number; pool?: PayloadPool } = {}): Promise<{ port: number; accepted: Promise<Accepted> }> {
  const { keepAliveMs = 0, pool } = options;
  const server = new Http2Transport({ clock: machineClock, ...(pool === undefined ? {} : { pool }) }, { closeTimeoutMs: 300, keepAliveMs });
  const accepted = Promise.withResolvers<Accepted>();
  const listener = await server.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    const frames: ReceivedFrame[] = [];
    const closed = Promise.withResolvers<CfsError | null>();
    connection.onFrames = (batch) => frames.push(...batch);
    connection.onClosed = closed.resolve;
    accepted.resolve({ connection, frames, closed: closed.promise });
  });
  open.push(() => listener.close());
  return { port: listener.address.port, accepted: accepted.promise };
}

/** A peer that says exactly what it is told to. */
async function rawPeer(port: number): Promise<{ socket: Socket; received: () => string; ended: Promise<unknown> }> {
  const socket = connectSocket({ path: `\0${localListenName({ host: "127.0.0.1", port })}`, allowHalfOpen: true });
  let text = "";
  socket.on("data", (piece) => (text += piece.toString("latin1")));
  socket.on("error", () => {});
  open.push(() => socket.destroy());
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return { socket, received: () => text, ended: new Promise((resolve) => socket.once("close", resolve).once("end", () => resolve(null))) };
}

function message(head: string, payloadBytes = 0): Buffer {
  const body = Buffer.alloc(8 + head.length + payloadBytes, 7);
  body.writeUInt32LE(head.length, 0);
  body.writeUInt32LE(payloadBytes, 4);
  body.write(head, 8);
  const length: number[] = [];
  for (let rest = body.length; ; rest >>>= 7) {
    length.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 0x80) break;
  }
  const prefix = Buffer.from([0, 0, 0, 0, 0, 0x0a, ...length]);
  prefix.writeUInt32BE(1 + length.length + body.length, 1);
  return Buffer.concat([prefix, body]);
}

test("frames that come with the preface, and signs of life between them", async () => {
  const { port, accepted } = await serve();
  const { socket, received } = await rawPeer(port);
  socket.write(Buffer.concat([Buffer.from(preface), message("a"), Buffer.alloc(5), message("b")]));
  const { frames } = await accepted;
  await expect.poll(() => frames.map(({ head }) => Buffer.from(head).toString())).toEqual(["a", "b"]);
  expect(received()).toBe(preface);
});

test("a peer that speaks something else is cut, and told nothing but the preface", async () => {
  const { port, accepted } = await serve();
  const { socket, received, ended } = await rawPeer(port);
  socket.write("GET / HTTP/1.1\r\n\r\n");
  expect((await (await accepted).closed)?.message).toMatch(/^CORRUPT: local does not speak this version/);
  await ended;
  expect(received()).toBe(preface);
});

test("malformed messages end the connection with trailers that say why", async () => {
  const { port, accepted } = await serve();
  const { socket, received, ended } = await rawPeer(port);
  socket.write(Buffer.concat([Buffer.from(preface), Buffer.from([9, 0, 0, 0, 1])]));
  await ended;
  expect(received()).toContain("cfs-error-code: CORRUPT\r\n");
  socket.end();
  expect((await (await accepted).closed)?.code).toBe("CORRUPT");
});

test("an end without trailers is a lost peer; an end with them is what they say", async () => {
  for (const [bytes, expected] of [
    ["", /^UNREACHABLE: the connection to local was lost/],
    ["grpc-status: 0\r\n", null],
    [
      "grpc-status: 14\r\ngrpc-message: it%20rains\r\ncfs-error-code: UNREACHABLE\r\n",
      /^UNREACHABLE: local closed the connection: it rains/,
    ],
    ["no line of trailers", /grpc-status missing/],
  ] as const) {
    const { port, accepted } = await serve();
    const { socket } = await rawPeer(port);
    const length = Buffer.from([0x80, 0, 0, 0, bytes.length]);
    socket.end(Buffer.concat([Buffer.from(preface), bytes === "" ? Buffer.alloc(0) : Buffer.concat([length, Buffer.from(bytes)])]));
    const reason = await (await accepted).closed;
    if (expected === null) expect(reason).toBeNull();
    else expect(reason?.message).toMatch(expected);
  }
});

test("a silent peer is found by its missing signs of life, and sent ours meanwhile", async () => {
  const { port, accepted } = await serve({ keepAliveMs: 100 });
  const { socket, received } = await rawPeer(port);
  socket.write(preface);
  const { closed } = await accepted;
  expect((await closed)?.message).toMatch(/^TIMED_OUT: local gave no sign of life for 200 ms/);
  expect(received()).toMatch(/\n\0{5}/);
});

test("a connection of which we are paused is not blamed, and one with signs of life stays", async () => {
  const { port, accepted } = await serve({ keepAliveMs: 100 });
  const client = await new Http2Transport({ clock: machineClock }, { keepAliveMs: 100 }).connect(
    { host: "127.0.0.1", port },
    { timeoutMs: 5_000 },
  );
  open.push(() => client.close());
  let clientClosed: CfsError | null | undefined;
  client.onFrames = () => {};
  client.onClosed = (reason) => (clientClosed = reason);
  const { connection, frames } = await accepted;
  connection.pause();
  await setTimeout(600);
  client.send({ head: Buffer.from("later"), payload: [] });
  connection.resume();
  await expect.poll(() => frames.length).toBe(1);
  expect(clientClosed).toBeUndefined();
});

test("a server that accepts and says nothing: TIMED_OUT within the deadline", async () => {
  const { port, accepted } = await serve();
  const silent = new Http2Transport({ clock: machineClock });
  // The listener's process would answer at once: one that is stopped does not. The abstract name of a port that nobody serves stands for it.
  const { LocalListener } = await import("@cfs/native");
  const listener = new LocalListener(`cfs-stream:127.0.0.1:${port + 100_000}`, { onAccept: () => {}, onRefused: () => {} });
  open.push(() => listener.close());
  await expect(silent.connect({ host: "127.0.0.1", port: port + 100_000 }, { timeoutMs: 200 })).rejects.toThrow(
    /TIMED_OUT: cannot connect to 127.0.0.1:.*200 ms/,
  );
  accepted.catch(() => {});
});

test("a payload under way when the connection closes is not written to after it was given back", async () => {
  const out = new Set<Uint8Array>();
  const back: Uint8Array[] = [];
  const pool: PayloadPool = {
    allocate(lengthBytes) {
      const payload = Buffer.alloc(lengthBytes);
      out.add(payload);
      return payload;
    },
    release(payload) {
      out.delete(payload);
      back.push(payload.fill(0xaa));
    },
  };
  const { port, accepted } = await serve({ pool });
  const { socket } = await rawPeer(port);
  const large = message("big", 1 << 20);
  socket.write(Buffer.concat([Buffer.from(preface), large.subarray(0, 300_000)]));
  const { connection, closed, frames } = await accepted;
  await expect.poll(() => out.size).toBe(1);
  await setTimeout(50);
  const closing = connection.close();
  socket.end(large.subarray(300_000));
  await closing;
  await closed;
  expect(frames).toEqual([]);
  expect(out.size).toBe(0);
  expect(back[0]?.every((byte) => byte === 0xaa)).toBe(true);
});

test("a flushed frame is with the kernel before the turn ends, others wait for its end", async () => {
  const { port, accepted } = await serve();
  const { socket } = await rawPeer(port);
  socket.write(preface);
  const { connection } = await accepted;
  const sent: string[] = [];
  const send = (name: string): void => connection.send({ head: Buffer.from(name), payload: [] }, () => sent.push(name));
  send("a");
  send("b");
  expect(sent).toEqual([]);
  connection.flush();
  expect(sent).toEqual(["a", "b"]);
  send("c");
  expect(sent).toEqual(["a", "b"]);
  await expect.poll(() => sent).toEqual(["a", "b", "c"]);
});
