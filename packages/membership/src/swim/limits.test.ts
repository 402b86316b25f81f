/** What stays bounded, what is refused, and what happens at the edges. */
import { describe, expect, it } from "vitest";
import { nodeHash } from "../node-hash.ts";
import { GossipSimulation } from "../testing/gossip-simulation.ts";
import { aliveOf, Stranger, swimOf } from "../testing/stranger.ts";
import { noMetadata } from "./member.ts";
import type { Message } from "./messages.ts";
import { defaultOptions, limits } from "./options.ts";

/** The hash of a content that nobody has. */
const hashOf = (number: number): string => String(number).padStart(32, "0");

describe("limits", () => {
  it("keeps the table bounded, whatever it is told", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    for (let count = 0; count < limits.membersMax + 10; count++) stranger.say([aliveOf(`m${count}`)]);
    stranger.say([{ type: "dead", name: "unheard-of", incarnation: 1, from: "x" }]);
    expect([swim.members().length, swim.counters.refusedFull]).toEqual([limits.membersMax, 12]);
  });

  it("keeps values bounded in count and size", () => {
    const swim = swimOf();
    for (let count = 0; count < limits.itemsMax; count++) expect(swim.broadcast(`v${count}`, 1, new Uint8Array(1))).toBe(true);
    expect([swim.broadcast("more", 1, new Uint8Array(1)), swim.broadcast("v3", 2, new Uint8Array(1))]).toEqual([false, true]);
    expect(swim.counters.refusedFull).toBe(1);
  });

  it("takes a new session when its windows are full, and goes on", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b")]);
    for (let count = 0; count <= limits.windowsMax; count++) stranger.say([], (0xf00_0000 + count).toString(16).padStart(16, "0"));
    const before = swim.self;
    stranger.run(200);
    expect(swim.self.session).not.toBe(before.session);
    expect(swim.self.incarnation).toBe(before.incarnation + 1);
    stranger.say([aliveOf("c")]);
    expect(swim.member("c")?.state).toBe("alive");
  });

  it("does not answer a claim at the very top of the incarnations", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b"), { type: "dead", name: "a", incarnation: limits.incarnationMax, from: "b" }]);
    expect([swim.self.incarnation, swim.counters.refutations]).toEqual([1, 0]);
    stranger.say([{ type: "left", name: "a", incarnation: 41 }]);
    expect([swim.self.incarnation, swim.counters.refutations]).toEqual([42, 1]);
  });

  it("fits the longest of everything into the smallest packets", () => {
    const long = (text: string, length: number): string => text.padEnd(length, "x");
    const labels = Object.fromEntries(["a", "b", "c", "d"].map((key) => [long(key, 26), long("", 64)]));
    const metadata = { labels, capacityBytes: 2 ** 53 - 1, features: 2 ** 53 - 1 };
    const swim = swimOf({ name: long("a", 64), address: long("a", 128), metadata, swim: { packetBytesMax: 1_200 } });
    const stranger = new Stranger(swim);
    const name = long("b", limits.nameBytesMax);
    const record = {
      name,
      state: "alive",
      incarnation: 2 ** 48,
      session: "00000000000000cc",
      address: long("b", 128),
      metadata,
      ageMs: 0,
    } as const;
    swim.broadcast(long("list", 64), 2 ** 50, new Uint8Array(3_000));
    swim.broadcast(long("item", 64), 2 ** 50, new Uint8Array(limits.itemInlineBytesMax));
    stranger.say([{ type: "alive", record }]);
    stranger.say([{ type: "suspect", name, incarnation: 2 ** 48, from: long("c", 64) }]);
    stranger.say([{ type: "ping", seq: 2 ** 52, source: name, target: swim.self.name }]);
    stranger.say([{ type: "pull", name: long("list", 64), version: 2 ** 50, hash: nodeHash(new Uint8Array(3_000)), parts: [0, 1, 2] }]);
    stranger.say([{ type: "digest", source: name, sums: new Uint32Array(64).fill(7) }]);
    stranger.say([{ type: "sync", isPartial: true, ask: Array.from({ length: 64 }, (_, index) => index) }]);
    stranger.run(3_000);
    const sizes = swim.effects().packets.map(({ bytes }) => bytes.length);
    expect(Math.max(...sizes)).toBeGreaterThan(1_100);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_200);
  });

  it("serves a bounded number of relays", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    for (let seq = 0; seq < limits.relaysMax + 5; seq++) stranger.say([{ type: "pingRequest", seq, target: "t", address: "t:1" }]);
    expect(swim.counters.refusedFull).toBe(5);
    stranger.run(1_000);
    stranger.say([{ type: "pingRequest", seq: 1, target: "t", address: "t:1" }]);
    expect(swim.counters.refusedFull).toBe(5);
  });
});

describe("two nodes of one name", () => {
  it("that joined on two sides of a partition are told, and do not flood the others", () => {
    const simulation = new GossipSimulation({ seed: 4 });
    simulation.cluster(4, 10_000);
    simulation.add("twin", "n2");
    simulation.add("lone");
    simulation.join("twin", "lone");
    simulation.run(2_000);
    simulation.join("lone", "n0");
    simulation.run(2_000);
    const before = simulation.node("n0").sentPackets;
    simulation.events.length = 0;
    simulation.run(60_000);
    const conflicts = simulation.events.filter(({ event }) => event.type === "nameConflict");
    expect(new Set(conflicts.map(({ node }) => node))).toEqual(new Set(["n2", "twin"]));
    expect(conflicts.length).toBeLessThan(15);
    expect(simulation.node("n0").sentPackets - before).toBeLessThan(60 * 20);
  });
});

describe("refusals", () => {
  it.each([
    ["a name with a space", { name: "a b" }],
    ["an empty address", { address: "" }],
    ["metadata that is too large", { metadata: { ...noMetadata, capacityBytes: -1 } }],
    ["a tick above the probe timeout", { swim: { tickMs: 300 } }],
    ["a probe timeout above half of the interval", { swim: { probeTimeoutMs: 400 } }],
    ["packets of 1,400 bytes", { swim: { packetBytesMax: 1_400 } }],
    ["packets that cannot hold a part of a value", { swim: { packetBytesMax: 1_199 } }],
    ["a tick of 9 ms", { swim: { tickMs: 9 } }],
    ["half a millisecond", { swim: { gossipIntervalMs: 200.5 } }],
    ["a wait that no timer takes", { swim: { tombstoneMs: 2 ** 31 } }],
    ["gossip to nobody", { swim: { gossipFanout: 0 } }],
  ])("%s", (_what, change) => {
    expect(() => swimOf(change)).toThrow("INVALID");
  });

  it.each(Object.keys(defaultOptions))("%s that is no number, without end, or below zero", (name) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) expect(() => swimOf({ swim: { [name]: value } })).toThrow(name);
  });

  it("nothing of the defaults, nor of fractions where they mean something", () => {
    expect(() => swimOf({ swim: { suspicionMult: 2.5, suspicionMaxMult: 1.5 } })).not.toThrow();
  });

  it("values without a name, without a version, or too large", () => {
    const swim = swimOf();
    expect(() => swim.broadcast("", 1, new Uint8Array(1))).toThrow("INVALID");
    expect(() => swim.broadcast("v", 0, new Uint8Array(1))).toThrow("INVALID");
    expect(() => swim.broadcast("v", 1, new Uint8Array(limits.itemBytesMax + 1))).toThrow("TOO_BIG");
    expect(() => swim.setMetadata({ ...noMetadata, features: -1 })).toThrow("INVALID");
  });
});

describe("metadata", () => {
  it("is as it was announced, whatever becomes of the host's record", () => {
    const labels: Record<string, string> = { rack: "r1" };
    const swim = swimOf({ metadata: { ...noMetadata, labels } });
    labels["rack"] = "x".repeat(2_000);
    expect(swim.self.metadata.labels).toEqual({ rack: "r1" });
    const later: Record<string, string> = { rack: "r3" };
    swim.setMetadata({ ...noMetadata, labels: later });
    delete later["rack"];
    expect(swim.self.metadata.labels).toEqual({ rack: "r3" });
  });
});

describe("a leaving node", () => {
  it("does not speak of a new life, also when its windows are full", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b")]);
    stranger.run(2_000);
    swim.leave();
    stranger.heard();
    for (let count = 0; count <= limits.windowsMax; count++) stranger.say([], (0xf00_0000 + count).toString(16).padStart(16, "0"));
    stranger.run(5_000);
    const types = new Set(stranger.heard().map(({ message }) => message.type));
    expect(swim.phase).toBe("stopped");
    expect(types).toContain("left");
    expect(types).not.toContain("alive");
  });
});

describe("a stopped node", () => {
  it("says and hears nothing", () => {
    const swim = swimOf();
    swim.leave();
    swim.leave();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b")]);
    stranger.run(1_000);
    swim.setMetadata({ ...noMetadata, features: 1 });
    expect([swim.phase, swim.members().length, swim.self.incarnation, swim.effects().packets.length]).toEqual(["stopped", 1, 1, 0]);
    expect(() => swim.join(["b:1"])).toThrow("does not join");
  });
});

describe("large values", () => {
  const large = Uint8Array.from({ length: 20_000 }, (_, index) => index & 0xff);

  it("are pulled from another node when the first falls silent", () => {
    const simulation = new GossipSimulation({ seed: 9 });
    simulation.cluster(5, 10_000);
    simulation.node("n0").swim.broadcast("list", 1, large);
    const holders = (): number => simulation.liveNodes.filter(({ swim }) => swim.value("list") !== null).length;
    simulation.passes = (_from, to) => to !== "n4";
    simulation.runUntil(() => holders() === 4, 5_000);
    // n4 hears of it from n0 and then nothing more from n0.
    simulation.passes = (from, to) => to !== "n4" || from !== "n0" || holders() < 4;
    expect(simulation.runUntil(() => holders() === 5, 20_000)).not.toBeNull();
    expect(simulation.node("n4").swim.value("list")?.bytes).toEqual(large);
  });

  it("are given up when nobody has them, and asked for what is newer", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    stranger.say([aliveOf("b"), { type: "announce", name: "list", version: 3, hash: hashOf(3), lengthBytes: 5_000 }]);
    stranger.say([{ type: "announce", name: "list", version: 2, hash: hashOf(2), lengthBytes: 5_000 }]);
    swim.effects();
    stranger.run(20_000);
    const quiet = swim.effects().packets.length;
    expect(quiet).toBeGreaterThan(20);
    for (let count = 0; count < limits.itemsMax + 3; count++)
      stranger.say([{ type: "announce", name: `list ${count}`.replace(" ", "-"), version: 1, hash: hashOf(1), lengthBytes: 2_000 }]);
    expect(swim.counters.refusedFull).toBe(3);
    swim.broadcast("list", 4, large);
    swim.effects();
    stranger.say([{ type: "pull", name: "list", version: 3, hash: hashOf(3), parts: [0, 1] }]);
    expect(swim.effects().packets).toHaveLength(1);
    stranger.say([{ type: "pull", name: "list", version: 4, hash: nodeHash(large), parts: [0, 19, 63] }]);
    expect(swim.effects().packets).toHaveLength(2);
    stranger.say([{ type: "pull", name: "unknown", version: 4, hash: hashOf(4), parts: [0] }]);
    expect(swim.effects().packets).toHaveLength(0);
  });

  /** Announces a value under this hash and answers the pull with all of its parts. */
  function offer(stranger: Stranger, name: string, bytes: Uint8Array, hash: string): void {
    const value = { name, version: 1, hash, lengthBytes: bytes.length };
    stranger.say([{ type: "announce", ...value }]);
    for (let index = 0; index * limits.itemPartBytes < bytes.length; index++) {
      const begin = index * limits.itemPartBytes;
      stranger.say([{ type: "part", ...value, index, bytes: bytes.subarray(begin, begin + limits.itemPartBytes) }]);
    }
  }

  it("are dropped when they do not have the hash that was announced, and can be pulled again", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    offer(
      stranger,
      "list",
      large.map((byte) => byte ^ 1),
      nodeHash(large),
    );
    expect([swim.value("list"), swim.counters.valuesDamaged]).toEqual([null, 1]);
    offer(stranger, "list", large, nodeHash(large));
    expect([swim.value("list")?.bytes, swim.counters.valuesDamaged]).toEqual([large, 1]);
  });

  it("count as a name only once they are whole, and find no room when the last one was taken meanwhile", () => {
    const swim = swimOf();
    const stranger = new Stranger(swim);
    for (let count = 1; count < limits.itemsMax; count++) swim.broadcast(`v${count}`, 1, new Uint8Array(1));
    const value = { name: "list", version: 1, hash: nodeHash(large), lengthBytes: large.length } as const;
    stranger.say([{ type: "announce", ...value }]);
    expect(swim.broadcast("last", 1, new Uint8Array(1))).toBe(true);
    offer(stranger, "list", large, nodeHash(large));
    expect([swim.value("list"), swim.counters.refusedFull]).toEqual([null, 2]);
  });
});

describe("two values of one version", () => {
  const contents = [1, 2, 3].map((content) => Uint8Array.of(content)).sort((one, other) => (nodeHash(one) < nodeHash(other) ? -1 : 1));
  const item = (at: number): Message => ({ type: "item", name: "list", version: 5, bytes: contents[at] as Uint8Array });

  it("the one with the greater hash wins in any order; the host's own word is no exception, and never a second one", () => {
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
      [1, 2, 0],
    ]) {
      const swim = swimOf();
      expect(swim.broadcast("list", 5, contents[order[0] as number] as Uint8Array)).toBe(true);
      expect(swim.broadcast("list", 5, contents[order[1] as number] as Uint8Array)).toBe(false);
      const stranger = new Stranger(swim);
      for (const at of order) stranger.say([item(at)]);
      expect(swim.value("list")?.bytes).toEqual(contents[2]);
      stranger.say([{ type: "item", name: "list", version: 4, bytes: Uint8Array.of(9) }]);
      expect(swim.value("list")?.version).toBe(5);
    }
  });
});
