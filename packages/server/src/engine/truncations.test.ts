/** A truncate in steps is ended whoever is gone: the server that did a part of it, or the client that asked for it. */
import { silentLogger, systemClock } from "@cfs/core";
import type { ClientId, InodeNumber } from "@cfs/core";
import { listTruncations, regionBytes } from "@cfs/metadata";
import type { SetAttributes } from "@cfs/metadata";
import { expect, test } from "vitest";
import { stepsOf } from "./bounded-steps.ts";
import { CommandQueue } from "./command-queue.ts";
import { EngineBed } from "./testing/engine-bed.ts";
import { endTruncations } from "./truncations.ts";

const change = { caller: { uid: 0, gid: 0, groups: null }, time: { sec: 1, nsec: 0 } } as const;
const none = { mode: null, uid: null, gid: null, atime: null, mtime: null, ctime: null } as const;
const sizeBytes = 3_500 * regionBytes;

function largeFile(bed: EngineBed): InodeNumber {
  const ino = bed.create();
  bed.run({ type: "allocate", ino, action: "reserve", keepSize: false, offsetBytes: 0, lengthBytes: sizeBytes, ...change });
  bed.files.delete(ino);
  return ino;
}

function truncateTo(ino: InodeNumber, bytes: number): SetAttributes {
  return { type: "setAttributes", ino, sizeBytes: bytes, ...none, isTouch: false, killSetId: false, ...change };
}

test("a start ends what was begun, and only that", async () => {
  await using bed = await EngineBed.start();
  const { state, driver } = bed.engine;
  const [begun, whole] = [largeFile(bed), largeFile(bed)];
  const steps = stepsOf(state, truncateTo(begun, 700));
  for (let count = 0; count < 2; count++) bed.run(steps.next().value);
  expect(await listTruncations(state, 0, 10)).toEqual([{ ino: begun, sizeBytes: 700 }]);
  expect(state.inode(begun)?.sizeBytes).toBeGreaterThan(700);

  await endTruncations({ state, driver, clock: systemClock(), logger: silentLogger });
  expect([state.inode(begun)?.sizeBytes, state.inode(whole)?.sizeBytes]).toEqual([700, sizeBytes]);
  expect(await listTruncations(state, 0, 10)).toEqual([]);
  expect(await bed.check()).toEqual([]);
});

test("the queue of a client that is gone ends it too", async () => {
  await using bed = await EngineBed.start();
  const { state, driver, journal, writer, packQueue, capacity } = bed.engine;
  const ino = largeFile(bed);
  const parts = { state, driver, log: journal, writer, packQueue, capacity, pool: bed.io.pool };
  const events = { onDurable: () => undefined, onRejected: () => undefined, onFailed: () => undefined };
  const queue = new CommandQueue(parts, "000102030405060708090a0b0c0d0e0f" as ClientId, events);
  queue.command(1, truncateTo(ino, 700), null);
  // Its first step is on its way; nobody waits for the rest.
  await Promise.resolve();
  await Promise.resolve();
  expect(await listTruncations(state, 0, 10)).toHaveLength(1);
  await queue.close();
  expect(state.inode(ino)?.sizeBytes).toBe(700);
  expect(await listTruncations(state, 0, 10)).toEqual([]);
  expect(await bed.check()).toEqual([]);
});
