/** Registers by name, for histories of key-value stores: read, write, and compare-and-set. Each name is an object of its own. */
import { unreachable } from "@cfs/core";

import type { Model } from "./checker.ts";

export type RegisterInput =
  | { readonly kind: "read"; readonly key: string }
  | { readonly kind: "write"; readonly key: string; readonly value: number }
  /** Writes `value` if the register holds `expected`. */
  | { readonly kind: "swap"; readonly key: string; readonly expected: number; readonly value: number };

/** A read tells the value (0: never written), a write tells nothing of interest, a swap whether it wrote. */
export type RegisterOutput =
  { readonly kind: "value"; readonly value: number } | { readonly kind: "done" } | { readonly kind: "swapped"; readonly isDone: boolean };

export const registerModel: Model<number, RegisterInput, RegisterOutput> = {
  initial: 0,
  step(state: number, input: RegisterInput, output: RegisterOutput | null): number | null {
    switch (input.kind) {
      case "read":
        return output === null || (output.kind === "value" && output.value === state) ? state : null;
      case "write":
        return input.value;
      case "swap": {
        const isDone = state === input.expected;
        if (output !== null && (output.kind !== "swapped" || output.isDone !== isDone)) return null;
        return isDone ? input.value : state;
      }
      default:
        return unreachable(input, "an operation on a register");
    }
  },
  keyOf: (state: number): string => String(state),
  objectOf: (input: RegisterInput): string => input.key,
};
