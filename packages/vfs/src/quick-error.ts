/**
 * CfsErrors for answers that are expected many thousand times a second (no such name, exists already): made without a stack
 * trace, which would cost ten times the rest of the call.
 */
import { CfsError } from "@cfs/core";
import type { ErrorCode } from "@cfs/core";

function withoutStack<T>(make: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

export function quickError(code: ErrorCode, message: string): CfsError {
  return withoutStack(() => new CfsError(code, message));
}

export function quickErrorOf(errno: number, message: string): CfsError {
  return withoutStack(() => CfsError.fromErrno(errno, message));
}
