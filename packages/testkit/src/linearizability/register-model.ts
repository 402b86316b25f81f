/** Registers by name, for histories of key-value stores: read, write, and compare-and-set. Each name is an object of its own. */
import { unreachable } from "@cfs/core";

import type { Model } from "./checker.ts";
import type { Operation } from "./history.ts";

export type RegisterInput =
  | { readonly kind: "read"; readonly key: string }
  | { readonly kind: "write"; readonly key: string; readonly value: number }
  /** Writes `value` if the register holds `expected`. */
  | { readonly kind: "swap"; readonly key: string; readonly expected: number; readonly value: number };

/** A read tells the value (0: never written), a write tells nothing of interest, a swap the value that it found: it wrote if that was `expected`. */
export type RegisterOutput =
  | { readonly kind: "value"; readonly value: number }
  | { readonly kind: "done" }
  | { readonly kind: "swapped"; readonly found: number };

export const registerModel: Model<number, RegisterInput, RegisterOutput> = {
  initial: 0,
  step(state: number, input: RegisterInput, output: RegisterOutput | null): number | null {
    switch (input.kind) {
      case "read":
        return output === null || (output.kind === "value" && output.value === state) ? state : null;
      case "write":
        return input.value;
      case "swap":
        if (output !== null && (output.kind !== "swapped" || output.found !== state)) return null;
        return state === input.expected ? input.value : state;
      default:
        return unreachable(input, "an operation on a register");
    }
  },
  keyOf: (state: number): string => String(state),
  objectOf: (input: RegisterInput): string => input.key,
};

/**
 * Without the unanswered operations whose value nobody saw, where each value is written by one operation only.
 *
 * It changes no verdict: a write that nobody saw can be left out of any order that has it, because every answer tells the value that it found. But
 * each of them doubles what the search may have to try.
 */
export function withoutUnseen(
  operations: readonly Operation<RegisterInput, RegisterOutput>[],
): readonly Operation<RegisterInput, RegisterOutput>[] {
  const seen = new Set<string>();
  for (const { input, output } of operations) {
    if (output?.kind === "value") seen.add(`${input.key} ${output.value}`);
    else if (output?.kind === "swapped") seen.add(`${input.key} ${output.found}`);
  }
  let open = operations.filter(({ answeredAt }) => answeredAt === null);
  const kept = new Set<unknown>();
  for (let size = -1; size < kept.size;) {
    size = kept.size;
    for (const operation of open) {
      const { input } = operation;
      if (input.kind === "read" || !seen.has(`${input.key} ${input.value}`)) continue;
      kept.add(operation);
      if (input.kind === "swap") seen.add(`${input.key} ${input.expected}`);
    }
    open = open.filter((operation) => !kept.has(operation));
  }
  return operations.filter((operation) => operation.answeredAt !== null || kept.has(operation));
}
