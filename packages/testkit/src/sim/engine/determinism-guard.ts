/**
 * While a simulation runs, nothing may ask the machine for time or chance: whoever does gets an error that names the caller.
 *
 * The lint rule in scripts/tidy finds such uses in our sources; this guard finds them in what runs, with the libraries below.
 * The real functions come back when the run is over, also after a failure.
 */
import { AssertionError } from "@cfs/core";

/** Object, name of the function on it. Timers of the machine would fire by wall time, between any two events. */
const forbidden: readonly (readonly [object: Record<string, unknown>, name: string, shown: string])[] = [
  [Date as unknown as Record<string, unknown>, "now", "Date.now"],
  [Math as unknown as Record<string, unknown>, "random", "Math.random"],
  [performance as unknown as Record<string, unknown>, "now", "performance.now"],
  [process as unknown as Record<string, unknown>, "hrtime", "process.hrtime"],
  [globalThis, "setTimeout", "setTimeout"],
  [globalThis, "setInterval", "setInterval"],
  [crypto as unknown as Record<string, unknown>, "getRandomValues", "crypto.getRandomValues"],
  [crypto as unknown as Record<string, unknown>, "randomUUID", "crypto.randomUUID"],
];

/** Forbids until the returned function is called. `report` hears each use too, because a caller may swallow the error. */
export function forbidMachine(report: (what: string) => void): () => void {
  const saved = forbidden.map(([object, name]) => Object.getOwnPropertyDescriptor(object, name));
  for (const [object, name, shown] of forbidden) {
    const refuse = (): never => {
      report(shown);
      throw new AssertionError(`${shown} was called in a simulation: take it as a port (Clock, Random)`);
    };
    Object.defineProperty(object, name, { value: refuse, configurable: true, writable: true });
  }
  return () => {
    for (const [at, [object, name]] of forbidden.entries()) {
      const before = saved[at];
      if (before === undefined) delete object[name];
      else Object.defineProperty(object, name, before);
    }
  };
}
