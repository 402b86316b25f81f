/**
 * The ports that cores and drivers take instead of the machine: clock, randomness, logs.
 *
 * Only the composition roots (server, client, cli) and tests construct the real ones.
 */

/** Wall time is for timestamps that people see; monotonic time is for every wait and deadline. */
export interface Clock {
  /** Nanoseconds since 1970 as seconds and the rest. */
  wallTime(): { readonly sec: number; readonly nsec: number };
  /** Milliseconds since some fixed moment, never backwards, with fractions. */
  monotonicMs(): number;
  /** Calls back once after `delayMs`; the returned function cancels. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): () => void;
}

export interface Random {
  /** 0 inclusive to 1 exclusive. */
  next(): number;
  /** Fills `target` and returns it. */
  bytes(target: Uint8Array): Uint8Array;
}

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

/** Constant message plus fields; never interpolated data. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
