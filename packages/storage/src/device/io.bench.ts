/**
 * What requests cost: 4 KiB random direct reads, 4 KiB durable overwrites, 512 KiB direct writes, and CPU per request.
 *
 *   node --conditions=cfs-source packages/storage/src/device/io.bench.ts [DIRECTORY] [ENGINE ...]
 *
 * Prepares a file of 1 GiB in a new folder of DIRECTORY (default: the working directory; not a tmpfs) and removes it at the end.
 * CPU is user + system time of the whole process, so it includes the kernel's share of the requests.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";

import type { RingEngine } from "@cfs/native";

import type { Io, IoFile } from "./io.ts";
import { openPlain } from "./io.ts";
import { RingIo } from "./ring-io.ts";

const fileBytes = 1 << 30;
const measureMs = 2_000;
const mebibyte = 1 << 20;

interface Figures {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUs: number;
}

/** Runs `depth` loops of `step(lane)` for a while; latencies of all of them. */
async function measure(depth: number, step: (lane: number) => Promise<unknown>): Promise<Figures> {
  const latencies: number[] = [];
  const begin = performance.now();
  const cpuBegin = process.cpuUsage();
  const lane = async (index: number): Promise<void> => {
    for (let at = performance.now(); at - begin < measureMs;) {
      await step(index);
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, index) => lane(index)));
  const { user, system } = process.cpuUsage(cpuBegin);
  const elapsedMs = performance.now() - begin;
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => (latencies[Math.floor(latencies.length * q)] ?? 0) * 1000;
  return {
    perSecond: (latencies.length / elapsedMs) * 1000,
    p50Us: quantile(0.5),
    p99Us: quantile(0.99),
    cpuUs: (user + system) / latencies.length,
  };
}

function print(name: string, figures: Figures, bytesPerRequest = 0): void {
  const rate = bytesPerRequest === 0 ? "" : `  ${((figures.perSecond * bytesPerRequest) / 1e6).toFixed(0)} MB/s`;
  const { perSecond, p50Us, p99Us, cpuUs } = figures;
  console.log(
    `${name.padEnd(38)} ${perSecond.toFixed(0).padStart(8)}/s  p50 ${p50Us.toFixed(0)} µs  p99 ${p99Us.toFixed(0)} µs  CPU ${cpuUs.toFixed(1)} µs${rate}`,
  );
}

/** Zero-filled and written through, so that later writes change no metadata. */
async function prepare(io: Io, path: string): Promise<void> {
  const file = await io.open(path, { ...openPlain, direct: true, create: true });
  const zeros = io.pool.takeZeroed(4 * mebibyte);
  await io.allocate(file, 0, fileBytes);
  for (let at = 0; at < fileBytes; at += zeros.byteLength) await io.write(file, [zeros], at);
  await io.syncData(file);
  io.pool.give(zeros);
  await io.close(file);
}

/** A cheap sequence over all blocks; the point is only that it is not sequential. */
function blockSequence(): () => number {
  let state = 12_345;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state % (fileBytes / 4096)) * 4096;
  };
}

async function reads(io: Io, file: IoFile): Promise<void> {
  const next = blockSequence();
  for (const depth of [1, 16, 32]) {
    const buffers = Array.from({ length: depth }, () => io.pool.take(4096));
    print(`4 KiB random read, depth ${depth}`, await measure(depth, (lane) => io.read(file, buffers[lane] as Uint8Array, next())), 4096);
    for (const buffer of buffers) io.pool.give(buffer);
  }
}

async function durableWrites(io: Io, file: IoFile): Promise<void> {
  for (const depth of [1, 16]) {
    const buffers = Array.from({ length: depth }, () => io.pool.takeZeroed(4096));
    let at = 0;
    const step = (lane: number): Promise<void> => io.write(file, [buffers[lane] as Uint8Array], (at = (at + 4096) % fileBytes));
    print(`4 KiB O_DSYNC overwrite, depth ${depth}`, await measure(depth, step), 4096);
    for (const buffer of buffers) io.pool.give(buffer);
  }
}

async function largeWrites(io: Io, file: IoFile): Promise<void> {
  const sizeBytes = mebibyte / 2;
  const buffers = [io.pool.takeZeroed(sizeBytes), io.pool.takeZeroed(sizeBytes)];
  for (const depth of [1, 2]) {
    let at = 0;
    const step = async (lane: number): Promise<void> => {
      at = (at + sizeBytes) % fileBytes;
      await io.write(file, [buffers[lane] as Uint8Array], at);
      await io.syncData(file);
    };
    print(`512 KiB direct write + sync, depth ${depth}`, await measure(depth, step), sizeBytes);
  }
  for (const buffer of buffers) io.pool.give(buffer);
}

async function run(engine: RingEngine, path: string): Promise<void> {
  const io = await RingIo.open({ engine });
  console.log(`\n${io.kind}: ${io.description}`);
  await prepare(io, path);
  const direct = await io.open(path, { ...openPlain, direct: true });
  await reads(io, direct);
  await largeWrites(io, direct);
  const durable = await io.open(path, { ...openPlain, direct: true, dataSync: true });
  await durableWrites(io, durable);
  io.pool.assertNoLeak();
  await io.shutDown();
}

const [parent = process.cwd(), ...engines] = process.argv.slice(2);
const folder = await mkdtemp(join(parent, "cfs-io-bench-"));
try {
  for (const engine of engines.length > 0 ? (engines as RingEngine[]) : (["io_uring", "threads"] as const))
    await run(engine, join(folder, "data"));
} finally {
  await rm(folder, { recursive: true });
}
