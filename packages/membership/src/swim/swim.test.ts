import { describe, expect, it } from "vitest";
import { GossipSimulation } from "../testing/gossip-simulation.ts";
import { swimOf } from "../testing/stranger.ts";
import type { SwimEvent } from "./events.ts";

const perfect = { delayMinMs: 0.2, delayMaxMs: 2 };

function types(simulation: GossipSimulation, about: string): SwimEvent["type"][] {
  return simulation.events.flatMap(({ event }) => ("member" in event && event.member.name === about ? [event.type] : []));
}

describe("a cluster of six", () => {
  it("forms from one seed within a second", () => {
    const simulation = new GossipSimulation({ seed: 1, ...perfect });
    simulation.cluster(6, 1_000);
    expect(simulation.liveNodes.map(({ swim }) => swim.phase)).toEqual(Array.from({ length: 6 }, () => "joined"));
  });

  it("notices a dead member within five seconds, everywhere, and nobody else is accused", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const simulation = new GossipSimulation({ seed, ...perfect });
      simulation.cluster(6, 10_000);
      simulation.run(5_000);
      simulation.events.length = 0;
      simulation.kill("n3");
      const isKnown = (): boolean => simulation.liveNodes.every(({ swim }) => swim.member("n3")?.state === "dead");
      expect(simulation.runUntil(isKnown, 5_000), `seed ${seed}`).not.toBeNull();
      expect(simulation.events.every(({ event }) => !("member" in event) || event.member.name === "n3")).toBe(true);
    }
  });

  it("sees a leave as a leave, even with 20 % loss", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const simulation = new GossipSimulation({ seed });
      simulation.cluster(6, 10_000);
      simulation.loss = 0.2;
      simulation.leave("n2");
      simulation.run(20_000);
      expect(simulation.node("n2").swim.phase).toBe("stopped");
      expect(types(simulation, "n2"), `seed ${seed}`).not.toContain("failed");
      expect(types(simulation, "n2").filter((type) => type === "left")).toHaveLength(5);
    }
  });

  it("takes a restarted member back although it begins with incarnation 1 again", () => {
    const simulation = new GossipSimulation({ seed: 3, loss: 0.05 });
    simulation.cluster(6, 10_000);
    simulation.kill("n4");
    simulation.run(8_000);
    simulation.restart("n4");
    simulation.join("n4", "n0");
    const isBack = (): boolean => simulation.liveNodes.every(({ swim }) => swim.member("n4")?.state === "alive");
    expect(simulation.runUntil(isBack, 5_000)).not.toBeNull();
    expect(simulation.node("n0").swim.member("n4")?.incarnation).toBeGreaterThan(1);
  });

  it("finds itself again after a partition", () => {
    const simulation = new GossipSimulation({ seed: 4 });
    simulation.cluster(6, 10_000);
    const left = new Set(["n0", "n1", "n2"]);
    simulation.passes = (from, to) => left.has(from) === left.has(to);
    simulation.run(30_000);
    const activeOf = (name: string): number =>
      simulation
        .node(name)
        .swim.members()
        .filter(({ state }) => state === "alive").length;
    expect([activeOf("n0"), activeOf("n5")]).toEqual([3, 3]);
    simulation.passes = () => true;
    const isWhole = (): boolean => simulation.liveNodes.every(({ name }) => activeOf(name) === 6);
    expect(simulation.runUntil(isWhole, 20_000)).not.toBeNull();
  });

  it("gives everybody the newest value of a name, small and large", () => {
    const simulation = new GossipSimulation({ seed: 5, loss: 0.1 });
    simulation.cluster(6, 10_000);
    const large = Uint8Array.from({ length: 50_000 }, (_, index) => index % 251);
    expect(simulation.node("n1").swim.broadcast("revoked", 2, Uint8Array.of(1, 2, 3))).toBe(true);
    expect(simulation.node("n2").swim.broadcast("revoked", 1, Uint8Array.of(9))).toBe(true);
    expect(simulation.node("n3").swim.broadcast("policy", 7, large)).toBe(true);
    const isEverywhere = (): boolean =>
      simulation.liveNodes.every(({ swim }) => swim.value("revoked")?.version === 2 && swim.value("policy")?.version === 7);
    expect(simulation.runUntil(isEverywhere, 10_000)).not.toBeNull();
    for (const { swim } of simulation.liveNodes) expect(swim.value("policy")?.bytes).toEqual(large);
    expect(simulation.node("n4").swim.broadcast("policy", 7, large)).toBe(false);
  });
});

describe("joining", () => {
  it("again, as a host does that retries, is answered, and the comparison of tables goes on", () => {
    const simulation = new GossipSimulation({ seed: 6 });
    simulation.cluster(4, 10_000);
    simulation.events.length = 0;
    simulation.add("away");
    simulation.kill("away");
    simulation.join("n0", "n1");
    simulation.run(3_000);
    expect(simulation.events.filter(({ event }) => event.type === "joinedCluster").map(({ node }) => node)).toEqual(["n0"]);
    // By a seed that is away: nothing comes of it, and nothing else stops. Gossip to n0 is lost; what it misses comes by comparison.
    simulation.join("n0", "away");
    simulation.run(2_000);
    simulation.passes = (_from, to) => to !== "n0";
    simulation.node("n2").swim.broadcast("list", 1, Uint8Array.of(1));
    simulation.run(8_000);
    simulation.passes = () => true;
    for (const from of ["n1", "n2", "n3"]) expect(simulation.node(from).swim.queued, from).toBe(0);
    const isThere = (): boolean => simulation.node("n0").swim.value("list") !== null;
    expect(simulation.runUntil(isThere, 20_000)).not.toBeNull();
  });

  it("by one's own address under another name is not answered by oneself", () => {
    const swim = swimOf();
    swim.join(["alias-of-a:1"]);
    for (let clockMs = 0; clockMs < 5_000; clockMs += 100) {
      swim.tick(clockMs);
      for (let packets = swim.effects().packets; packets.length > 0; packets = swim.effects().packets)
        for (const { bytes } of packets) swim.receive(bytes, "a:1", clockMs);
    }
    expect(swim.phase).toBe("joining");
  });
});

describe("a process that stood still", () => {
  it("declares nobody dead when it goes on, after a pause or a jump of its clock", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const simulation = new GossipSimulation({ seed });
      simulation.cluster(6, 10_000);
      simulation.run(1_000 + seed * 100);
      simulation.pause("n1", 60_000);
      simulation.run(65_000);
      simulation.jumpClock("n2", 3_600_000);
      simulation.run(5_000);
      simulation.jumpClock("n3", -3_600_000);
      simulation.run(20_000);
      const failed = new Set(simulation.events.flatMap(({ event }) => (event.type === "failed" ? [event.member.name] : [])));
      expect([...failed], `seed ${seed}`).toEqual(["n1"]);
      for (const { swim } of simulation.liveNodes) expect(swim.members().every(({ state }) => state === "alive")).toBe(true);
    }
  });
});
