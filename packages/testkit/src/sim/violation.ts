/** A promise that was broken, found by a checker; the run ends with it. */
export class SafetyViolation extends Error {
  override readonly name: string = "SafetyViolation";
  /** Which promise, in few words: the table of planted bugs shows it. */
  readonly promise: string;

  constructor(promise: string, message: string) {
    super(`${promise}: ${message}`);
    this.promise = promise;
  }
}

/** What broke, for a table: the promise, or the kind of error that the code under test stopped itself with. */
export function promiseOf(violation: Error): string {
  return violation instanceof SafetyViolation ? violation.promise : violation.name === "AssertionError" ? "assertion" : violation.name;
}
