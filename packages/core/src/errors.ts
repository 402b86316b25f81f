/**
 * The one error class of cfs and its codes.
 *
 * Invariant: a code is never removed or given a new meaning; each has a line in docs/operating/errors.md with cause and cure.
 * The numbers are Linux errno values (errno(3)); every outside world maps codes by one total table of its own.
 */
export const errnoByCode = {
  NOT_PERMITTED: 1,
  NOT_FOUND: 2,
  INTERRUPTED: 4,
  IO: 5,
  NO_DEVICE: 6,
  TOO_BIG: 7,
  BAD_HANDLE: 9,
  AGAIN: 11,
  NO_MEMORY: 12,
  ACCESS_DENIED: 13,
  BUSY: 16,
  EXISTS: 17,
  CROSS_DEVICE: 18,
  NOT_DIRECTORY: 20,
  IS_DIRECTORY: 21,
  INVALID: 22,
  TEXT_BUSY: 26,
  FILE_TOO_LARGE: 27,
  NO_SPACE: 28,
  READ_ONLY: 30,
  TOO_MANY_LINKS: 31,
  RANGE: 34,
  DEADLOCK: 35,
  NAME_TOO_LONG: 36,
  NOT_IMPLEMENTED: 38,
  NOT_EMPTY: 39,
  SYMLINK_LOOP: 40,
  NO_DATA: 61,
  OVERFLOW: 75,
  NOT_SUPPORTED: 95,
  ADDRESS_IN_USE: 98,
  TIMED_OUT: 110,
  UNREACHABLE: 113,
  STALE_HANDLE: 116,
  CORRUPT: 117,
  QUOTA: 122,
} as const;

export type ErrorCode = keyof typeof errnoByCode;

export type ErrorDetails = Readonly<Record<string, string | number | bigint>>;

const codeByErrno: ReadonlyMap<number, ErrorCode> = new Map(
  (Object.entries(errnoByCode) as [ErrorCode, number][]).map(([code, errno]) => [errno, code]),
);

/** An expected failure: what failed, on which object, and where it helps the numbers. Bugs are assertions, not CfsErrors. */
export class CfsError extends Error {
  override readonly name: string = "CfsError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(`${code}: ${message}`, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = Object.freeze({ ...options.details });
  }

  get errno(): number {
    return errnoByCode[this.code];
  }

  /** The CfsError for a positive errno; numbers without a code of their own become IO. */
  static fromErrno(errno: number, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}): CfsError {
    return new CfsError(codeByErrno.get(errno) ?? "IO", message, options);
  }

  /** Walks the cause chain for a CfsError; anything else becomes IO with the reason as its cause. */
  static from(reason: unknown): CfsError {
    for (let at: unknown = reason; at instanceof Error; at = at.cause) {
      if (at instanceof CfsError) return at;
    }
    return new CfsError("IO", reason instanceof Error ? reason.message : String(reason), { cause: reason });
  }
}
