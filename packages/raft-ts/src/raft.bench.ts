/**
 * Three replicas in one process and memory: what Raft itself costs per committed proposal of 100 bytes.
 *
 *   node --conditions=cfs-source packages/raft-ts/src/raft.bench.ts [seconds per figure] [proposals per batch]
 *
 * Per second of CPU: what an idle core would do; on a busy machine the wall clock says less. Batched: so many proposals, then everything is delivered until nothing moves. Unbatched: one. Each counts as committed when all three have applied it.
 */
import { MemoryLog } from "./memory-log.ts";
import type { Message } from "./message.ts";
import { decodeMessage, encodeMessage } from "./message-format.ts";
import { Raft } from "./raft.ts";
import { seededRandom } from "./testing/cluster.ts";

const secondsPerFigure = Number(process.argv[2] ?? 3);
const batchCount = Number(process.argv[3] ?? 100);

class Node {
  readonly log: MemoryLog;
  readonly raft: Raft;
  applied = 0;

  constructor(id: number, ids: readonly number[]) {
    this.log = new MemoryLog({ voters: ids, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false });
    this.raft = new Raft({ storage: this.log, random: seededRandom(id) }, { id });
  }

  handle(send: (message: Message) => void): void {
    while (this.raft.hasReady) {
      const ready = this.raft.ready();
      if (ready === null) return;
      for (const message of ready.earlyMessages) send(message);
      this.log.store(ready);
      for (const message of ready.messages) send(message);
      this.applied += ready.committed.length;
      this.raft.advance(ready);
    }
    // As a host would: the log does not grow for ever.
    if (this.log.lastIndex - this.log.firstIndex > 20_000) {
      const index = this.raft.compactableIndex() - 1_000;
      this.log.compact(index, this.raft.configurationAt(index));
    }
  }
}

class Group {
  readonly nodes: readonly Node[];
  readonly #isEncoded: boolean;
  #network: Message[] = [];
  readonly #send = (message: Message): void => void this.#network.push(message);

  constructor(isEncoded: boolean) {
    const ids = [1, 2, 3];
    this.nodes = ids.map((id) => new Node(id, ids));
    this.#isEncoded = isEncoded;
    this.#at(1).raft.campaign();
    this.settle();
  }

  #at(id: number): Node {
    return this.nodes[id - 1] as Node;
  }

  get leader(): Node {
    return this.#at(1);
  }

  settle(): void {
    for (;;) {
      for (const node of this.nodes) node.handle(this.#send);
      if (this.#network.length === 0) return;
      const now = this.#network;
      this.#network = [];
      for (const message of now) this.#at(message.to).raft.step(this.#isEncoded ? decodeMessage(encodeMessage(message)) : message);
    }
  }
}

function measure(name: string, batch: number, isEncoded = false): void {
  const group = new Group(isEncoded);
  const data = new Uint8Array(100).fill(7);
  const run = (untilMs: number): number => {
    let count = 0;
    while (performance.now() < untilMs) {
      for (let at = 0; at < batch; at++) if (!group.leader.raft.propose(data).ok) throw new Error("refused");
      group.settle();
      count += batch;
    }
    return count;
  };
  run(performance.now() + 500);
  const before = group.nodes.map(({ applied }) => applied);
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  const count = run(startMs + secondsPerFigure * 1000);
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(startCpu);
  const cpuSeconds = (user + system) / 1e6;
  for (const [at, { applied }] of group.nodes.entries()) if (applied - (before[at] ?? 0) !== count) throw new Error("not all are applied");
  const perSecond = (time: number): string => Math.round(count / time).toLocaleString("en");
  console.log(
    `${name.padEnd(40)} ${perSecond(seconds)}/s, per second of CPU ${perSecond(cpuSeconds)} (${((cpuSeconds / count) * 1e9).toFixed(0)} ns each)`,
  );
}

function measureIdle(): void {
  const startBytes = process.memoryUsage().heapUsed;
  const groups = Array.from({ length: 256 }, () => new Group(false));
  for (const group of groups) {
    group.leader.raft.quiesce();
    group.settle();
  }
  const bytes = process.memoryUsage().heapUsed - startBytes;
  const startMs = performance.now();
  const ticks = 1000;
  for (let tick = 0; tick < ticks; tick++) for (const { nodes } of groups) for (const { raft } of nodes) raft.tick();
  const ms = performance.now() - startMs;
  console.log(
    `256 quiet groups of 3: ${(bytes / 2 ** 20).toFixed(1)} MiB of heap, ${((ms / ticks) * 1000).toFixed(1)} µs a tick for all 768 replicas`,
  );
}

measure(`batches of ${batchCount}`, batchCount);
measure("one by one", 1);
measure(`batches of ${batchCount}, encoded and decoded`, batchCount, true);
measure("one by one, encoded and decoded", 1, true);
measureIdle();
