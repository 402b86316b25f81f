import fc from "fast-check";
import { expect, test } from "vitest";

import { checkLinearizable } from "./checker.ts";
import type { Operation } from "./history.ts";
import { registerModel, withoutUnseen } from "./register-model.ts";
import type { RegisterInput, RegisterOutput } from "./register-model.ts";

type Op = Operation<RegisterInput, RegisterOutput>;

/** The definition itself: some order of the answered operations and any of the others respects time and the model. */
function naive(operations: readonly Op[]): boolean {
  const place = (state: number, left: readonly Op[]): boolean => {
    if (left.every((operation) => operation.answeredAt === null)) return true;
    return left.some((operation) => {
      const isFirst = left.every((other) => other === operation || other.answeredAt === null || other.answeredAt > operation.calledAt);
      const after = isFirst ? registerModel.step(state, operation.input, operation.output) : null;
      return (
        after !== null &&
        place(
          after,
          left.filter((other) => other !== operation),
        )
      );
    });
  };
  return place(registerModel.initial, operations);
}

const value = fc.integer({ min: 0, max: 2 });
const called: fc.Arbitrary<readonly [RegisterInput, RegisterOutput]> = fc.oneof(
  value.map((seen): readonly [RegisterInput, RegisterOutput] => [
    { kind: "read", key: "x" },
    { kind: "value", value: seen },
  ]),
  value.map((written): readonly [RegisterInput, RegisterOutput] => [{ kind: "write", key: "x", value: written }, { kind: "done" }]),
  fc.tuple(value, value, value).map(([expected, next, found]): readonly [RegisterInput, RegisterOutput] => [
    { kind: "swap", key: "x", expected, value: next },
    { kind: "swapped", found },
  ]),
);

/** Up to seven operations whose calls and answers lie anywhere; one in five is never answered. */
const history: fc.Arbitrary<readonly Op[]> = fc
  .array(fc.tuple(called, fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 4 })), {
    maxLength: 7,
  })
  .map((list) =>
    list.map(([[input, output], begin, length, luck], client) => {
      const calledAt = begin * 16 + client * 2;
      const isAnswered = luck > 0;
      return { client, input, output: isAnswered ? output : null, calledAt, answeredAt: isAnswered ? calledAt + length * 16 + 1 : null };
    }),
  );

test("the search agrees with the definition", () => {
  const counts = { linearizable: 0, violation: 0 };
  fc.assert(
    fc.property(history, (operations) => {
      const { kind } = checkLinearizable(registerModel, operations);
      expect(kind).toBe(naive(operations) ? "linearizable" : "violation");
      if (kind !== "unknown") counts[kind]++;
    }),
    { numRuns: 3000, seed: 1 },
  );
  expect(counts.linearizable).toBeGreaterThan(300);
  expect(counts.violation).toBeGreaterThan(300);
});

test("leaving out what nobody saw changes no verdict", () => {
  let leftOut = 0;
  fc.assert(
    fc.property(history, fc.func(fc.nat({ max: 3 })), (drawn, fate) => {
      // One operation for each value, and what is read or found is one of them, or 0.
      const written = (client: number): number => client + 1;
      const operations = drawn.map((operation, client): Op => {
        const seen = fate(client) === 0 ? 0 : written(fate(client, 1) + fate(client, 2));
        const { input, output } = operation;
        return {
          ...operation,
          input: input.kind === "read" ? input : { ...input, value: written(client), ...(input.kind === "swap" ? { expected: seen } : {}) },
          output:
            output === null || output.kind === "done"
              ? output
              : output.kind === "value"
                ? { kind: "value", value: seen }
                : { kind: "swapped", found: seen },
        };
      });
      const pruned = withoutUnseen(operations);
      if (pruned.length < operations.length) leftOut++;
      expect(checkLinearizable(registerModel, pruned).kind).toBe(checkLinearizable(registerModel, operations).kind);
    }),
    { numRuns: 3000, seed: 1 },
  );
  expect(leftOut).toBeGreaterThan(300);
});
