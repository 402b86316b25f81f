/**
 * The figures of docs/benchmarks.md, by simulation: how soon a death is noticed and known, how soon news is everywhere, what it costs, how often it is wrong.
 *
 * Run: node --conditions=cfs-source packages/membership/src/testing/swim.bench.ts times [members,…] [loss,…] | errors [members,…] [frozen] | cost
 * Simulated network: 0.2 to 2 ms each way, each packet lost with the given probability. Bytes are with 28 for IP and UDP. Same figures on every machine.
 */
import { nodeAead } from "../node-aead.ts";
import { nodeHash } from "../node-hash.ts";
import { noMetadata } from "../swim/member.ts";
import { PacketCipher } from "../swim/packet-cipher.ts";
import { joinFrames, MessageEncoder } from "../swim/packet-format.ts";
import { Swim } from "../swim/swim.ts";
import { GossipSimulation, simulationCluster, simulationKey } from "./gossip-simulation.ts";
import { seededRandom } from "./seeded-random.ts";

interface Figures {
  readonly members: number;
  readonly loss: number;
  readonly firstMs: readonly number[];
  readonly everyoneMs: readonly number[];
  readonly newsMs: readonly number[];
  readonly bytesPerSecond: number;
  readonly packetsPerSecond: number;
}

/** `errors SIZES frozen`: only the rows with a node that stands still. */
const isFrozenOnly = process.argv[4] === "frozen";
const losses = (process.argv[4] ?? "0,0.05,0.2").split(",").map(Number);
const killsByMembers: Readonly<Record<number, number>> = { 6: 200, 50: 60, 200: 24, 1000: 10 };

function quantile(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

function seconds(figures: readonly number[]): string {
  return `${(quantile(figures, 0.5) / 1_000).toFixed(1)} / ${(quantile(figures, 0.99) / 1_000).toFixed(1)}`;
}

function row(cells: readonly (string | number)[]): void {
  process.stdout.write(`| ${cells.join(" | ")} |\n`);
}

function settled(members: number, seed: number, loss: number): GossipSimulation {
  const simulation = new GossipSimulation({ seed });
  simulation.onEvent = () => {};
  simulation.cluster(members, 120_000);
  simulation.runUntil(() => simulation.liveNodes.every(({ swim }) => swim.queued === 0), 120_000);
  simulation.loss = loss;
  simulation.run(10_000);
  return simulation;
}

/** What the cluster sends when nothing happens. */
function quietCost(simulation: GossipSimulation): { bytesPerSecond: number; packetsPerSecond: number } {
  const sums = (): { bytes: number; packets: number } => {
    let [bytes, packets] = [0, 0];
    for (const node of simulation.liveNodes) {
      bytes += node.sentBytes;
      packets += node.sentPackets;
    }
    return { bytes, packets };
  };
  const before = sums();
  const forMs = 30_000;
  simulation.run(forMs);
  const after = sums();
  const nodeSeconds = (simulation.liveNodes.length * forMs) / 1_000;
  return {
    bytesPerSecond: (after.bytes - before.bytes) / nodeSeconds,
    packetsPerSecond: (after.packets - before.packets) / nodeSeconds,
  };
}

/** Until every live node holds the member for dead; the first verdict and the last. */
function timeDeath(simulation: GossipSimulation, name: string): { firstMs: number; everyoneMs: number } {
  const beginMs = simulation.nowMs;
  const knows = new Set<string>();
  let [firstMs, everyoneMs] = [Number.NaN, Number.NaN];
  simulation.onEvent = ({ atMs, node, event }) => {
    if (event.type !== "failed" || event.member.name !== name) return;
    if (knows.size === 0) firstMs = atMs - beginMs;
    knows.add(node);
    everyoneMs = atMs - beginMs;
  };
  simulation.kill(name);
  const living = simulation.liveNodes.length;
  simulation.runUntil(() => knows.size === living, 120_000);
  simulation.onEvent = () => {};
  return { firstMs, everyoneMs };
}

/** Until a change of one node's metadata is known to all. */
function timeNews(simulation: GossipSimulation, name: string): number {
  const { swim } = simulation.node(name);
  swim.setMetadata({ labels: {}, capacityBytes: swim.self.metadata.capacityBytes + 1, features: 0 });
  const { incarnation } = swim.self;
  const beginMs = simulation.nowMs;
  const waiting = new Set(simulation.liveNodes);
  while (waiting.size > 0 && simulation.nowMs - beginMs < 120_000) {
    simulation.run(20);
    for (const node of waiting) if ((node.swim.member(name)?.incarnation ?? 0) >= incarnation) waiting.delete(node);
  }
  return simulation.nowMs - beginMs;
}

function measure(members: number, loss: number): Figures {
  const simulation = settled(members, 1, loss);
  const cost = quietCost(simulation);
  const figures = { firstMs: [] as number[], everyoneMs: [] as number[], newsMs: [] as number[] };
  for (let round = 0; round < (killsByMembers[members] ?? 20); round++) {
    const name = `n${1 + Math.floor(simulation.random.next() * (members - 1))}`;
    figures.newsMs.push(timeNews(simulation, "n0"));
    const { firstMs, everyoneMs } = timeDeath(simulation, name);
    figures.firstMs.push(firstMs);
    figures.everyoneMs.push(everyoneMs);
    simulation.restart(name);
    simulation.join(name, "n0");
    simulation.run(members > 200 ? 5_000 : 15_000);
  }
  return { members, loss, ...figures, ...cost };
}

function printTimes(sizes: readonly number[]): void {
  row(["members", "loss", "first verdict, s", "everyone knows, s", "news everywhere, s", "sent per node, B/s", "packets/s"]);
  row(Array.from({ length: 7 }, () => "---"));
  for (const members of sizes)
    for (const loss of losses) {
      const { firstMs, everyoneMs, newsMs, bytesPerSecond, packetsPerSecond } = measure(members, loss);
      const cost = [bytesPerSecond.toFixed(0), packetsPerSecond.toFixed(1)];
      row([members, `${loss * 100} %`, seconds(firstMs), seconds(everyoneMs), seconds(newsMs), ...cost]);
    }
}

/** Live members that were declared dead: `frozen` is the one that stood still, `others` are mistakes. */
interface Errors {
  readonly others: number;
  readonly frozen: number;
  readonly suspicions: number;
  readonly nodeHours: number;
}

function countErrors(members: number, loss: number, nodeHours: number, freezeMs: number): Errors {
  const simulation = settled(members, 2, loss);
  const dead = new Set<string>();
  const suspected = new Set<string>();
  simulation.onEvent = ({ event }) => {
    if (event.type === "failed") dead.add(`${event.member.name} ${event.member.incarnation}`);
    if (event.type === "suspected") suspected.add(`${event.member.name} ${event.member.incarnation}`);
  };
  const forMs = (nodeHours / members) * 3_600_000;
  const beginMs = simulation.nowMs;
  while (simulation.nowMs - beginMs < forMs) {
    if (freezeMs > 0) simulation.pause("n1", freezeMs);
    simulation.run(30_000);
  }
  const frozen = [...dead].filter((key) => freezeMs > 0 && key.startsWith("n1 ")).length;
  return { others: dead.size - frozen, frozen, suspicions: suspected.size, nodeHours };
}

function printErrors(sizes: readonly number[]): void {
  const hoursByMembers: Readonly<Record<number, number>> = { 6: 200, 50: 100, 200: 50, 1000: 20 };
  row([
    "members",
    "loss",
    "frozen 5 s every 30 s",
    "node-hours",
    "suspicions per node-hour",
    "false verdicts per node-hour",
    "frozen node declared dead",
  ]);
  row(Array.from({ length: 7 }, () => "---"));
  for (const members of sizes)
    for (const [loss, freezeMs] of [
      [0.02, 0],
      [0.2, 0],
      [0, 5_000],
      [0.2, 5_000],
    ] as const) {
      if (isFrozenOnly && freezeMs === 0) continue;
      const { others, frozen, suspicions, nodeHours } = countErrors(members, loss, hoursByMembers[members] ?? 50, freezeMs);
      const freezes = ((nodeHours / members) * 3_600) / 30;
      row([
        members,
        `${loss * 100} %`,
        freezeMs > 0 ? "one node" : "–",
        nodeHours,
        (suspicions / nodeHours).toFixed(1),
        `${(others / nodeHours).toFixed(3)} (${others})`,
        freezeMs > 0 ? `${((100 * frozen) / freezes).toFixed(0)} % of freezes` : "–",
      ]);
    }
}

/** CPU of one node for a ping that is opened, read, answered and sealed, with real encryption. */
function printCost(): void {
  const identity = { name: "node", address: "node:1", clusterId: simulationCluster, keys: [simulationKey], metadata: noMetadata };
  const swim = new Swim({ random: seededRandom(1), aead: nodeAead, hash: nodeHash }, identity);
  const cipher = new PacketCipher({ aead: nodeAead, keys: swim.keys }, simulationCluster);
  const encoder = new MessageEncoder();
  const count = 50_000;
  const packets = Array.from({ length: count }, (_, seq) => {
    const frame = encoder.encode({ type: "ping", seq, source: "0123456789abcdef0123456789abcdef", target: "node" });
    return cipher.seal("00000000000000aa", seq, swim.self.session, joinFrames([frame]));
  });
  const begin = process.cpuUsage();
  for (const packet of packets) {
    swim.receive(packet, "peer:1", 0);
    swim.effects();
  }
  const { user, system } = process.cpuUsage(begin);
  const micros = (user + system) / count;
  process.stdout.write(`ping and ack, AES-256-GCM: ${micros.toFixed(1)} µs of CPU; ${swim.counters.packetsSent} answered\n`);
}

const what = process.argv[2] ?? "times";
const sizes = (process.argv[3] ?? "6,50,200,1000").split(",").map(Number);
if (what === "cost") printCost();
else if (what === "errors") printErrors(sizes);
else printTimes(sizes);
