/**
 * Faults against nodes with real drivers and logs, from one seed, with a checker that knows the truth.
 *
 * Checked all along: one command per index for ever; a proposal that was answered is that command; what was answered survives; its payload is durable on
 * two nodes; a read sees what was answered before it began; states are equal at equal index; drivers and logs never fail by themselves.
 * At the end faults stop, and everybody must agree and go on.
 */
import { CfsError } from "@cfs/core";
import { hasPayload } from "@cfs/metadata";
import type { DriverRules, MultiRaftOptions } from "@cfs/metadata";
import { ShardBed } from "./shard-bed.ts";
import type { ShardNode } from "./shard-bed.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly groups?: number;
  readonly steps?: number;
  readonly rules?: DriverRules;
  readonly driver?: Partial<MultiRaftOptions>;
}

interface Answered {
  readonly group: number;
  readonly index: number;
  readonly term: number;
  readonly text: string;
}

class Stop extends Error {}

export class Chaos {
  readonly bed: ShardBed;
  readonly #options: ChaosOptions;
  readonly violations: string[] = [];
  /** By "group/index". */
  readonly #history: Map<string, string> = new Map();
  readonly #answered: Answered[] = [];
  /** Calls without an answer, each with the node and its life then. */
  readonly #waiting: Set<{ readonly node: ShardNode; readonly life: number }> = new Set();
  #commandCount = 0;
  #cut: readonly [number, number] | null = null;
  readCount = 0;
  crashCount = 0;

  private constructor(bed: ShardBed, options: ChaosOptions) {
    this.bed = bed;
    this.#options = options;
  }

  get answeredCount(): number {
    return this.#answered.length;
  }

  static async run(options: ChaosOptions): Promise<Chaos> {
    const bed = await ShardBed.start({
      seed: options.seed,
      driver: { compactEntries: 30, compactBytes: 64 << 10, quiesceTicks: 15, payloadBytesMax: 2500, ...options.driver },
      log: { fileBytes: 64 << 10, frameBytes: 32 << 10, reclaimBytes: 3 * (64 << 10) },
      ...(options.rules === undefined ? {} : { rules: options.rules }),
    });
    const chaos = new Chaos(bed, options);
    try {
      await chaos.#run();
    } catch (reason) {
      if (!(reason instanceof Stop)) chaos.violations.push(`failed: ${reason instanceof Error ? reason.message : String(reason)}`);
    }
    return chaos;
  }

  #broken(what: string): never {
    this.violations.push(what);
    throw new Stop(what);
  }

  async #run(): Promise<void> {
    const { bed } = this;
    const groups = Array.from({ length: this.#options.groups ?? 2 }, (_, at) => at + 1);
    for (const group of groups) await bed.createGroup(group);
    const { random } = bed;
    for (let step = 0; step < (this.#options.steps ?? 120); step++) {
      const dice = random.next();
      const group = groups[Math.floor(random.next() * groups.length)] as number;
      if (dice < 0.45) this.#propose(group);
      else if (dice < 0.55) this.#read(group);
      else if (dice < 0.6) this.#arm();
      else if (dice < 0.66) await this.#restart();
      else if (dice < 0.7) this.#weather();
      else await bed.ticks(1 + Math.floor(random.next() * 2));
      await bed.settle(Math.floor(random.next() * 6));
      this.#check();
    }
    await this.#heal(groups);
  }

  #anyNode(): ShardNode | null {
    const up = this.bed.nodes.filter(({ driver }) => driver !== null);
    return up[Math.floor(this.bed.random.next() * up.length)] ?? null;
  }

  #propose(group: number): void {
    const leader = this.bed.leaderOf(group);
    const node = leader === null || this.bed.random.next() < 0.1 ? this.#anyNode() : this.bed.node(leader);
    if (node === null || node.driver === null || !node.driver.groups.includes(group)) return;
    const { random } = this.bed;
    for (let count = 1 + Math.floor(random.next() * 3); count > 0; count--) {
      const text = `k${Math.floor(random.next() * 5)}=${++this.#commandCount}`;
      const payload = random.next() < 0.5 ? new Uint8Array(1 + Math.floor(random.next() * 2000)).fill(this.#commandCount) : null;
      const { life } = node;
      const outcome = node.driver.propose(group, Buffer.from(text), payload).then(
        ({ index, term }) => {
          if (node.life === life) this.#wasAnswered({ group, index, term, text }, payload);
        },
        (reason: unknown) => {
          if (node.life === life) this.#wasRefused(reason);
        },
      );
      this.#own(node, outcome);
    }
  }

  #own(node: ShardNode, outcome: Promise<void>): void {
    const call = { node, life: node.life };
    this.#waiting.add(call);
    outcome.then(
      () => this.#waiting.delete(call),
      (reason: unknown) => this.violations.push(`a call failed: ${String(reason)}`),
    );
  }

  #wasRefused(reason: unknown): void {
    const { code, message } = CfsError.from(reason);
    if (!["AGAIN", "TIMED_OUT", "BAD_HANDLE"].includes(code)) this.violations.push(`refused: ${message}`);
  }

  #wasAnswered(answered: Answered, payload: Uint8Array | null): void {
    const { group, index, term, text } = answered;
    this.#answered.push(answered);
    const known = this.#history.get(`${group}/${index}`);
    if (known !== undefined && known !== `${term}:${text}`)
      this.violations.push(`group ${group} answered ${text} for ${index}, which is ${known}`);
    if (payload === null) return;
    const holders = this.bed.nodes.filter((node) => (node.log ?? node.lastLog)?.groups.get(group)?.hasPayload(index) === true);
    if (holders.length < 2) this.violations.push(`group ${group}: the payload of ${index} was answered with ${holders.length} holders`);
  }

  #read(group: number): void {
    const node = this.#anyNode();
    if (node === null || node.driver === null || !node.driver.groups.includes(group)) return;
    const least = this.#answered.reduce((most, answered) => (answered.group === group ? Math.max(most, answered.index) : most), 0);
    const { life } = node;
    const outcome = node.driver.readIndex(group).then(
      (index) => {
        if (node.life !== life) return;
        this.readCount++;
        const applied = node.machines.get(group)?.appliedIndex ?? 0;
        if (index < least) this.violations.push(`group ${group}: a read at ${index} does not see ${least}, which was answered before it`);
        if (applied < index) this.violations.push(`group ${group}: a read at ${index} was answered from a state at ${applied}`);
      },
      (reason: unknown) => {
        if (node.life === life) this.#wasRefused(reason);
      },
    );
    this.#own(node, outcome);
  }

  /** The power of one node fails after some more requests of its drive; never of two at once. */
  #arm(): void {
    const { nodes, random } = this.bed;
    if (nodes.some(({ driver, requestsLeft }) => driver === null || requestsLeft < 1e6)) return;
    const node = nodes[Math.floor(random.next() * nodes.length)] as ShardNode;
    // At a request, or right now, in the middle of what is under way.
    if (random.next() < 0.6) node.requestsLeft = Math.floor(random.next() * 12);
    else this.bed.crash(node.number);
  }

  async #restart(): Promise<void> {
    for (const { number, driver } of this.bed.nodes) {
      if (driver !== null) continue;
      this.crashCount++;
      // Sometimes the power fails again while it starts.
      if (this.bed.random.next() < 0.2) this.bed.node(number).requestsLeft = Math.floor(this.bed.random.next() * 10);
      await this.#boot(number);
    }
  }

  async #boot(number: number): Promise<void> {
    const node = this.bed.node(number);
    let isDone = false;
    const booted = this.bed.boot(number).catch((reason: unknown) => {
      const { code, message } = CfsError.from(reason);
      if (code !== "IO" && code !== "BAD_HANDLE") this.#broken(`node ${number} does not start again: ${message}`);
      node.driver = null;
    });
    booted.finally(() => (isDone = true)).catch(() => undefined);
    while (!isDone) await this.bed.settle(1);
    await booted;
  }

  #weather(): void {
    const { bed } = this;
    bed.promptness = bed.random.next() < 0.3 ? 1 : bed.random.next();
    bed.lossRate = bed.random.next() < 0.5 ? 0 : bed.random.next() * 0.3;
    bed.doubleRate = bed.random.next() * 0.2;
    bed.isShuffled = bed.random.next() < 0.5;
    const cut = Math.floor(bed.random.next() * 6);
    this.#cut = cut < 3 ? [cut + 1, ((cut + 1) % 3) + 1] : null;
    const [a, b] = this.#cut ?? [0, 0];
    const isOneWay = bed.random.next() < 0.5;
    bed.isCut = (from, to) => (from === a && to === b) || (!isOneWay && from === b && to === a);
  }

  #check(): void {
    for (const { number, driver, machines, log } of this.bed.nodes) {
      if (driver === null || log === null) continue;
      if (driver.broken !== null) this.#broken(`node ${number} broke: ${String(driver.broken.cause ?? driver.broken.message)}`);
      for (const [group, machine] of machines) {
        for (const [index, text] of machine.applied) {
          const known = this.#history.get(`${group}/${index}`);
          if (known === undefined) this.#history.set(`${group}/${index}`, text);
          else if (known !== text) this.#broken(`group ${group}: node ${number} applied ${text} at ${index}, but it is ${known}`);
        }
        machine.applied.clear();
        const durable = log.groups.get(group)?.lastIndex ?? 0;
        if (machine.appliedIndex > durable)
          this.#broken(`group ${group}: node ${number} applied ${machine.appliedIndex}, its log has ${durable}`);
        this.#checkLog(group, number, log);
      }
    }
    if (this.violations.length > 0) throw new Stop("a violation");
  }

  /** A leader may be alone with an entry and its payload; a follower never has the first without the second, unless two nodes have it. */
  #checkLog(group: number, number: number, log: NonNullable<ShardNode["log"]>): void {
    const entries = log.groups.get(group);
    for (let index = entries?.firstIndex ?? 1; index <= (entries?.lastIndex ?? 0); index++) {
      const entry = entries?.at(index) ?? null;
      if (entry === null || !hasPayload(entry) || entries?.hasPayload(index, entry.term) === true) continue;
      const holders = this.bed.nodes.filter((node) => {
        const other = (node.log ?? node.lastLog)?.groups.get(group);
        // What was compacted away was committed.
        return other !== undefined && (other.hasPayload(index, entry.term) || other.firstIndex > index);
      });
      if (holders.length < 2)
        this.#broken(`group ${group}: node ${number} has entry ${index} of term ${entry.term} whose payload ${holders.length} nodes have`);
    }
  }

  async #heal(groups: readonly number[]): Promise<void> {
    const { bed } = this;
    for (const node of bed.nodes) node.requestsLeft = Number.MAX_SAFE_INTEGER;
    bed.promptness = 1;
    bed.lossRate = 0;
    bed.doubleRate = 0;
    bed.isShuffled = false;
    bed.isCut = () => false;
    for (const { number, driver } of bed.nodes) if (driver === null) await this.#boot(number);
    // Whoever sleeps without a leader hears from nobody: membership would tell that nodes were away.
    for (const { number, driver } of bed.nodes) {
      for (const other of bed.nodes) {
        if (other.number === number) continue;
        driver?.setPeerUp(other.number, false);
        driver?.setPeerUp(other.number, true);
      }
    }
    for (const group of groups) await this.#goesOn(group);
    await bed.ticks(60);
    this.#check();
    for (const group of groups) this.#agree(group);
    await bed.closeAll();
    await bed.settle();
    for (const { node, life } of this.#waiting) if (node.life === life) this.#broken(`node ${node.number} never answered a call`);
    if (this.violations.length > 0) throw new Stop("a violation");
  }

  async #goesOn(group: number): Promise<void> {
    const { bed } = this;
    for (let attempt = 0; attempt < 100; attempt++) {
      const leader = bed.leaderOf(group);
      let isDone = false;
      if (leader !== null) {
        const payload = new Uint8Array(300).fill(7);
        const outcome = bed.node(leader).up.propose(group, Buffer.from(`last=${group}`), payload);
        outcome.then(
          () => (isDone = true),
          () => undefined,
        );
      }
      await bed.ticks(5);
      this.#check();
      if (isDone) return;
    }
    const states = bed.nodes.map(({ number, driver }) => {
      const { role, term, commit, lastIndex, gateIndex, heldIndex, appliedIndex, mate } = driver?.status(group) ?? {};
      return JSON.stringify({ number, role, term, commit, lastIndex, gateIndex, heldIndex, appliedIndex, mate });
    });
    this.#broken(`group ${group} does not go on after faults stopped: ${states.join(" ")}`);
  }

  #agree(group: number): void {
    const machines = this.bed.nodes.map(({ machines: all }) => all.get(group));
    const [first] = machines;
    for (const machine of machines) {
      if (machine?.appliedIndex !== first?.appliedIndex || machine?.hash !== first?.hash) {
        this.#broken(`group ${group} ends with states at ${machines.map((one) => one?.appliedIndex).join(", ")} that differ`);
      }
    }
    for (const { group: of, index, term, text } of this.#answered) {
      const known = this.#history.get(`${of}/${index}`);
      if (of === group && known !== `${term}:${text}`)
        this.#broken(`group ${group}: ${text} was answered for ${index}, which is ${known ?? "nothing"}`);
    }
  }
}
