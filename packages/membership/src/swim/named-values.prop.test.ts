/**
 * Two hosts that do not know of each other give one name the same version, small or large, while packets are lost, doubled and late: in the end everybody
 * holds one of the two, whole, and the same one.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { GossipSimulation } from "../testing/gossip-simulation.ts";
import { limits } from "./options.ts";

const sizes = [0, 9, limits.itemInlineBytesMax, limits.itemInlineBytesMax + 1, 3_000, 9_000, 20_000];

const runs = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  members: fc.integer({ min: 3, max: 7 }),
  loss: fc.constantFrom(0, 0.1, 0.3),
  duplication: fc.constantFrom(0, 0.5),
  delayMaxMs: fc.constantFrom(2, 50, 400),
  // Parts of values of one length could be taken for each other.
  sizes: fc.oneof(
    fc.tuple(fc.constantFrom(...sizes), fc.constantFrom(...sizes)),
    fc.constantFrom(...sizes).map((size) => [size, size] as const),
  ),
  /** The second writer speaks so much later. */
  laterMs: fc.constantFrom(0, 1, 20, 150, 500),
});

it("two writers of one version: everybody ends with the same one of both, and nobody ever holds anything else", () => {
  fc.assert(
    fc.property(runs, ({ seed, members, loss, duplication, delayMaxMs, sizes: [one, other], laterMs }) => {
      const simulation = new GossipSimulation({ seed, delayMaxMs });
      simulation.cluster(members, 60_000);
      Object.assign(simulation, { loss, duplication });
      const written = [Buffer.alloc(one, "one "), Buffer.alloc(other, "other ")];
      const isWritten = (bytes: Uint8Array): boolean => written.some((candidate) => candidate.equals(bytes));
      simulation.onEvent = ({ event }) => {
        if (event.type === "broadcast") expect(isWritten(event.bytes)).toBe(true);
      };
      simulation.act("n1", (swim) => swim.broadcast("list", 7, written[0] as Buffer));
      simulation.run(laterMs);
      simulation.act("n2", (swim) => swim.broadcast("list", 7, written[1] as Buffer));
      simulation.run(5_000);
      const held = (): Set<string | null> =>
        new Set(simulation.liveNodes.map(({ swim }) => swim.value("list")).map((value) => value && Buffer.from(value.bytes).toString()));
      expect(
        simulation.runUntil(() => held().size === 1, 60_000),
        "all hold the same",
      ).not.toBeNull();
      expect([...held()]).not.toContain(null);
    }),
    { numRuns: 100, seed: 1 },
  );
}, 120_000);
