/**
 * The values that people write in flags and in the configuration file: addresses, sizes, durations, counts.
 *
 * Parsed once, here, into numbers with their unit; whatever is refused says what was read and what is expected.
 */
import { InvalidArgumentError } from "commander";

/** A word on the command line or in a file that means nothing here; the message says what is expected. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  /** What to do; empty where the message says it all. */
  readonly next: string;

  constructor(message: string, next = "") {
    super(message);
    this.next = next;
  }
}

export interface Address {
  /** A host name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  /** 0 to 65,535; 0 lets the kernel choose. */
  readonly port: number;
}

export const defaultPort = 9400;

/** HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. */
export function parseAddress(text: string): Address {
  const parts = /^(?:\[(?<six>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?<host>[^:[\]\s/]+))(?::(?<port>\d+))?$/.exec(text)?.groups;
  const host = parts?.["six"] ?? parts?.["host"];
  if (host === undefined) throw new UsageError(`"${text}" is not an address; expected HOST:PORT, such as 127.0.0.1:9400 or [::1]:9400`);
  const port = parts?.["port"] === undefined ? defaultPort : Number(parts["port"]);
  if (port > 65_535) throw new UsageError(`port ${port} in "${text}" is past 65535`);
  return { host, port };
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A path as it was typed; an empty one would silently mean the working directory. */
export function parsePath(text: string): string {
  if (text === "") throw new UsageError("a path is wanted here, not an empty text");
  if (text.includes("\0")) throw new UsageError("a path holds no NUL");
  return text;
}

const unitExponents: Readonly<Record<string, number>> = { "": 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

/** 4096, 64K, 256MiB, 1.5G (binary units), 1MB (decimal: a unit that ends in B without i). Bytes, a whole number. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?$/i.exec(text.trim());
  const [, digits, unit, suffix] = match ?? [];
  const exponent = unitExponents[(unit ?? "").toLowerCase()];
  if (digits === undefined || exponent === undefined)
    throw new UsageError(`"${text}" is not a size; expected a number with K, M, G or T, such as 256M`);
  const base = suffix?.toLowerCase() === "b" && exponent > 0 ? 1000 : 1024;
  const bytes = Math.round(Number(digits) * base ** exponent);
  if (!Number.isSafeInteger(bytes)) throw new UsageError(`"${text}" is past the largest size, 8P`);
  return bytes;
}

const millisecondsByUnit: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** 500ms, 10s, 5m, 2h, 1d. Milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)$/.exec(text.trim());
  const scale = millisecondsByUnit[match?.[2] ?? ""];
  if (match === null || scale === undefined)
    throw new UsageError(`"${text}" is not a duration; expected a number with ms, s, m, h or d, such as 10s`);
  return Math.round(Number(match[1]) * scale);
}

/** A parser of whole numbers from `min` to `max`. */
export function countBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const count = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!(count >= min && count <= max)) throw new UsageError(`"${text}" is not a whole number from ${min} to ${max}`);
    return count;
  };
}

/** Makes a parser usable as commander's: its message then names the flag as well. */
export function flag<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (reason) {
      if (reason instanceof UsageError) throw new InvalidArgumentError(reason.message);
      throw reason;
    }
  };
}

/** As `flag`, for flags that may be given several times: collects the values in order. */
export function repeatedFlag<T>(parse: (text: string) => T): (text: string, previous: readonly T[] | undefined) => readonly T[] {
  const parseOne = flag(parse);
  return (text, previous) => [...(previous ?? []), parseOne(text)];
}
