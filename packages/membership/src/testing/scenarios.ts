/**
 * Short stories of six nodes that end well with the right rules: what planted bugs are found by. Each returns what went wrong, or null.
 */
import type { SwimRules } from "../swim/rules.ts";
import { GossipSimulation } from "./gossip-simulation.ts";
import { ViewChecker } from "./view-checker.ts";

export type Scenario = (rules: SwimRules, seed: number) => string | null;

/** A cluster of six that is settled, and what its events break from now on. */
class Story {
  readonly simulation: GossipSimulation;
  readonly #checker = new ViewChecker();
  #complaint: string | null = null;
  /** What is wrong with a value that a node tells of. */
  #problemOf: (bytes: Uint8Array) => string | null = () => null;
  /** Names for whom these events are wrong now. */
  #forbidden: (type: string, about: string) => boolean = () => false;

  constructor(rules: SwimRules, seed: number) {
    this.simulation = new GossipSimulation({ seed, rules });
    this.simulation.onEvent = ({ node, event }) => {
      this.complain(this.#checker.check(node, event));
      const problem = event.type === "broadcast" ? this.#problemOf(event.bytes) : null;
      if (problem !== null) this.complain(`${node} ${problem}`);
      if ("member" in event && this.#forbidden(event.type, event.member.name))
        this.complain(`${node} sees that ${event.member.name} ${event.type}`);
    };
    this.simulation.cluster(6, 30_000);
    this.simulation.run(10_000);
  }

  get complaint(): string | null {
    return this.#complaint;
  }

  complain(what: string | null): void {
    this.#complaint ??= what;
  }

  forbid(types: readonly string[], about: (name: string) => boolean = () => true): void {
    this.#forbidden = (type, name) => types.includes(type) && about(name);
  }

  watchValues(problemOf: (bytes: Uint8Array) => string | null): void {
    this.#problemOf = problemOf;
  }

  expect(isSo: () => boolean, withinMs: number, what: string): void {
    if (this.simulation.runUntil(isSo, withinMs) === null) this.complain(what);
  }

  stateOf(observer: string, name: string): string | undefined {
    return this.simulation.node(observer).swim.member(name)?.state;
  }
}

function story(tell: (told: Story) => void): Scenario {
  return (rules, seed) => {
    const told = new Story(rules, seed);
    tell(told);
    return told.complaint;
  };
}

const all = ["n0", "n1", "n2", "n3", "n4", "n5"];

export const scenarios: Readonly<Record<string, Scenario>> = {
  /** A fifth of the packets is lost; everybody lives, and nobody is declared dead. */
  loss: story((told) => {
    told.forbid(["failed"]);
    told.simulation.loss = 0.2;
    told.simulation.run(60_000);
  }),
  /** Two nodes cannot reach each other; the others ask for them, and there is no reason to suspect anybody. */
  brokenLink: story((told) => {
    told.forbid(["suspected", "failed"]);
    told.simulation.passes = (from, to) => !["n1 n2", "n2 n1"].includes(`${from} ${to}`);
    told.simulation.run(20_000);
  }),
  goodbye: story((told) => {
    told.forbid(["failed"]);
    told.simulation.leave("n3");
    const isGone = (): boolean => all.every((name) => name === "n3" || told.stateOf(name, "n3") === "left");
    told.expect(isGone, 5_000, "not everybody heard the goodbye of n3");
    told.simulation.run(20_000);
  }),
  /** One process stands still for a minute; it is rightly declared dead, comes back, and accuses nobody. */
  pause: story((told) => {
    told.forbid(["failed"], (name) => name !== "n4");
    told.simulation.pause("n4", 60_000);
    told.simulation.run(90_000);
    for (const name of all) if (told.stateOf(name, "n4") !== "alive") told.complain(`${name} does not have n4 back`);
  }),
  /** A process stops, for longer than a suspicion lasts, whenever it has just begun to suspect somebody who only lost packets. */
  stutter: story((told) => {
    const { simulation } = told;
    told.forbid(["failed"], (name) => name !== "n4");
    simulation.loss = 0.2;
    for (let round = 0; round < 3; round++) {
      simulation.runUntil(
        () =>
          simulation
            .node("n4")
            .swim.members()
            .some(({ state }) => state === "suspect"),
        60_000,
      );
      simulation.pause("n4", 12_000);
      simulation.run(13_500);
    }
  }),
  /** A node that stood still when another died brings its old table along. */
  staleTable: story((told) => {
    const { simulation } = told;
    simulation.pause("n4", 40_000);
    simulation.run(1_000);
    simulation.kill("n5");
    simulation.run(30_000);
    told.forbid(["joined"], (name) => name === "n5");
    simulation.run(40_000);
    for (const name of ["n0", "n4"]) if (told.stateOf(name, "n5") !== "dead") told.complain(`${name} does not know that n5 is dead`);
  }),
  /** Two halves hold each other for dead, and find each other again. */
  partition: story((told) => {
    const { simulation } = told;
    simulation.passes = (from, to) => from < "n3" === to < "n3";
    simulation.run(30_000);
    told.forbid(["failed"]);
    simulation.passes = () => true;
    const isWhole = (): boolean => all.every((name) => all.every((other) => told.stateOf(name, other) === "alive"));
    told.expect(isWhole, 30_000, "the halves did not find each other");
    simulation.run(20_000);
  }),
  /** What was said is said: the queues run dry. */
  silence: story((told) => {
    told.simulation.kill("n2");
    told.simulation.run(30_000);
    for (const { name, swim } of told.simulation.liveNodes)
      if (swim.queued > 0) told.complain(`${name} still has ${swim.queued} updates to send`);
  }),
  /** Two hosts give one name the same version, first a small and then a large value: one of both wins everywhere, whole. */
  twoWriters: story((told) => {
    const { simulation } = told;
    simulation.loss = 0.1;
    for (const [version, sizeBytes] of [300, 9_000].entries()) {
      const written = [1, 2].map((writer) => Buffer.alloc(sizeBytes, writer));
      told.watchValues((bytes) => (written.some((value) => value.equals(bytes)) ? null : "has a value that nobody wrote"));
      for (const [index, value] of written.entries()) simulation.act(`n${index}`, (swim) => swim.broadcast("list", version + 1, value));
      const isOne = (): boolean =>
        written.some((value) => simulation.liveNodes.every(({ swim }) => value.equals(swim.value("list")?.bytes ?? new Uint8Array(0))));
      told.expect(isOne, 20_000, "the nodes have different values of one version");
    }
  }),
  /** Half of the packets come twice; none is taken twice. */
  duplicates: story((told) => {
    const { simulation } = told;
    simulation.duplication = 0.5;
    const before = simulation.liveNodes.map(({ sentPackets, swim }) => sentPackets - acceptedBy(swim.counters));
    simulation.run(20_000);
    const after = simulation.liveNodes.map(({ sentPackets, swim }) => sentPackets - acceptedBy(swim.counters));
    const sum = (figures: readonly number[]): number => figures.reduce((total, figure) => total + figure, 0);
    if (sum(after) < sum(before)) told.complain("more packets were taken than were sent");
  }),
};

type Counters = GossipSimulation["liveNodes"][number]["swim"]["counters"];

function acceptedBy(counters: Counters): number {
  return counters.packetsReceived - counters.packetsReplayed - counters.packetsForeign - counters.packetsUnaddressed;
}
