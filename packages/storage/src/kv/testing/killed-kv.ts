/**
 * The process that mirrored-kv-kill.test.ts kills while it flushes. Every write changes the same keys to the same number, so that a state in between
 * shows; it says what was flushed: "flushed N".   Arguments: directories
 */
import { writeSync } from "node:fs";

import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";

import { crc32cTable } from "../../journal/crc32c.ts";
import { MirroredKv } from "../mirrored-kv.ts";

const clock: Clock = {
  wallTime: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const listener = {
  onMemberFailed: (directory: string, error: Error) => void writeSync(1, `wrong ${directory} ${error.message}\n`),
  onResync: () => undefined,
};
const kv = await MirroredKv.open({ crc32c: crc32cTable, clock, log: silentLogger }, process.argv.slice(2), listener, {
  storeId: "node",
  flushBytes: 100_000,
  flushDelayMs: 2,
});
for (let number = kv.appliedIndex + 1; ; number++) {
  const value = Buffer.alloc(200 + (number % 100), String(number).padStart(10, "0"));
  kv.writeAt([0, 1, 2, 3, 4, 5, 6, 7].map((key) => ({ key: `key ${key}`, value })).concat([{ key: `once ${number}`, value }]), number);
  if (number % 50 === 0) {
    await kv.flush({ sync: true });
    writeSync(1, `flushed ${number}\n`);
  } else if (number % 7 === 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
