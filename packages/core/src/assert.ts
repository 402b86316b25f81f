/**
 * Assertions that stay on in production: a failed one is a bug, and going on could spread damage.
 *
 * Source: style.md section 11; the habit of pairs (checked before bytes are written and after they are read) is TigerBeetle's.
 */
export class AssertionError extends Error {
  override readonly name: string = "AssertionError";
}

/** States what holds; `claim` reads as a sentence, such as "index is inside the ring". */
export function assert(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${claim}`);
}

/** The end of an exhaustive switch: compiles only when every case was handled. */
export function unreachable(value: never, what: string): never {
  throw new AssertionError(`unreachable: ${what}: ${String(value)}`);
}

/** Costly checks run only while this is on: in tests and simulation. */
export const invariants: { enabled: boolean } = { enabled: false };
