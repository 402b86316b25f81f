/**
 * What the HTTP/2 transport costs: two processes on loopback, the parent as client, a child as server.
 *
 * Prints calls/s, CPU µs per call (both processes) and latency for 64-byte requests with 64-byte replies at 1, 16 and 64 in flight, and
 * GiB/s and CPU s per GiB of 1 MiB payloads in each direction. The first run of each is for warming up.
 * Run: node --conditions=cfs-source packages/rpc/src/http2-transport.bench.ts [--only small|bulk] [--profile DIR]
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Http2Transport } from "./http2-transport.ts";
import { machineClock } from "./testing/clock.ts";
import type { Connection, PayloadPool } from "./transport.ts";

const mebi = 1024 * 1024;
/** First byte of a head: what the server does with it. */
const echo = 0;
const sink = 1;
const source = 2;

function recyclingPool(): PayloadPool {
  const free: Uint8Array[] = [];
  return {
    allocate: (lengthBytes) => (lengthBytes === mebi ? free.pop() : undefined) ?? Buffer.allocUnsafeSlow(lengthBytes),
    release(payload) {
      if (payload.length === mebi) free.push(payload);
    },
  };
}

async function serve(): Promise<void> {
  const pool = recyclingPool();
  const transport = new Http2Transport({ clock: machineClock, pool });
  const block = Buffer.alloc(mebi, 7);
  const reply = Buffer.alloc(64);
  const listener = await transport.listen({ host: "127.0.0.1", port: 0 }, (connection) => {
    connection.onClosed = () => {};
    connection.onFrames = (frames) => {
      for (const { head, payload } of frames) {
        if (head[0] === source) connection.send({ head: reply, payload: [block] });
        else connection.send({ head: reply, payload: [] });
        if (payload.length > 0) pool.release(payload);
      }
    };
  });
  process.on("message", () => process.send?.(cpuMicros()));
  process.on("disconnect", () => process.exit(0));
  process.send?.(listener.address.port);
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function nextMessage(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => child.once("message", (message) => resolve(message as number)));
}

async function childCpu(child: ChildProcess): Promise<number> {
  child.send("cpu");
  return nextMessage(child);
}

/** Keeps `depth` requests in flight until `count` are answered; returns the latencies in ms when asked for. */
function closedLoop(
  connection: Connection,
  pool: PayloadPool,
  depth: number,
  count: number,
  kind: number,
  payload: Uint8Array[],
): Promise<number[]> {
  const head = Buffer.alloc(64);
  head[0] = kind;
  const latencies: number[] = [];
  const startsMs: number[] = [];
  let sent = 0;
  let answered = 0;
  return new Promise((resolve) => {
    const issue = (): void => {
      sent++;
      if (depth === 1) startsMs.push(performance.now());
      connection.send({ head, payload });
    };
    connection.onFrames = (frames) => {
      for (const frame of frames) {
        answered++;
        if (depth === 1) latencies.push(performance.now() - (startsMs[answered - 1] as number));
        if (frame.payload.length > 0) pool.release(frame.payload);
        if (sent < count) issue();
      }
      if (answered === count) resolve(latencies);
    };
    while (sent < Math.min(depth, count)) issue();
  });
}

async function measure(
  child: ChildProcess,
  work: () => Promise<number[]>,
): Promise<{ seconds: number; cpuSeconds: number; latencies: number[] }> {
  const childStart = await childCpu(child);
  const ownStart = cpuMicros();
  const start = performance.now();
  const latencies = await work();
  const seconds = (performance.now() - start) / 1000;
  const own = cpuMicros() - ownStart;
  return { seconds, cpuSeconds: (own + (await childCpu(child)) - childStart) / 1e6, latencies };
}

/** "small", "bulk" or, without the flag, both. */
const only: string | undefined = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;

async function drive(): Promise<void> {
  const profileAt = process.argv.indexOf("--profile");
  const execArgv = profileAt < 0 ? process.execArgv : [...process.execArgv, "--cpu-prof", `--cpu-prof-dir=${process.argv[profileAt + 1]}`];
  const child = fork(fileURLToPath(import.meta.url), ["--serve"], { execArgv });
  const port = await nextMessage(child);
  const pool = recyclingPool();
  const connection = await new Http2Transport({ clock: machineClock, pool }).connect({ host: "127.0.0.1", port }, { timeoutMs: 5000 });
  connection.onClosed = () => {};
  if (only !== "bulk") await small(child, connection, pool);
  if (only !== "small") await bulk(child, connection, pool);
  await connection.close();
  child.disconnect();
}

async function small(child: ChildProcess, connection: Connection, pool: PayloadPool): Promise<void> {
  for (const [depth, count] of [
    [64, 100_000],
    [1, 30_000],
    [16, 200_000],
    [64, 400_000],
  ] as const) {
    const { seconds, cpuSeconds, latencies } = await measure(child, () => closedLoop(connection, pool, depth, count, echo, []));
    latencies.sort((a, b) => a - b);
    const p = (q: number): string => ((latencies[Math.floor(latencies.length * q)] ?? 0) * 1000).toFixed(0);
    const tail = depth === 1 ? `, p50 ${p(0.5)} µs, p99 ${p(0.99)} µs` : "";
    console.log(
      `small ×${depth}: ${(count / seconds).toFixed(0)} calls/s, ${((cpuSeconds / count) * 1e6).toFixed(1)} µs CPU per call${tail}`,
    );
  }
}

async function bulk(child: ChildProcess, connection: Connection, pool: PayloadPool): Promise<void> {
  const block = Buffer.alloc(mebi, 9);
  for (const [name, kind, payload, count] of [
    ["up", sink, [block], 2048],
    ["down", source, [], 2048],
    ["up", sink, [block], 8192],
    ["down", source, [], 8192],
  ] as const) {
    const { seconds, cpuSeconds } = await measure(child, () => closedLoop(connection, pool, 8, count, kind, [...payload]));
    console.log(`bulk ${name}: ${(count / 1024 / seconds).toFixed(2)} GiB/s, ${(cpuSeconds / (count / 1024)).toFixed(2)} CPU s/GiB`);
  }
}

await (process.argv.includes("--serve") ? serve() : drive());
