/**
 * Three nodes in one process through the real driver and the real log on memory drives: proposals per second, and what sleeping groups cost.
 *
 *   node --conditions=cfs-source --expose-gc packages/testkit/src/shard/multi-raft.bench.ts
 *
 * Everything of three nodes runs in one thread: encoding and checksums of three logs, three state machines, the network between.
 */
import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { MultiRaft } from "@cfs/metadata";
import type { PeerItem, StateMachine } from "@cfs/metadata";
import { crc32c } from "@cfs/native";
import { FileGroupLog, MemoryIo, seededRandom } from "@cfs/storage";

const clock: Clock = {
  wallTime: () => ({ sec: Math.floor(Date.now() / 1000), nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

class CountingMachine implements StateMachine<number> {
  appliedIndex = 0;

  apply(commands: readonly unknown[], appliedIndex: number): readonly number[] {
    this.appliedIndex = appliedIndex;
    return commands.map(() => 0);
  }

  async checkpoint(): Promise<number> {
    return this.appliedIndex;
  }

  openSnapshot(): never {
    throw new Error("no follower is behind here");
  }

  receiveSnapshot(): never {
    throw new Error("no follower is behind here");
  }

  isPayloadInUse(): boolean {
    return false;
  }

  async close(): Promise<void> {}
}

interface Bench {
  readonly drivers: readonly MultiRaft<number>[];
  close(): Promise<void>;
}

async function start(groups: number): Promise<Bench> {
  const drivers: MultiRaft<number>[] = [];
  const logs: FileGroupLog[] = [];
  for (let node = 1; node <= 3; node++) {
    const random = seededRandom(node);
    const io = new MemoryIo({ random });
    const log = await FileGroupLog.open(
      { io, crc32c, clock, random, logger: silentLogger },
      { directory: "/groups", clusterId: "c0".repeat(16), nodeId: String(node).padStart(32, "0"), fileBytes: 16 << 20 },
    );
    logs.push(log);
    const send = (to: number, batch: readonly PeerItem[]): void => void setImmediate(() => drivers[to - 1]?.receive(node, batch));
    const parts = {
      log,
      peers: { send },
      placement: { self: () => node, peerOf: (_: number, replica: number) => replica },
      openMachine: async () => new CountingMachine(),
      clock,
      random,
      logger: silentLogger,
      crc32c,
      schedule: (run: () => void) => void setImmediate(run),
    };
    drivers.push(await MultiRaft.open<number>(parts));
  }
  const configuration = { voters: [1, 2, 3], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  for (let group = 1; group <= groups; group++) for (const driver of drivers) await driver.createGroup(group, configuration);
  for (let group = 1; group <= groups; group++) drivers[group % 3]?.campaign(group);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const close = async (): Promise<void> => {
    for (const driver of drivers) await driver.close();
    for (const log of logs) await log.close();
  };
  return { drivers, close };
}

/** `window` proposals under way all the time, spread over the groups. */
async function proposals(name: string, groups: number, window: number, count: number, payloadBytes: number | null): Promise<void> {
  const bench = await start(groups);
  const command = new Uint8Array(100);
  let left = count;
  const worker = async (number: number): Promise<void> => {
    const group = (number % groups) + 1;
    const driver = bench.drivers[group % 3] as MultiRaft<number>;
    while (left-- > 0) await driver.propose(group, command, payloadBytes === null ? null : new Uint8Array(payloadBytes));
  };
  const cpu = process.cpuUsage();
  const begin = performance.now();
  await Promise.all(Array.from({ length: window }, (_, number) => worker(number)));
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = (time: number): string => Math.round(count / time).toLocaleString("en");
  console.log(`${name}: ${perSecond(seconds)} proposals/s, ${perSecond((user + system) / 1e6)} per second of CPU`);
  await bench.close();
}

async function sleeping(groups: number, seconds: number): Promise<void> {
  const collect = (globalThis as { gc?: () => void }).gc ?? ((): void => undefined);
  const empty = await start(1);
  collect();
  const before = process.memoryUsage().rss;
  const bench = await start(groups);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  const awake = bench.drivers.reduce((sum, { awakeCount }) => sum + awakeCount, 0);
  collect();
  const rss = process.memoryUsage().rss - before;
  const cpu = process.cpuUsage();
  const begin = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const { user, system } = process.cpuUsage(cpu);
  const share = (user + system) / 1000 / (performance.now() - begin);
  console.log(
    `${groups} groups on three nodes in one process, ${awake} awake: ${(share * 100).toFixed(2)} % of a core over ${seconds} s, ` +
      `${(rss / 2 ** 20).toFixed(0)} MiB more than without (three logs hold 12 MiB of that)`,
  );
  await bench.close();
  await empty.close();
}

await proposals("1 group, 1,000 under way", 1, 1000, 100_000, null);
await proposals("1 group, 1 under way", 1, 1, 5_000, null);
await proposals("16 groups, 4,096 under way", 16, 4096, 100_000, null);
await proposals("1 group, 64 under way, payloads of 16 KiB", 1, 64, 2_000, 16 << 10);
await sleeping(256, 10);
