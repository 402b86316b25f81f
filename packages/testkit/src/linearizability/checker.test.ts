import { expect, test } from "vitest";

import { checkLinearizable } from "./checker.ts";
import type { Operation } from "./history.ts";
import { History } from "./history.ts";
import { registerModel } from "./register-model.ts";
import type { RegisterInput, RegisterOutput } from "./register-model.ts";

/**
 * One line per client: "A  [w1--]  [r1]". An operation stands where its brackets stand; "w1" writes 1, "r1" read 1, "s12:1" would swap 1 for 2 and
 * found 1. Without the closing bracket the answer never came. A letter before the operation names the key: "y:w1".
 */
function drawn(...lines: readonly string[]): Operation<RegisterInput, RegisterOutput>[] {
  return lines.flatMap((line, client) =>
    [...line.matchAll(/\[(?:([a-z]):)?([wrs])(\d)(\d?)(?::(\d))?[- ]*(\]?)/g)].map((match) => {
      const [whole, key = "x", verb, first, second, found, end] = match;
      const input: RegisterInput =
        verb === "w"
          ? { kind: "write", key, value: Number(first) }
          : verb === "r"
            ? { kind: "read", key }
            : { kind: "swap", key, expected: Number(first), value: Number(second) };
      const output: RegisterOutput =
        verb === "w"
          ? { kind: "done" }
          : verb === "r"
            ? { kind: "value", value: Number(first) }
            : { kind: "swapped", found: Number(found) };
      const isAnswered = end === "]";
      return {
        client,
        input,
        output: isAnswered ? output : null,
        calledAt: match.index,
        answeredAt: isAnswered ? match.index + whole.length - 1 : null,
      };
    }),
  );
}

const verdictOf = (...lines: readonly string[]): string => checkLinearizable(registerModel, drawn(...lines)).kind;

test.each<readonly [string, readonly string[]]>([
  ["an empty history", []],
  ["one after the other", ["[w1] [r1] [w2] [r2]"]],
  ["a read during a write sees the old value", ["[w1]  [w2------]", "        [r1]    "]],
  ["a read during a write sees the new value", ["[w1]  [w2------]", "        [r2]    "]],
  ["two writes at once, in the order that the reads want", ["[w1------]       [r1]", " [w2------]          "]],
  ["a write that never answered was seen", ["[w1", "     [r0] [r1] [r1]"]],
  ["a write that never answered was not seen", ["[w1", "     [r0] [r0] [r0]"]],
  ["a swap that never answered changed what another swap expected", ["[w1] [s12", "            [s23:2] [r3]"]],
  ["keys do not touch each other", ["[x:w1] [y:r0]", "[y:w2--------] [x:r1]"]],
  ["the read of one client orders the writes of two others", ["[w1----------------]", "  [w2-----------]", "      [r1] [r2]     "]],
])("allowed: %s", (_name, lines) => expect(verdictOf(...lines)).toBe("linearizable"));

test.each<readonly [string, readonly string[]]>([
  ["a stale read", ["[w1] [w2] [r1]"]],
  ["a value from nowhere", ["[w1] [r3]"]],
  ["a read of the future", ["[r1] [w1]"]],
  ["new and then old again", ["[w1]  [w2---------------]", "        [r2]  [r1]       "]],
  ["two readers see two orders", ["[w1---------------------]", "[w2---------------------]", "  [r1] [r2]  ", "             [r2] [r1]"]],
  ["an acknowledged write is lost", ["[w1] [r0]"]],
  ["both of two swaps succeeded", ["[w1] [s12:1----]", "     [s13:1----]"]],
  ["a swap found what was there before", ["[w1] [s12:0]"]],
  ["a write that never answered was seen, then not", ["[w1", "     [r1] [r0]"]],
  ["one key of two is wrong", ["[x:w1] [x:r1]", "[y:w2] [y:r0]"]],
])("refused: %s", (_name, lines) => expect(verdictOf(...lines)).toBe("violation"));

test("a violation names the object, and the operations that found no place", () => {
  const verdict = checkLinearizable(registerModel, drawn("[x:w1] [x:r1]", "[y:w2] [y:r0]"));
  expect(verdict).toMatchObject({ kind: "violation", object: "y", stuck: [{ input: { kind: "read", key: "y" } }] });
});

test("a search that takes too long says so instead of guessing", () => {
  const writes = Array.from({ length: 12 }, (_, client) => `[w${client % 10}${"-".repeat(60)}]`);
  const verdict = checkLinearizable(registerModel, drawn(...writes, `${" ".repeat(70)}[r5] [r6]`), { turnsMax: 1000 });
  expect(verdict.kind).toBe("unknown");
});

test("refused operations leave the history, unanswered ones stay", () => {
  const history = new History<RegisterInput, RegisterOutput>();
  const refused = history.call(1, { kind: "write", key: "x", value: 1 });
  const lost = history.call(2, { kind: "write", key: "x", value: 2 });
  history.forget(refused);
  const read = history.call(1, { kind: "read", key: "x" });
  history.answer(read, { kind: "value", value: 1 });
  expect(history.operations).toEqual([lost, read]);
  expect(checkLinearizable(registerModel, history.operations).kind).toBe("violation");
});
