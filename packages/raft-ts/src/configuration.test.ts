/** Changes of the configuration as a table, its bytes, and which one is in force. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  applyChange,
  type Configuration,
  type ConfigurationStep,
  emptyConfiguration,
  isSound,
  leaveJoint,
  membersOf,
} from "./configuration.ts";
import { decodeConfiguration, encodeConfiguration } from "./configuration-format.ts";
import { ConfigurationHistory } from "./configuration-history.ts";
import { type Entry, entryKinds } from "./entry.ts";
import { someConfiguration } from "./testing/arbitraries.ts";
import { seededRandom } from "./testing/cluster.ts";

const voters = (...nodes: number[]): Configuration => ({ ...emptyConfiguration, voters: nodes });
const add = (node: number): ConfigurationStep => ({ type: "addVoter", node });
const learn = (node: number): ConfigurationStep => ({ type: "addLearner", node });
const remove = (node: number): ConfigurationStep => ({ type: "remove", node });
const change = (from: Configuration, ...steps: ConfigurationStep[]): Configuration | null =>
  applyChange(from, { type: "change", steps, transition: "auto" });

describe("applyChange", () => {
  test.each<[string, Configuration, ConfigurationStep[], Configuration | null]>([
    ["adds a voter simply", voters(1, 2), [add(3)], voters(1, 2, 3)],
    ["removes a voter simply", voters(1, 2, 3), [remove(2)], voters(1, 3)],
    ["adds learners simply", voters(1), [learn(2), learn(3)], { ...voters(1), learners: [2, 3] }],
    ["promotes a learner", { ...voters(1, 2), learners: [3] }, [add(3)], voters(1, 2, 3)],
    ["demotes one voter simply", voters(1, 2, 3), [learn(3)], { ...voters(1, 2), learners: [3] }],
    [
      "goes through a joint configuration for two",
      voters(1, 2, 3),
      [add(4), remove(1)],
      { voters: [2, 3, 4], votersOutgoing: [1, 2, 3], learners: [], learnersNext: [], autoLeave: true },
    ],
    [
      "lets a demoted voter vote until the end",
      voters(1, 2, 3),
      [learn(1), learn(2)],
      { voters: [3], votersOutgoing: [1, 2, 3], learners: [], learnersNext: [1, 2], autoLeave: true },
    ],
    ["never leaves nobody", voters(1), [remove(1)], null],
    ["takes no empty change", voters(1), [], null],
    ["takes no node twice", voters(1), [add(2), remove(2)], null],
    ["takes no node 0", voters(1), [add(0)], null],
    ["takes no fraction", voters(1), [add(1.5)], null],
    ["takes no more than 64 members", voters(1), Array.from({ length: 64 }, (_unused, at) => learn(at + 2)), null],
    ["is refused while joint", { ...voters(1), votersOutgoing: [1, 2] }, [add(3)], null],
  ])("%s", (_name, from, steps, to) => {
    expect(change(from, ...steps)).toEqual(to);
  });

  test("leaves a joint configuration once", () => {
    const joint = applyChange(voters(1, 2), { type: "change", steps: [learn(2), add(3)], transition: "explicit" });
    expect(joint).toMatchObject({ autoLeave: false, votersOutgoing: [1, 2], learnersNext: [2] });
    const left = applyChange(joint as Configuration, { type: "leaveJoint" });
    expect(left).toEqual({ ...voters(1, 3), learners: [2] });
    expect(applyChange(left as Configuration, { type: "leaveJoint" })).toBeNull();
  });

  test("keeps every configuration sound, and reaches what was asked", () => {
    const types = fc.constantFrom("addVoter" as const, "addLearner" as const, "remove" as const);
    const lists = fc.array(fc.record({ type: types, node: fc.integer({ min: 1, max: 6 }) }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(lists, { maxLength: 6 }), (changes) => {
        let at = voters(1, 2, 3);
        for (const steps of changes) {
          const next = change(at, ...steps);
          if (next === null) continue;
          expect(isSound(next)).toBe(true);
          at = next.votersOutgoing.length > 0 ? leaveJoint(next) : next;
          expect(isSound(at)).toBe(true);
          for (const { type, node } of steps) {
            expect(at.voters.includes(node)).toBe(type === "addVoter");
            expect(at.learners.includes(node)).toBe(type === "addLearner");
          }
        }
      }),
    );
  });
});

describe("bytes of a configuration", () => {
  test("come back as they were", () => {
    const random = seededRandom(1);
    for (let count = 0; count < 500; count++) {
      const configuration = someConfiguration(random);
      expect(decodeConfiguration(encodeConfiguration(configuration))).toEqual(configuration);
    }
  });

  test.each<[string, number[]]>([
    ["an unknown version", [2, 0, 0, 0, 0, 0]],
    ["unknown flags", [1, 2, 0, 0, 0, 0]],
    ["too many nodes", [1, 0, 65]],
    ["a node twice", [1, 0, 2, 1, 1, 0, 0, 0]],
    ["a voter who is a learner", [1, 0, 1, 1, 0, 1, 1, 0]],
    ["a next learner who does not go", [1, 0, 1, 1, 0, 0, 1, 2]],
    ["trailing bytes", [1, 0, 0, 0, 0, 0, 9]],
    ["an early end", [1, 0, 1]],
  ])("with %s are CORRUPT", (_name, bytes) => {
    expect(() => decodeConfiguration(Uint8Array.from(bytes))).toThrow("CORRUPT");
  });
});

describe("history", () => {
  const entry = (index: number, configuration: Configuration): Entry => ({
    term: 1,
    index,
    kind: entryKinds.configuration,
    data: encodeConfiguration(configuration),
  });

  test("knows what is in force where, and goes back when an entry is cut off", () => {
    const history = new ConfigurationHistory(0, voters(1));
    expect(history.append([entry(3, voters(1, 2)), entry(5, voters(1, 2, 3))])).toBe(true);
    expect([0, 2, 3, 4, 5, 9].map((index) => membersOf(history.at(index)).length)).toEqual([1, 1, 2, 2, 3, 3]);
    expect(history.isVoterFrom(4, 3)).toBe(true);
    expect(history.append([{ ...entry(4, voters(1)), kind: entryKinds.command }])).toBe(true);
    expect([history.currentIndex, history.current.voters]).toEqual([3, [1, 2]]);
    expect(history.append([])).toBe(false);
  });

  test("forgets what nobody asks for any more", () => {
    const history = new ConfigurationHistory(0, voters(1));
    history.append([entry(3, voters(1, 2)), entry(5, voters(1, 2, 3))]);
    history.compact(5);
    expect(history.at(4).voters).toEqual([1, 2]);
    expect(history.at(2)).toEqual(emptyConfiguration);
    history.restore(9, voters(7));
    expect([history.currentIndex, history.current.voters]).toEqual([9, [7]]);
  });
});
