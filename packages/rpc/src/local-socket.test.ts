/** The local socket beside a TCP port: taken where it is there, never missed where it is not, and gone with its server. */
import { connect as connectSocket, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Http2Transport } from "./http2-transport.ts";
import { localConnectName, localListenName } from "./local-socket.ts";
import { machineClock } from "./testing/clock.ts";
import type { Connection } from "./transport.ts";

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

const transport = new Http2Transport({ clock: machineClock }, { closeTimeoutMs: 300, keepAliveMs: 0 });
const host = "127.0.0.1";

async function serve(port = 0): Promise<{ port: number; next: () => Promise<Connection>; close: () => Promise<unknown> }> {
  const waiting: ((connection: Connection) => void)[] = [];
  const listener = await transport.listen({ host, port }, (connection) => {
    connection.onFrames = () => {};
    connection.onClosed = () => {};
    waiting.shift()?.(connection);
  });
  const close = (): Promise<unknown> => listener.close();
  open.push(close);
  return { port: listener.address.port, next: () => new Promise((resolve) => waiting.push(resolve)), close };
}

async function connect(port: number): Promise<void> {
  const connection = await transport.connect({ host, port }, { timeoutMs: 5_000 });
  connection.onFrames = () => {};
  connection.onClosed = () => {};
  open.push(() => connection.close());
}

test("a client on this machine takes it", async () => {
  const { port, next } = await serve();
  const accepted = next();
  await connect(port);
  expect((await accepted).peer).toBe("local");
});

test("a port without one is reached by TCP", async () => {
  const { port, next } = await serve();
  const proxy = createServer((socket) => {
    const onward = connectSocket({ host, port });
    socket.on("error", () => onward.destroy()).pipe(onward);
    onward.on("error", () => socket.destroy()).pipe(socket);
  });
  await new Promise<void>((resolve) => proxy.listen({ host, port: 0 }, resolve));
  open.unshift(() => new Promise((resolve) => proxy.close(resolve)));
  const accepted = next();
  await connect((proxy.address() as AddressInfo).port);
  expect((await accepted).peer).toMatch(/^127\.0\.0\.1:\d+$/);
});

test("a server that cannot have it does not start and leaves its port free; one that ended leaves it", async () => {
  const first = await serve();
  await first.close();
  const squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen({ path: `\0${localListenName({ host, port: first.port })}` }, resolve));
  await expect(serve(first.port)).rejects.toThrow(/ADDRESS_IN_USE.*local socket/);
  await new Promise((resolve) => squatter.close(resolve));
  const second = await serve(first.port);
  await connect(second.port);
});

test("only loopback has one", () => {
  expect(localConnectName({ host: "localhost", port: 9 })).toBe(localListenName({ host: "0.0.0.0", port: 9 }));
  expect(localConnectName({ host: "10.0.0.1", port: 9 })).toBeNull();
  expect(localListenName({ host: "10.0.0.1", port: 9 })).toBeNull();
});
