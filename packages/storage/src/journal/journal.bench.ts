/**
 * What a commit costs: small and large entries, by how many are in flight, on one directory per drive.
 *
 *   node --conditions=cfs-source packages/storage/src/journal/journal.bench.ts [directory] [copies]
 *
 * With the native CRC when the addon has one, else with the slow one in TypeScript, and it says which.
 */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { loadAddon } from "@cfs/native";

import { RingIo } from "../device/ring-io.ts";
import { crc32cTable } from "./crc32c.ts";
import type { Crc32c } from "./journal-format.ts";
import { Journal } from "./journal.ts";

const clock: Clock = {
  wallTime: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

const crc32c: Crc32c = (loadAddon() as { crc32c?: Crc32c }).crc32c ?? crc32cTable;
const copies = Number(process.argv[3] ?? 3);

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function run(root: string, sizeBytes: number, inFlight: number, count: number, depth: number): Promise<void> {
  const io = await RingIo.open({ poolBytes: 192 << 20 });
  const drives = [];
  for (let number = 0; number < copies; number++) {
    const path = await mkdtemp(join(root, `d${number}-`));
    drives.push({ driveId: randomBytes(16).toString("hex"), path });
  }
  let onDurable: (index: number) => void = () => undefined;
  const random = { next: Math.random, bytes: (target: Uint8Array): Uint8Array => (target.set(randomBytes(target.length)), target) };
  const listener = {
    onDurable: (index: number) => onDurable(index),
    onDriveFailed: (_: unknown, error: Error) => console.log("failed", error.message),
    onBroken: (error: Error) => console.log("broken", error.message),
    onLoss: () => undefined,
  };
  const journal = await Journal.open({ io, crc32c, clock, random, log: silentLogger }, drives, listener, {
    clusterId: "c".repeat(32),
    nodeId: "a".repeat(32),
    appliedIndex: 0,
    depth,
    copyCount: copies,
  });
  const head = randomBytes(sizeBytes >= 4096 ? 100 : sizeBytes);
  const payload = sizeBytes >= 4096 ? [randomBytes(sizeBytes)] : [];
  const begun = new Float64Array(count + 1);
  const took = new Float64Array(count);
  let isRetiring = false;
  const round = async (): Promise<void> => {
    let next = 0;
    let done = journal.lastIndex;
    const base = done;
    await new Promise<void>((resolve) => {
      const send = (): void => {
        begun[next++] = performance.now();
        journal.append(head, payload);
      };
      onDurable = (index) => {
        const now = performance.now();
        for (; done < index; done++) {
          took[done - base] = now - (begun[done - base] as number);
          if (next < count) send();
        }
        if (!isRetiring && journal.files().length > 6) {
          isRetiring = true;
          journal
            .retire(index - 1, () => false)
            .then(
              () => (isRetiring = false),
              (reason: unknown) => console.log("retire failed", reason),
            );
        }
        if (done - base === count) resolve();
      };
      for (let number = 0; number < inFlight && next < count; number++) send();
    });
  };
  await round();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const frames = journal.statistics.frameCount;
  const cpu = cpuMs();
  const start = performance.now();
  await round();
  const ms = performance.now() - start;
  const usedMs = cpuMs() - cpu;
  const sorted = took.toSorted();
  const frameCount = journal.statistics.frameCount - frames;
  console.log(
    `${sizeBytes} B, ${inFlight} in flight, depth ${depth}: ${Math.round((count / ms) * 1000)}/s, ${((count * sizeBytes) / ms / 1048.576).toFixed(0)} MiB/s, ` +
      `p50 ${((sorted[count >> 1] as number) * 1000).toFixed(0)} us, p99 ${((sorted[Math.floor(count * 0.99)] as number) * 1000).toFixed(0)} us, ` +
      `CPU ${((usedMs / count) * 1000).toFixed(1)} us per entry, ${((usedMs / frameCount) * 1000).toFixed(0)} us per frame, ${(count / frameCount).toFixed(1)} entries per frame`,
  );
  await journal.close();
  await io.shutDown();
  for (const drive of drives) await rm(drive.path, { recursive: true });
}

const root = process.argv[2] ?? (await mkdtemp(join(tmpdir(), "cfs-journal-bench-")));
await mkdir(root, { recursive: true });
console.log(`${copies} copies on ${root}, crc32c ${crc32c === crc32cTable ? "in TypeScript" : "native"}`);
for (const depth of [2, 4]) {
  await run(root, 300, 1, 8000, depth);
  await run(root, 300, 16, 60_000, depth);
  await run(root, 300, 128, 200_000, depth);
  await run(root, 65_536, 1, 1500, depth);
  await run(root, 65_536, 16, 3000, depth);
}
if (process.argv[2] === undefined) await rm(root, { recursive: true });
