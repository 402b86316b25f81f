/**
 * Brings trouble: kills, pauses, cuts, skews and slows machines at random, each for a while, and puts everything right at the end.
 *
 * It knows machines only by what can be done to them, so bare cores and whole drivers suffer the same. Bounded: a disk is lost for good only when the
 * cluster says that it can spare one (`replace`); everything else heals by itself, later or at `calm`.
 */
import type { NetworkFaults } from "./engine/sim-network.ts";
import type { SimProcess } from "./engine/sim-process.ts";
import type { SimRandom } from "./engine/sim-random.ts";
import type { Simulation } from "./engine/simulation.ts";

/** What can be done to any machine, and to the network. */
export const commonTroubles = [
  "kill",
  "power",
  "pause",
  "isolate",
  "split",
  "oneWay",
  "flap",
  "skew",
  "wallJump",
  "slowDisk",
  "fullDisk",
  "networkChange",
] as const;
type CommonTrouble = (typeof commonTroubles)[number];

export interface Machine {
  readonly id: number;
  readonly process: SimProcess;
  start(): void;
  crash(kind: "kill" | "power"): void;
  setClockRate(rate: number): void;
  setDiskSlowness(factor: number): void;
  setDiskFull(isFull: boolean): void;
}

export interface Links {
  readonly faults: NetworkFaults;
  cut(from: number, to: number): void;
  repair(from: number, to: number): void;
  calm(): void;
}

export interface Patient {
  readonly links: Links;
  /** Machines that are part of the cluster now. */
  machines(): readonly Machine[];
  /** A machine that leads something, or null. */
  favourite(): Machine | null;
  /** A trouble that only this kind of cluster knows. */
  act(trouble: string): void;
}

export interface NemesisOptions {
  /** Clocks run by so much too fast or too slow at most. */
  readonly skewMax: number;
  /** Mean µs between two troubles of a kind; kinds that are off are missing. */
  readonly meanUsBetween: ReadonlyMap<string, number>;
  readonly network: NetworkFaults;
}

/** Each kind of trouble is on or off by itself; those that are on come every `paceUs`, times 0.5 to 2.5. */
export function drawMeans(random: SimRandom, kinds: readonly string[], paceUs: number): ReadonlyMap<string, number> {
  const means = new Map<string, number>();
  for (const kind of kinds) if (random.chance(0.4)) means.set(kind, paceUs * (0.5 + random.next() * 2));
  return means;
}

export class Nemesis {
  readonly counts: Map<string, number> = new Map();
  readonly #sim: Simulation;
  readonly #random: SimRandom;
  readonly #patient: Patient;
  readonly #options: NemesisOptions;
  #isOver = false;

  constructor(sim: Simulation, random: SimRandom, patient: Patient, options: NemesisOptions) {
    this.#sim = sim;
    this.#random = random;
    this.#patient = patient;
    this.#options = options;
    Object.assign(patient.links.faults, options.network);
    for (const [kind, meanUs] of options.meanUsBetween) this.#later(kind, meanUs);
  }

  /** No new trouble, and everything that can be healed is. */
  calm(): void {
    this.#isOver = true;
    this.#patient.links.calm();
    for (const machine of this.#patient.machines()) {
      if (machine.process.state === "paused") machine.process.resume();
      machine.setClockRate(1);
      machine.setDiskSlowness(1);
      machine.setDiskFull(false);
      if (machine.process.state === "down") machine.start();
    }
  }

  #later(kind: string, meanUs: number): void {
    this.#sim.queue.schedule(this.#random.exponential(meanUs), () => {
      if (this.#isOver) return;
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
      this.#disturb(kind);
      this.#later(kind, meanUs);
    });
  }

  /** Undoes something after a while, unless all was put right before. */
  #undo(meanUs: number, work: () => void): void {
    this.#sim.queue.schedule(this.#random.exponential(meanUs), () => {
      if (!this.#isOver) work();
    });
  }

  #disturb(kind: string): void {
    const common = commonTroubles.find((other) => other === kind);
    if (common === undefined) this.#patient.act(kind);
    else if (this.#patient.machines().length > 1) this.#trouble(common);
  }

  #trouble(kind: CommonTrouble): void {
    const machine = (this.#random.chance(0.4) ? this.#patient.favourite() : null) ?? this.#random.pick(this.#patient.machines());
    switch (kind) {
      case "kill":
      case "power":
        return this.#crash(machine, kind);
      case "pause":
        return this.#pause(machine);
      case "isolate":
        return this.#cut([machine.id], this.#others(machine.id), true, "is isolated");
      case "split": {
        const ids = this.#random.shuffled(this.#patient.machines().map(({ id }) => id));
        const count = this.#random.between(1, Math.max(1, ids.length - 1));
        return this.#cut(ids.slice(0, count), ids.slice(count), true, "splits off");
      }
      case "oneWay":
        return this.#cut(
          [machine.id],
          this.#random.chance(0.5) ? this.#others(machine.id) : [this.#other(machine.id)],
          false,
          "is not heard by",
        );
      case "flap":
        return this.#flap(machine.id, this.#other(machine.id), this.#random.between(4, 30));
      case "skew":
        this.#sim.note(machine.id, "has a skewed clock");
        return machine.setClockRate(1 + (this.#random.next() * 2 - 1) * this.#options.skewMax);
      case "wallJump":
        machine.process.drift.wallOffsetMs += (this.#random.next() - 0.5) * this.#random.pick([10_000, 7_200_000]);
        return;
      case "slowDisk":
        machine.setDiskSlowness(this.#random.pick([10, 100, 1000]));
        this.#sim.note(machine.id, "has a slow disk");
        return this.#undo(5e6, () => machine.setDiskSlowness(1));
      case "fullDisk":
        machine.setDiskFull(true);
        this.#sim.note(machine.id, "has a full disk");
        return this.#undo(3e6, () => machine.setDiskFull(false));
      case "networkChange":
        // Between as bad as drawn, and half of that.
        this.#patient.links.faults.lossRate = this.#options.network.lossRate * this.#random.next() * 2 * 0.75;
        this.#patient.links.faults.delayMeanUs = this.#options.network.delayMeanUs * 4 ** (this.#random.next() * 2 - 1);
    }
  }

  #crash(machine: Machine, kind: "kill" | "power"): void {
    // Sometimes the whole room loses power.
    const victims = kind === "power" && this.#random.chance(0.2) ? this.#patient.machines() : [machine];
    for (const victim of victims) {
      if (victim.process.state === "down") continue;
      victim.crash(kind);
      this.#sim.note(victim.id, kind === "power" ? "loses power" : "is killed");
      this.#undo(this.#random.pick([100_000, 1e6, 5e6]), () => {
        if (victim.process.state === "down" && this.#patient.machines().includes(victim)) victim.start();
        this.#sim.note(victim.id, "starts");
      });
    }
  }

  #pause(machine: Machine): void {
    if (!machine.process.isUp) return;
    const { life } = machine.process;
    machine.process.pause();
    this.#sim.note(machine.id, "stands still");
    this.#undo(this.#random.pick([200_000, 1_500_000, 6_000_000]), () => {
      if (machine.process.life !== life || machine.process.state !== "paused") return;
      machine.process.resume();
      this.#sim.note(machine.id, "goes on");
    });
  }

  #others(id: number): number[] {
    return this.#patient.machines().flatMap((machine) => (machine.id === id ? [] : [machine.id]));
  }

  #other(id: number): number {
    return this.#random.pick(this.#others(id));
  }

  #cut(from: readonly number[], to: readonly number[], isBothWays: boolean, what: string): void {
    this.#sim.note(0, `[${from.join()}] ${what} [${to.join()}]`);
    const { links } = this.#patient;
    const pairs = from.flatMap((one) =>
      to.flatMap((other) =>
        isBothWays
          ? ([
              [one, other],
              [other, one],
            ] as const)
          : ([[one, other]] as const),
      ),
    );
    for (const [one, other] of pairs) links.cut(one, other);
    this.#undo(this.#random.pick([500_000, 3_000_000, 10_000_000]), () => {
      for (const [one, other] of pairs) links.repair(one, other);
      this.#sim.note(0, `[${from.join()}] and [${to.join()}] hear each other again`);
    });
  }

  #flap(one: number, other: number, count: number): void {
    const { links } = this.#patient;
    links.cut(one, other);
    this.#undo(300_000, () => {
      links.repair(one, other);
      if (count > 0) this.#undo(300_000, () => this.#flap(one, other, count - 1));
    });
  }
}
