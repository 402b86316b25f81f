/**
 * What the state store costs: reads of stored and pending keys, misses, and entries flushed per second and CPU, by members.
 *
 *   node --conditions=cfs-source packages/storage/src/kv/mirrored-kv.bench.ts
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { loadAddon } from "@cfs/native";

import { crc32cTable } from "../journal/crc32c.ts";
import type { Crc32c } from "../journal/journal-format.ts";
import { MirroredKv } from "./mirrored-kv.ts";

const clock: Clock = {
  wallTime: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const crc32c: Crc32c = (loadAddon() as { crc32c?: Crc32c }).crc32c ?? crc32cTable;
const count = 200_000;
const value = Buffer.alloc(200, 7);

function keyOf(number: number): string {
  const bytes = Buffer.allocUnsafe(17);
  bytes[0] = 0x49;
  bytes.writeBigUInt64BE(BigInt(Math.imul(number, 0x9e3779b1) >>> 0), 1);
  bytes.writeBigUInt64BE(BigInt(number), 9);
  return bytes.toString("latin1");
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function timed(what: string, number: number, work: () => void): void {
  const start = performance.now();
  work();
  console.log(`  ${what}: ${(((performance.now() - start) / number) * 1000).toFixed(2)} us`);
}

for (const members of [1, 3]) {
  const root = await mkdtemp(join(tmpdir(), "cfs-kv-bench-"));
  const listener = { onMemberFailed: (_: string, error: Error) => console.log("failed", error.message), onResync: () => undefined };
  const directories = Array.from({ length: members }, (_, number) => join(root, String(number)));
  const kv = await MirroredKv.open({ crc32c, clock, log: silentLogger }, directories, listener, { storeId: "bench" });
  console.log(`${members} members, crc32c ${crc32c === crc32cTable ? "in TypeScript" : "native"}`);
  const start = performance.now();
  const cpu = cpuMs();
  for (let number = 0; number < count; number += 4) {
    kv.write([0, 1, 2, 3].map((more) => ({ key: keyOf(number + more), value })));
    if (number % 64 === 0) await (kv.whenRoom() ?? new Promise((resolve) => setImmediate(resolve)));
  }
  await kv.flush({ sync: true });
  const ms = performance.now() - start;
  console.log(
    `  write and flush: ${Math.round((count / ms) * 1000)} entries/s, CPU ${(((cpuMs() - cpu) / count) * 1000).toFixed(1)} us per entry (all threads)`,
  );
  timed("get, stored", 100_000, () => {
    for (let number = 0; number < 100_000; number++)
      kv.get(keyOf(Math.imul(number, 7919) % count < 0 ? 1 : Math.imul(number, 7919) % count));
  });
  timed("get, none there", 100_000, () => {
    for (let number = 0; number < 100_000; number++) kv.get(keyOf(count + number));
  });
  kv.write(Array.from({ length: 4000 }, (_, number) => ({ key: keyOf(number), value })));
  timed("get, pending", 100_000, () => {
    for (let number = 0; number < 100_000; number++) kv.get(keyOf(number % 4000));
  });
  const scanStart = performance.now();
  let scanned = 0;
  for (let round = 0; round < 50; round++) scanned += (await kv.scan({ begin: keyOf(round), end: "\xff", limit: 1000 })).length;
  console.log(`  scan of 1000: ${(((performance.now() - scanStart) / scanned) * 1000).toFixed(2)} us per entry`);
  console.log(`  resident ${Math.round(process.memoryUsage().rss / 1048576)} MiB`);
  await kv.close();
  await rm(root, { recursive: true });
}
