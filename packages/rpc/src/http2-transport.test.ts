/** What only the HTTP/2 transport can get wrong: foreign peers, dead peers, deadlines, malformed bytes. */
import { CfsError } from "@cfs/core";
import { connect as connectHttp2, createServer as createHttp2Server, performServerHandshake } from "node:http2";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { connect as connectSocket, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Http2Transport } from "./http2-transport.ts";
import { limits } from "./limits.ts";
import { machineClock } from "./testing/clock.ts";
import type { Address, Connection, Listener } from "./transport.ts";

const open: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const transport = new Http2Transport({ clock: machineClock }, { closeTimeoutMs: 300, keepAliveMs: 0, isLocalPreferred: false });

async function codeAndMessage(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  if (error instanceof CfsError) return error.message;
  throw error;
}

/** A server of which the accepted connection is kept. */
async function serve(options: { keepAliveMs?: number } = {}): Promise<{
  listener: Listener;
  accepted: Promise<Connection>;
  closed: Promise<CfsError | null>;
}> {
  const server = new Http2Transport({ clock: machineClock }, { closeTimeoutMs: 300, keepAliveMs: 0, isLocalPreferred: false, ...options });
  const accepted = Promise.withResolvers<Connection>();
  const closed = Promise.withResolvers<CfsError | null>();
  const listener = await server.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    connection.onFrames = () => {};
    connection.onClosed = closed.resolve;
    accepted.resolve(connection);
  });
  open.push(() => listener.close());
  return { listener, accepted: accepted.promise, closed: closed.promise };
}

async function tcpServer(onSocket: (socket: Socket) => void): Promise<Address> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

/** A TCP relay in front of `target` that can be killed, or stop relaying without a word. */
async function relay(target: Address): Promise<{ address: Address; kill: () => void; freeze: () => void }> {
  const sockets: Socket[] = [];
  const address = await tcpServer((near) => {
    const far = connectSocket(target);
    far.on("error", () => {});
    sockets.push(near, far);
    near.pipe(far).pipe(near);
  });
  return {
    address,
    kill: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    freeze: () => sockets.forEach((socket) => socket.unpipe().pause()),
  };
}

describe("connecting", () => {
  test("a name that does not exist", async () => {
    const text = await codeAndMessage(transport.connect({ host: "no-such-host.invalid", port: 9400 }, { timeoutMs: 10_000 }));
    expect(text).toMatch(/^UNREACHABLE: cannot connect to no-such-host\.invalid:9400: .*name/);
  });

  test("a server that accepts and says nothing: TIMED_OUT within the deadline", async () => {
    const address = await tcpServer(() => {});
    const text = await codeAndMessage(transport.connect(address, { timeoutMs: 200 }));
    expect(text).toMatch(new RegExp(`^TIMED_OUT: cannot connect to 127.0.0.1:${address.port}: no answer within \\d+ ms$`));
  });

  test("an abort while the server says nothing throws the reason", async () => {
    const address = await tcpServer(() => {});
    const abort = new AbortController();
    const attempt = transport.connect(address, { timeoutMs: 10_000, signal: abort.signal });
    const reason = new Error("stop");
    setTimeout(() => abort.abort(reason), 50);
    await expect(attempt).rejects.toBe(reason);
  });

  test("a server that speaks something else", async () => {
    const address = await tcpServer((socket) => socket.write("SSH-2.0-OpenSSH_9.2 and much more text than a frame header\r\n"));
    expect(await codeAndMessage(transport.connect(address, { timeoutMs: 5000 }))).toMatch(/^UNREACHABLE: .*127\.0\.0\.1/);
  });

  test("a server that hangs up", async () => {
    const address = await tcpServer((socket) => socket.destroy());
    expect(await codeAndMessage(transport.connect(address, { timeoutMs: 5000 }))).toMatch(/^UNREACHABLE: .*127\.0\.0\.1/);
  });

  test("an HTTP/2 server that is not cfs", async () => {
    const server = createHttp2Server((_, response) => response.writeHead(404).end());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    const text = await codeAndMessage(transport.connect({ host: "127.0.0.1", port }, { timeoutMs: 5000 }));
    expect(text).toBe(`UNREACHABLE: 127.0.0.1:${port} is not a cfs server: it answered with HTTP status 404`);
  });

  test("a port that needs no privilege but an address this machine does not have", async () => {
    expect(await codeAndMessage(transport.listen({ host: "203.0.113.7", port: 9400 }, () => {}))).toMatch(
      /^INVALID: cannot listen on 203\.0\.113\.7:9400/,
    );
  });
});

describe("a peer that dies", () => {
  for (const isPaused of [false, true]) {
    test(`a reset is seen by both ends${isPaused ? ", also by one that has paused with data waiting" : ""}`, async () => {
      const { listener, accepted, closed } = await serve();
      const between = await relay(listener.address);
      const client = await transport.connect(between.address, { timeoutMs: 5000 });
      const clientClosed = new Promise<CfsError | null>((resolve) => (client.onClosed = resolve));
      client.onFrames = () => {};
      const server = await accepted;
      if (isPaused) {
        server.pause();
        for (let at = 0; at < 20; at++) client.send({ head: Buffer.from("x"), payload: [Buffer.alloc(1_048_576)] });
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      between.kill();
      expect((await clientClosed)?.code).toBe("UNREACHABLE");
      expect((await closed)?.code).toBe("UNREACHABLE");
      expect(() => client.send({ head: Buffer.from("x"), payload: [] })).toThrow("UNREACHABLE");
    });
  }

  test("silence is found by keep-alive pings, on both ends", async () => {
    const { listener, closed } = await serve({ keepAliveMs: 400 });
    const between = await relay(listener.address);
    const pinging = new Http2Transport({ clock: machineClock }, { closeTimeoutMs: 300, keepAliveMs: 400 });
    const client = await pinging.connect(between.address, { timeoutMs: 5000 });
    client.onFrames = () => {};
    const clientClosed = new Promise<CfsError | null>((resolve) => (client.onClosed = resolve));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    between.freeze();
    expect((await clientClosed)?.message).toMatch(/^TIMED_OUT: .* did not answer a keep-alive ping within 400 ms/);
    expect((await closed)?.code).toBe("TIMED_OUT");
  });

  test("a server that says it is going and does not go is left", async () => {
    const session = Promise.withResolvers<ServerHttp2Session>();
    const address = await tcpServer((socket) => {
      const going = performServerHandshake(socket);
      going.on("error", () => {});
      going.on("stream", (stream) => {
        stream.on("error", () => {});
        stream.respond({ ":status": 200, "content-type": "application/grpc" });
      });
      session.resolve(going);
    });
    const pinging = new Http2Transport({ clock: machineClock }, { closeTimeoutMs: 300, keepAliveMs: 200 });
    const client = await pinging.connect(address, { timeoutMs: 5000 });
    client.onFrames = () => {};
    const clientClosed = new Promise<CfsError | null>((resolve) => (client.onClosed = resolve));
    (await session.promise).goaway();
    expect((await clientClosed)?.message).toMatch(/^TIMED_OUT: .* said that it goes and did not end within 200 ms/);
  });

  test("close ends within its timeout although the peer is silent", async () => {
    const { listener } = await serve();
    const between = await relay(listener.address);
    const client = await transport.connect(between.address, { timeoutMs: 5000 });
    between.freeze();
    client.send({ head: Buffer.from("x"), payload: [Buffer.alloc(4_000_000)] });
    await client.close();
    const reason = await new Promise<CfsError | null>((resolve) => (client.onClosed = resolve));
    expect(reason?.code).toBe("UNREACHABLE");
  });
});

describe("a peer that sends nonsense", () => {
  /** Sends raw bytes as the body of a hot stream; returns the trailers' status. */
  async function sendRaw(address: Address, bytes: Uint8Array): Promise<Record<string, unknown>> {
    const session = connectHttp2(`http://${address.host}:${address.port}`);
    session.on("error", () => {});
    open.push(() => new Promise<void>((resolve) => (session.destroyed ? resolve() : (session.once("close", resolve), session.destroy()))));
    const stream = session.request(
      { ":method": "POST", ":path": "/cfs.v1.Session/Stream", "content-type": "application/grpc" },
      { endStream: false },
    );
    stream.on("error", () => {});
    stream.resume();
    stream.write(bytes);
    return await new Promise((resolve) => stream.once("trailers", resolve));
  }

  const cases: readonly (readonly [string, number[], RegExp])[] = [
    ["a compression flag", [1, 0, 0, 0, 0], /compression flag 1/],
    ["an oversize message", [0, 0x7f, 0xff, 0xff, 0xff], /announces 2147483647 bytes/],
    ["another field", [0, 0, 0, 0, 2, 0x12, 0], /begins with 18/],
    ["a body longer than its message", [0, 0, 0, 0, 2, 0x0a, 9], /a body of 9 bytes in a message with 0 left/],
    [
      "a frame longer than its message",
      [0, 0, 0, 0, 10, 0x0a, 8, 5, 0, 0, 0, 0, 0, 0, 0],
      /a frame of 5 and 0 bytes in a message with 0 left/,
    ],
  ];
  for (const [name, bytes, message] of cases) {
    test(`${name}: the peer is told and the connection ends, the server goes on`, async () => {
      const { listener, closed } = await serve();
      const trailers = await sendRaw(listener.address, Buffer.from(bytes));
      expect(decodeURIComponent(String(trailers["grpc-message"]))).toMatch(message);
      expect(["CORRUPT", "TOO_BIG"]).toContain(trailers["cfs-error-code"]);
      expect((await closed)?.code).toBe(trailers["cfs-error-code"]);
      const next = await transport.connect(listener.address, { timeoutMs: 5000 });
      await next.close();
    });
  }

  test("a server that answers with garbage: the client says what was wrong", async () => {
    const server = createHttp2Server();
    server.on("stream", (any) => {
      const stream = any as ServerHttp2Stream;
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.from([7, 7, 7, 7, 7, 7]));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    open.push(() => new Promise((resolve) => server.close(resolve)));
    const client = await transport.connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port }, { timeoutMs: 5000 });
    client.onFrames = () => {};
    const reason = await new Promise<CfsError | null>((resolve) => (client.onClosed = resolve));
    expect(reason?.message).toMatch(/^CORRUPT: malformed data from 127\.0\.0\.1:\d+: CORRUPT: a message has the compression flag 7/);
  });

  test("garbage instead of HTTP/2: that socket ends, the server goes on", async () => {
    const { listener } = await serve();
    const socket = connectSocket(listener.address);
    socket.on("error", () => {});
    socket.resume();
    socket.write(Buffer.alloc(100_000, 0x5a));
    await new Promise((resolve) => socket.once("close", resolve));
    const next = await transport.connect(listener.address, { timeoutMs: 5000 });
    await next.close();
    expect(socket.destroyed).toBe(true);
  });

  test("an unknown method and a browser are refused", async () => {
    const { listener } = await serve();
    const session = connectHttp2(`http://127.0.0.1:${listener.address.port}`);
    open.push(() => new Promise<void>((resolve) => (session.once("close", resolve), session.destroy())));
    const headersOf = async (path: string, type?: string): Promise<Record<string, unknown>> => {
      const stream = session.request({ ":method": "POST", ":path": path, ...(type === undefined ? {} : { "content-type": type }) });
      stream.resume();
      return await new Promise((resolve) => stream.once("response", resolve));
    };
    expect(await headersOf("/cfs.v1.Session/Nothing", "application/grpc")).toMatchObject({
      "grpc-status": "12",
      "cfs-error-code": "NOT_IMPLEMENTED",
    });
    expect((await headersOf("/"))[":status"]).toBe(415);
  });
});

test("a paused connection holds at most about its window", async () => {
  const { listener, accepted } = await serve();
  const client = await transport.connect(listener.address, { timeoutMs: 5000 });
  client.onFrames = () => {};
  client.onClosed = () => {};
  const server = await accepted;
  server.pause();
  let sentBytes = 0;
  for (let at = 0; at < 60; at++)
    client.send({ head: Buffer.alloc(0), payload: [Buffer.alloc(1_048_576)] }, () => (sentBytes += 1_048_576));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(sentBytes).toBeLessThanOrEqual(limits.streamWindowBytes);
  expect(client.queuedBytes).toBeGreaterThanOrEqual(60 * 1_048_576 - limits.streamWindowBytes - 1_048_576);
  server.resume();
  await client.close();
});

test("many messages in one DATA frame, to a receiver that pauses after each", async () => {
  const heads: string[] = [];
  const done = Promise.withResolvers<void>();
  let isHeld = false;
  const listener = await transport.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    connection.onClosed = () => {};
    connection.onFrames = (frames) => {
      if (isHeld) done.reject(new Error("frames came while the connection was paused"));
      heads.push(...frames.map(({ head }) => String(head[0])));
      if (heads.length === 200) done.resolve();
      isHeld = true;
      connection.pause();
      setImmediate(() => {
        isHeld = false;
        connection.resume();
      });
    };
  });
  open.push(() => listener.close());
  const session = connectHttp2(`http://127.0.0.1:${listener.address.port}`);
  open.push(() => new Promise<void>((resolve) => (session.once("close", resolve), session.destroy())));
  const stream = session.request(
    { ":method": "POST", ":path": "/cfs.v1.Session/Stream", "content-type": "application/grpc" },
    { endStream: false },
  );
  stream.on("error", () => {});
  const message = (at: number): number[] => [0, 0, 0, 0, 11, 0x0a, 9, 1, 0, 0, 0, 0, 0, 0, 0, at];
  for (let turn = 0; turn < 10; turn++) {
    stream.write(Buffer.from(Array.from({ length: 20 }, (_, at) => message(turn * 20 + at)).flat()));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await done.promise;
  expect(heads).toEqual(Array.from({ length: 200 }, (_, at) => String(at)));
});
