/** What a node makes of what others say: of third parties, of itself, and of members that lived before. */
import { describe, expect, it } from "vitest";
import { GossipSimulation } from "../testing/gossip-simulation.ts";
import { aliveOf, recordOf, Stranger, swimOf } from "../testing/stranger.ts";
import { limits } from "./options.ts";

describe("hearsay", () => {
  it("confirms no suspicion: the other table may have it from here", () => {
    const timeOfDeath = (isRumoured: boolean): number => {
      const swim = swimOf();
      const stranger = new Stranger(swim);
      stranger.say(["b", "c", "d", "e", "x"].map((name) => aliveOf(name)));
      stranger.say([{ type: "suspect", name: "x", incarnation: 1, from: "b" }]);
      if (isRumoured) stranger.say([{ type: "record", record: recordOf("x", { state: "suspect" }) }]);
      // What another node began from hearsay comes back as gossip.
      if (isRumoured) stranger.say([{ type: "suspect", name: "x", incarnation: 1, from: "(sync)" }]);
      while (swim.member("x")?.state !== "dead" && stranger.clockMs < 60_000) stranger.run(100);
      return stranger.clockMs;
    };
    expect(timeOfDeath(true)).toBe(timeOfDeath(false));
  });

  it("of a death is not passed on as a verdict: elsewhere the member may be back", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say(["b", "c", "x"].map((name) => aliveOf(name)));
    stranger.say([{ type: "dead", name: "x", incarnation: 1, from: "b" }]);
    stranger.run(5_000);
    stranger.heard();
    stranger.say([{ type: "record", record: recordOf("x", { state: "dead", incarnation: 3, ageMs: 10 }) }]);
    stranger.run(5_000);
    expect(swim.member("x")).toMatchObject({ state: "dead", incarnation: 3 });
    const told = stranger.heard().filter(({ message }) => message.type === "dead" && message.name === "x");
    expect(told).toEqual([]);
  });
});

describe("claims about oneself", () => {
  it("leave room for own words, however high they are", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b")]);
    for (const incarnation of [limits.incarnationMax - 1, limits.incarnationMax]) {
      stranger.say([{ type: "suspect", name: "a", incarnation, from: "b" }]);
      swim.setMetadata({ labels: {}, capacityBytes: 1, features: 0 });
    }
    swim.leave();
    expect(swim.self.state).toBe("left");
  });

  it("begin with an incarnation that is one", () => {
    expect(() => swimOf({ incarnation: limits.incarnationMax + 1 })).toThrow("incarnation");
    expect(() => swimOf({ incarnation: Number.NaN })).toThrow("incarnation");
  });
});

describe("a node that comes back by way of one who never met it", () => {
  it.each([1, 2, 3, 4, 5])("is known with its new life and metadata by all (seed %i)", (seed) => {
    const simulation = new GossipSimulation({ seed });
    simulation.cluster(5, 20_000);
    simulation.run(5_000);
    simulation.add("lone");
    simulation.kill("n4");
    simulation.restart("n4");
    // Its earlier life and this one have the same incarnation.
    simulation.join("n4", "lone");
    simulation.run(1_000);
    simulation.join("lone", "n0");
    simulation.run(30_000);
    const { session } = simulation.node("n4").swim.self;
    for (const { name, swim } of simulation.liveNodes) expect(swim.member("n4"), name).toMatchObject({ state: "alive", session });
  });
});
