/** Bytes that copy_file_range shared while they still lay in the journal are packed for everybody who points at them: no file of the journal stays for them. */
import type { CfsError, ClientId } from "@cfs/core";
import { locate } from "@cfs/metadata";
import type { ClientCommand } from "@cfs/metadata";
import { expect, test, vi } from "vitest";
import { CommandQueue } from "./command-queue.ts";
import { EngineBed } from "./testing/engine-bed.ts";

const change = { caller: { uid: 0, gid: 0, groups: null }, time: { sec: 1, nsec: 0 } } as const;
const lengthBytes = 9_000;
const soon = { timeout: 20_000, interval: 50 };

test("a copy of journalled bytes is packed too", async () => {
  await using bed = await EngineBed.start();
  const { state, driver, journal, writer, packQueue, capacity } = bed.engine;
  const [source, target] = [bed.create(), bed.create()];
  const parts = { state, driver, log: journal, writer, packQueue, capacity, pool: bed.io.pool };
  const errors: string[] = [];
  const events = {
    onDurable: () => undefined,
    onRejected: (_seq: number, _command: ClientCommand, error: CfsError) => errors.push(error.message),
    onFailed: (error: CfsError) => errors.push(error.message),
  };
  const queue = new CommandQueue(parts, "000102030405060708090a0b0c0d0e0f" as ClientId, events);
  const bytes = Buffer.alloc(lengthBytes, 7);
  const write = { type: "write", ino: source, offsetBytes: 0, lengthBytes, source: { kind: "payload" } } as const;
  queue.command(1, { ...write, setTimes: true, killSetId: false, spill: false, ...change }, Buffer.from(bytes));
  const copy = { type: "copyRange", source, sourceOffsetBytes: 1_000, target, targetOffsetBytes: 50_000, lengthBytes: 8_000 } as const;
  queue.command(2, { ...copy, ...change }, null);
  const kindsOf = (ino: typeof source): string[] => {
    const inode = state.inode(ino);
    return inode === null ? [] : locate(state.content, inode, 0, 100_000).map((piece) => piece.source.kind);
  };
  await vi.waitFor(() => expect([kindsOf(target), errors]).toEqual([["hole", "journal"], []]), soon);
  bed.files.set(source, bytes);
  bed.files.set(target, Buffer.concat([Buffer.alloc(50_000), bytes.subarray(1_000)]));

  await vi.waitFor(() => expect([kindsOf(source), kindsOf(target)]).toEqual([["chunk"], ["hole", "chunk"]]), soon);
  expect(state.content.usage().journalLiveBytes).toBe(0);
  await queue.close();
  expect(await bed.check()).toEqual([]);
}, 60_000);
