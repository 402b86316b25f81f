/** Majorities against a naive second version, and the property that everything rests on: two quorums meet. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Configuration } from "./configuration.ts";
import { hasQuorum, majorityIndex, majorityOf, quorumIndex } from "./quorum.ts";

const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 });
const indexes = fc.array(fc.nat(20), { minLength: 10, maxLength: 10 });
const configurations = fc
  .tuple(nodes, nodes)
  .map(([voters, votersOutgoing]): Configuration => ({ voters, votersOutgoing, learners: [], learnersNext: [], autoLeave: false }));

/** The largest value that more than half of the voters have reached, found by trying them all. */
function naive(voters: readonly number[], indexOf: (node: number) => number): number {
  if (voters.length === 0) return Infinity;
  const reached = (value: number): boolean => voters.filter((node) => indexOf(node) >= value).length * 2 > voters.length;
  return Math.max(...voters.map(indexOf).filter(reached));
}

describe("quorum", () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [6, 4],
    [7, 4],
  ])("of %i voters are %i", (count, majority) => {
    expect(majorityOf(count)).toBe(majority);
  });

  test("an index agrees with the naive one, joint or not", () => {
    fc.assert(
      fc.property(configurations, indexes, (configuration, values) => {
        const indexOf = (node: number): number => values[node] ?? 0;
        expect(majorityIndex(configuration.voters, indexOf)).toBe(naive(configuration.voters, indexOf));
        const joint = Math.min(naive(configuration.voters, indexOf), naive(configuration.votersOutgoing, indexOf));
        expect(quorumIndex(configuration, indexOf)).toBe(joint);
      }),
      { numRuns: 2000 },
    );
  });

  test("an index is the largest that a quorum has reached", () => {
    fc.assert(
      fc.property(configurations, indexes, (configuration, values) => {
        const index = quorumIndex(configuration, (node) => values[node] ?? 0);
        if (index === Infinity) return;
        expect(hasQuorum(configuration, (node) => (values[node] ?? 0) >= index)).toBe(true);
        expect(hasQuorum(configuration, (node) => (values[node] ?? 0) > index)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  test("any two quorums meet in each set of voters", () => {
    const sets = fc.array(fc.boolean(), { minLength: 10, maxLength: 10 });
    const meet = fc.property(configurations, sets, sets, (configuration, left, right) => {
      const areQuorums = [left, right].every((agrees) => hasQuorum(configuration, (node) => agrees[node] === true));
      const haveCommon = [configuration.voters, configuration.votersOutgoing].every(
        (set) => set.length === 0 || set.some((node) => left[node] === true && right[node] === true),
      );
      return !areQuorums || haveCommon;
    });
    expect(() => fc.assert(meet, { numRuns: 5000 })).not.toThrow();
  });
});
