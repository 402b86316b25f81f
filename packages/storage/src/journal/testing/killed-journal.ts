/**
 * The process that journal-kill.test.ts kills: opens the journal, says what it found, then appends as fast as it may and says what is durable.
 *
 * Lines: "found LAST", "wrong REASON", "durable INDEX".   Arguments: root directory, copies, applied index
 */
import { createHash, randomBytes } from "node:crypto";
import { writeSync } from "node:fs";

import { silentLogger } from "@cfs/core";
import type { Clock } from "@cfs/core";

import { RingIo } from "../../device/ring-io.ts";
import { crc32cTable } from "../crc32c.ts";
import { Journal } from "../journal.ts";

const [, , root, copies, applied] = process.argv as [string, string, string, string, string];

const clock: Clock = {
  wallTime: () => ({ sec: 0, nsec: 0 }),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
const random = { next: Math.random, bytes: (target: Uint8Array): Uint8Array => (target.set(randomBytes(target.length)), target) };
const say = (line: string): void => void writeSync(1, `${line}\n`);

/** Every byte of an entry follows from its index. */
function entry(index: number): { head: Uint8Array; payload: Uint8Array } {
  const seed = createHash("sha256").update(`entry ${index}`).digest();
  const payload = Buffer.alloc(index % 5 === 0 ? 3000 + (index % 7) * 1000 : index % 90, seed);
  return { head: seed, payload };
}

const io = await RingIo.open({ poolBytes: 32 << 20 });
const drives = Array.from({ length: Number(copies) }, (_, number) => ({ driveId: String(number).repeat(32), path: `${root}/d${number}` }));
const listener = {
  onDurable: (index: number) => say(`durable ${index}`),
  onDriveFailed: (drive: { path: string }, error: Error) => say(`wrong ${drive.path} ${error.message}`),
  onBroken: (error: Error) => say(`wrong ${error.message}`),
  onLoss: () => say("wrong loss"),
};
const journal = await Journal.open({ io, crc32c: crc32cTable, clock, random, log: silentLogger }, drives, listener, {
  clusterId: "c".repeat(32),
  nodeId: "a".repeat(32),
  appliedIndex: Number(applied),
  fileBytes: 1 << 20,
  chunkBytes: 128 << 10,
  cacheBytes: 1 << 20,
  copyCount: Number(copies),
});
let expected = Number(applied) + 1;
await journal.replay(expected, (record) => {
  const { head, payload } = entry(record.index);
  if (record.index !== expected++) say(`wrong index ${record.index}`);
  if (Buffer.compare(record.head, head) !== 0 || Buffer.compare(record.payload, payload) !== 0) say(`wrong bytes of ${record.index}`);
});
if (expected !== journal.lastIndex + 1) say(`wrong end: ${expected} of ${journal.lastIndex}`);
say(`found ${journal.lastIndex}`);
for (;;) {
  for (let count = 0; count < 1 + (journal.lastIndex % 40); count++) {
    const { head, payload } = entry(journal.lastIndex + 1);
    journal.append(head, [payload]);
  }
  await journal.whenRoom();
  await new Promise((resolve) => setImmediate(resolve));
  if (journal.files().length > 5) await journal.retire(Math.min(Number(applied), journal.durableIndex), () => false);
}
