import { CfsError, type Clock, silentLogger } from "@cfs/core";
import { afterEach, describe, expect, it } from "vitest";
import { SwimAgent } from "./agent.ts";
import { nodeAead } from "./node-aead.ts";
import { nodeHash } from "./node-hash.ts";
import type { PacketNetwork } from "./packet-network.ts";
import type { SwimEvent } from "./swim/events.ts";
import { noMetadata } from "./swim/member.ts";
import { EventHeap } from "./testing/event-heap.ts";
import { seededRandom } from "./testing/seeded-random.ts";

/** Clock and network of a test: time passes only in `run`, and packets take 1 ms. */
class World {
  readonly #heap = new EventHeap();
  readonly #receivers = new Map<string, (packet: Uint8Array, from: string) => void>();
  readonly agents: SwimAgent[] = [];
  nowMs = 0;
  readonly clock: Clock = {
    wallTime: () => ({ sec: 0, nsec: 0 }),
    monotonicMs: () => this.nowMs,
    after: (delayMs, callback) => {
      let isCancelled = false;
      this.#heap.push(this.nowMs + delayMs, () => {
        if (!isCancelled) callback();
      });
      return () => {
        isCancelled = true;
      };
    },
  };

  network(address: string): PacketNetwork {
    return {
      send: (to, packet) => this.#heap.push(this.nowMs + 1, () => this.#receivers.get(to)?.(packet, address)),
      onPacket: (receive) => {
        this.#receivers.set(address, receive);
        return () => void this.#receivers.delete(address);
      },
    };
  }

  agent(name: string, address = `${name}:1`): SwimAgent {
    const parts = {
      clock: this.clock,
      random: seededRandom(this.agents.length),
      network: this.network(address),
      aead: nodeAead,
      hash: nodeHash,
      logger: silentLogger,
    };
    const keys = [{ id: 1, bytes: new Uint8Array(32).fill(1) }];
    const agent = new SwimAgent(parts, { name, address, clusterId: "c", keys, metadata: noMetadata });
    this.agents.push(agent);
    return agent;
  }

  /** Lets time pass; promises are served between events. */
  async run(forMs: number): Promise<void> {
    const endMs = this.nowMs + forMs;
    for (let at = this.#heap.nextMs; at !== null && at <= endMs; at = this.#heap.nextMs) {
      const { atMs, action } = this.#heap.pop();
      this.nowMs = atMs;
      action();
      await Promise.resolve();
    }
    this.nowMs = endMs;
  }
}

let world = new World();
afterEach(() => {
  for (const agent of world.agents) agent.close();
  world = new World();
});

/** What a promise fails with, listened to from now on. */
function failureOf(promise: Promise<void>): Promise<string> {
  return promise.then(
    () => "no failure",
    (reason: unknown) => String(reason),
  );
}

async function pair(): Promise<readonly [SwimAgent, SwimAgent]> {
  const [one, other] = [world.agent("one"), world.agent("other")];
  one.start();
  other.start();
  const joined = other.join(["one:1"], { timeoutMs: 5_000 });
  await world.run(1_000);
  await joined;
  return [one, other];
}

describe("an agent", () => {
  it("joins over real encryption, tells of itself and of values, and leaves", async () => {
    const [one, other] = await pair();
    const events: SwimEvent["type"][] = [];
    const end = one.onEvent(({ type }) => events.push(type));
    other.setMetadata({ ...noMetadata, labels: { rack: "r1" } });
    expect(other.broadcast("revoked", 1, Uint8Array.of(1))).toBe(true);
    await world.run(1_000);
    expect(one.member("other")?.metadata.labels).toEqual({ rack: "r1" });
    expect(one.value("revoked")).toEqual({ version: 1, bytes: Uint8Array.of(1) });
    expect(one.members().map(({ name }) => name)).toEqual(["one", "other"]);
    const left = other.leave();
    await world.run(3_000);
    await left;
    end();
    expect([...events].sort()).toEqual(["broadcast", "left", "updated"]);
    expect(other.status().phase).toBe("stopped");
    await expect(other.join(["one:1"], { timeoutMs: 1 })).rejects.toThrow("closed");
    await other.leave();
  });

  it("rotates keys without a packet lost", async () => {
    const [one, other] = await pair();
    const key = { id: 2, bytes: new Uint8Array(32).fill(2) };
    for (const agent of [one, other]) agent.keys.install(key);
    one.keys.use(2);
    await world.run(2_000);
    other.keys.use(2);
    for (const agent of [one, other]) agent.keys.remove(1);
    await world.run(10_000);
    expect([one, other].map((agent) => agent.status().counters.packetsForeign)).toEqual([0, 0]);
    expect(one.member("other")?.state).toBe("alive");
  });

  it("notices that another one was closed", async () => {
    const [one, other] = await pair();
    other.close();
    other.close();
    await world.run(8_000);
    expect(one.member("other")?.state).toBe("dead");
  });

  it("gives up joining on timeout, abort, close, and when its name is taken", async () => {
    const [one] = await pair();
    const alone = world.agent("third");
    alone.start();
    const late = failureOf(alone.join(["nobody:1"], { timeoutMs: 2_000 }));
    await world.run(3_000);
    expect(await late).toContain("TIMED_OUT");
    const abort = new AbortController();
    const aborted = failureOf(alone.join(["nobody:1"], { timeoutMs: 2_000, signal: abort.signal }));
    abort.abort(new Error("enough"));
    expect(await aborted).toContain("enough");
    await expect(alone.join(["nobody:1"], { timeoutMs: 9_000, signal: abort.signal })).rejects.toThrow("enough");
    const closed = failureOf(alone.join(["nobody:1"], { timeoutMs: 9_000 }));
    alone.close();
    expect(await closed).toContain("INTERRUPTED");
    const rival = world.agent("one", "elsewhere:1");
    rival.start();
    const taken = failureOf(rival.join(["other:1"], { timeoutMs: 60_000 }));
    await world.run(40_000);
    expect(await taken).toContain("EXISTS");
    expect(one.member("one")?.incarnation).toBe(1);
  });

  it("starts once, and leaves nothing open", async () => {
    await using agent = world.agent("one");
    agent.start();
    expect(() => agent.start()).toThrow("running");
    const unstarted = world.agent("other");
    await unstarted.leave();
    expect(() => unstarted.start()).toThrow(CfsError);
  });

  it("leaves at once when it is alone", async () => {
    const agent = world.agent("one");
    agent.start();
    await agent.leave();
    expect(agent.status().phase).toBe("stopped");
  });

  it("tells every listener every event, in order, also when some throw, and then throws what they threw", async () => {
    const agent = world.agent("one");
    agent.start();
    const heard: string[] = [];
    const fail = (event: SwimEvent): void => {
      throw new Error(`cannot bear ${event.type}`);
    };
    agent.onEvent(fail);
    agent.onEvent((event) => {
      if (event.type === "broadcast") heard.push(`${event.name} ${event.version}`);
      // What a listener does in its turn comes after what it is told.
      if (event.type === "broadcast" && event.version === 1) agent.broadcast(event.name, 2, new Uint8Array(1));
    });
    agent.onEvent((event) => {
      if (event.type === "broadcast") heard.push(`${event.name} ${event.version} too`);
    });
    expect(() => agent.broadcast("list", 1, new Uint8Array(1))).toThrow(AggregateError);
    expect(heard).toEqual(["list 1", "list 1 too", "list 2", "list 2 too"]);
    expect(() => agent.broadcast("list", 3, new Uint8Array(1))).toThrow("cannot bear broadcast");
    expect(await failureOf(agent.leave())).toContain("cannot bear leaveDone");
    agent.close();
    agent.broadcast("list", 4, new Uint8Array(1));
    expect(heard.slice(4)).toEqual(["list 3", "list 3 too"]);
  });

  it("tells nothing more once it is closed, not even what the core has said already", () => {
    const agent = world.agent("one");
    agent.start();
    const versions: number[] = [];
    agent.onEvent((event) => {
      if (event.type !== "broadcast") return;
      versions.push(event.version);
      agent.broadcast("list", 2, new Uint8Array(1));
      agent.close();
    });
    agent.broadcast("list", 1, new Uint8Array(1));
    expect([versions, agent.value("list")?.version]).toEqual([[1], 2]);
  });

  it("goes on after a listener failed in its turn", async () => {
    const [one, other] = await pair();
    let failures = 0;
    one.onEvent(() => {
      failures++;
      throw new Error("no");
    });
    for (let version = 1; version <= 3; version++) {
      other.broadcast("list", version, new Uint8Array(1));
      for (let step = 0; step < 10; step++) await world.run(100).catch(() => null);
    }
    expect([failures, one.value("list")?.version, one.member("other")?.state]).toEqual([3, 3, "alive"]);
  });

  it("refuses to join while it leaves, and leaves no wait behind", async () => {
    const [one, other] = await pair();
    const left = other.leave();
    expect(await failureOf(other.join(["one:1"], { timeoutMs: 1_000 }))).toContain("INVALID");
    await world.run(5_000);
    await left;
    expect(one.member("other")?.state).toBe("left");
  });
});
