/**
 * The real clock, randomness and log sink: what the composition roots hand to everything else. Nothing but a root calls these.
 */
import { randomFillSync } from "node:crypto";
import type { Clock, LogFields, Logger, Random } from "./ports.ts";

export function systemClock(): Clock {
  return {
    wallTime: () => {
      const ms = performance.timeOrigin + performance.now();
      const sec = Math.floor(ms / 1000);
      return { sec, nsec: Math.min(999_999_999, Math.floor((ms - sec * 1000) * 1_000_000)) };
    },
    monotonicMs: () => performance.now(),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}

export function systemRandom(): Random {
  return {
    next: () => {
      const bytes = randomFillSync(new Uint32Array(2));
      return (((bytes[0] as number) >>> 5) * 0x400_0000 + ((bytes[1] as number) >>> 6)) / 2 ** 53;
    },
    bytes: (target) => randomFillSync(target),
  };
}

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** One JSON object per line: time, level, message, fields. `least` and what is above it is written. */
export function jsonLogger(write: (line: string) => void, least: LogLevel): Logger {
  const from = logLevels.indexOf(least);
  const log = (level: LogLevel, message: string, fields?: LogFields): void => {
    if (logLevels.indexOf(level) < from) return;
    const time = new Date(performance.timeOrigin + performance.now()).toISOString();
    write(`${JSON.stringify({ time, level, message, ...fields })}\n`);
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
  };
}
