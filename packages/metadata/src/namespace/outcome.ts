/** How a command ended: one frozen record for success and one per error code, so that results cost nothing. */
import { errnoByCode } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";
import type { Outcome } from "./state.ts";

export const done: Outcome = Object.freeze({ errno: 0 });

const failures = Object.fromEntries(Object.entries(errnoByCode).map(([code, errno]) => [code, Object.freeze({ errno })])) as Readonly<
  Record<ErrorCode, Outcome>
>;

export function fail(code: ErrorCode): Outcome {
  return failures[code];
}
