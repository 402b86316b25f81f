/** Torn writes at every sector, flipped bits everywhere, and nonsense: found, cut, repaired or reported, and never taken for a record. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { crc32cTable } from "./crc32c.ts";
import {
  blockBytes,
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  headerBytes,
  payloadIsWhole,
  recordHeaderBytes,
  recordSpanBytes,
} from "./journal-format.ts";
import type { FileHeader } from "./journal-format.ts";
import { appendOne, bedWith, durable, headOf, openOn, payloadOf, quiet, replayAll, surgery } from "./testing/journal-bed.ts";
import type { Bed } from "./testing/journal-bed.ts";

const identity = { fileId: 7, nonce: Buffer.from("nonce 12") };

function record(index: number, headBytes: number, payloadBytes: number, offsetBytes: number): Buffer {
  const bytes = Buffer.alloc(recordSpanBytes(headBytes, payloadBytes));
  encodeRecord(
    bytes,
    0,
    identity,
    { index, durableIndex: index - 1, offsetBytes, head: headOf(index, headBytes), payload: [payloadOf(index, payloadBytes)] },
    crc32cTable,
  );
  return bytes;
}

function isWhole(bytes: Buffer, offsetBytes: number): boolean {
  const info = decodeRecord(bytes, 0, identity, offsetBytes, crc32cTable);
  if (info === null) return false;
  const payloadAt = recordHeaderBytes + info.headBytes;
  return payloadIsWhole(info, bytes.subarray(payloadAt, payloadAt + info.payloadBytes), crc32cTable);
}

describe("a record", () => {
  it("with any bit flipped is none", () => {
    const bytes = record(3, 37, 300, 8192);
    expect(isWhole(bytes, 8192)).toBe(true);
    const used = recordHeaderBytes + 37 + 300;
    for (let bit = 0; bit < used * 8; bit++) {
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(isWhole(bytes, 8192)).toBe(false);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    }
    expect(isWhole(bytes, 8192)).toBe(true);
  });

  it("cut off anywhere is none, whatever was there before", () => {
    const bytes = record(9, 100, 2000, 4096);
    const before = record(8, 100, 2000, 4096);
    for (let at = 0; at < recordHeaderBytes + 2100; at++) {
      const torn = Buffer.from(bytes);
      torn.fill(0, at);
      expect(isWhole(torn, 4096)).toBe(at >= recordHeaderBytes + 100 + 1996 && torn.equals(bytes));
      const mixed = Buffer.concat([bytes.subarray(0, at), before.subarray(at)]);
      if (!mixed.equals(bytes) && !mixed.equals(before)) expect(isWhole(mixed, 4096)).toBe(false);
    }
  });

  it("of another place, file or use of a file is none", () => {
    const bytes = record(3, 10, 10, 8192);
    expect(isWhole(bytes, 12_288)).toBe(false);
    expect(decodeRecord(bytes, 0, { ...identity, fileId: 8 }, 8192, crc32cTable)).toBeNull();
    expect(decodeRecord(bytes, 0, { ...identity, nonce: Buffer.from("nonce 13") }, 8192, crc32cTable)).toBeNull();
  });

  it("is not found in nonsense, and decoding never throws or reads outside", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(400), fc.boolean(), (input, at, hasMagic) => {
        const bytes = Buffer.from(input);
        if (hasMagic && at + 4 <= bytes.length) bytes.writeUInt32LE(0x4352_4a31, at);
        expect(decodeRecord(bytes, at, identity, at, crc32cTable)).toBeNull();
        expect(decodeHeader(bytes, crc32cTable)).toBeNull();
      }),
      { numRuns: 20_000 },
    );
  });

  it("survives encoding and decoding, whatever its numbers", () => {
    const safe = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(
        safe,
        fc.nat(300),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }),
        (index, blocks, head, payload) => {
          const offsetBytes = blockBytes * (1 + blocks);
          const target = Buffer.alloc(4096, 0xaa);
          const span = encodeRecord(target, 8, identity, { index, durableIndex: 0, offsetBytes, head, payload }, crc32cTable);
          const info = decodeRecord(target, 8, identity, offsetBytes, crc32cTable);
          expect(info).toMatchObject({ index, offsetBytes, headBytes: head.length, durableIndex: 0 });
          const content = Buffer.concat(payload);
          expect(span).toBe(recordSpanBytes(head.length, content.length));
          const payloadAt = 8 + recordHeaderBytes + head.length;
          expect(target.subarray(payloadAt, payloadAt + content.length).equals(content)).toBe(true);
        },
      ),
    );
  });
});

describe("a header", () => {
  const header: FileHeader = {
    fileId: 9,
    epoch: 3,
    epochBaseIndex: 2 ** 40,
    nonce: Buffer.from("12345678"),
    sizeBytes: 2 ** 26,
    generation: 2,
    clusterId: "ab".repeat(16),
    nodeId: "cd".repeat(16),
    members: ["01".repeat(16), "02".repeat(16)],
  };

  it("is read as it was written, and with any bit flipped not at all", () => {
    const block = encodeHeader(header, crc32cTable);
    expect(decodeHeader(block, crc32cTable)).toEqual(header);
    for (let bit = 0; bit < headerBytes * 8; bit++) {
      block[bit >> 3] = (block[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(decodeHeader(block, crc32cTable)).toBeNull();
      block[bit >> 3] = (block[bit >> 3] as number) ^ (1 << (bit & 7));
    }
  });

  it("of a newer cfs is refused, not taken for damage", () => {
    const block = encodeHeader(header, crc32cTable);
    block.writeUInt32LE(2, 12);
    block.writeUInt32LE(crc32cTable(block.subarray(12, headerBytes)), 8);
    expect(() => decodeHeader(block, crc32cTable)).toThrow(/NOT_SUPPORTED.*format 2/);
  });
});

/** The first full file: the one that a new journal begins with is small and left as soon as this one is ready. */
const firstLog = "/journal/0000000002.log";

async function written(bed: Bed, sizes: readonly number[], options: { perFrame?: number } = {}): Promise<void> {
  const journal = await openOn(bed);
  await quiet(200);
  for (const [at, size] of sizes.entries()) {
    appendOne(journal, size);
    if ((at + 1) % (options.perFrame ?? 1) === 0) await durable(journal, bed, journal.lastIndex);
  }
  await durable(journal, bed, journal.lastIndex);
  await journal.close();
}

describe("a file", () => {
  it("torn at any sector of its last frame loses just that frame's torn records, cleanly", { timeout: 60_000 }, async () => {
    const sizes = [700, 5000, 0, 900];
    for (let cutBytes = 0; cutBytes < 8192; cutBytes += 512) {
      const bed = await bedWith({ driveCount: 1 });
      await written(bed, [100, 200, 0]);
      const journal = await openOn(bed);
      const places = sizes.map((size) => appendOne(journal, size));
      await durable(journal, bed, 7);
      await journal.close();
      const { fileId, recordOffsetBytes } = places[0] as (typeof places)[number];
      const cut = recordOffsetBytes + cutBytes;
      await surgery(bed, `/d0/journal/${String(fileId).padStart(10, "0")}.log`, (bytes) => bytes.fill(0, cut));
      const wholeCount = places.filter(
        (place, at) => place.recordOffsetBytes + recordHeaderBytes + 40 + (sizes[at] as number) <= cut,
      ).length;
      const again = await openOn(bed);
      expect(again.lastIndex).toBe(3 + wholeCount);
      expect((await replayAll(again)).length).toBe(3 + wholeCount);
      appendOne(again, 10);
      await durable(again, bed, 4 + wholeCount);
      await again.close();
      const last = await openOn(bed);
      expect((await replayAll(last)).length).toBe(4 + wholeCount);
      await last.close();
    }
  });

  it("with a hole that acknowledged entries were in is reported, and cut only on demand", async () => {
    const bed = await bedWith();
    await written(
      bed,
      Array.from({ length: 12 }, () => 300),
    );
    for (const drive of bed.drives)
      await surgery(bed, `${drive.path}${firstLog}`, (bytes) => bytes.fill(0x55, blockBytes * 5, blockBytes * 5 + 512));
    await expect(openOn(bed)).rejects.toThrow(
      /CORRUPT: the journal has lost acknowledged entries: 5 is whole in no copy, and entries up to 11/,
    );
    const journal = await openOn(bed, { acceptLoss: true });
    expect(bed.losses).toMatchObject([{ beginIndex: 5, lastIndex: 11 }]);
    expect(journal.lastIndex).toBe(4);
    appendOne(journal, 50);
    await durable(journal, bed, 5);
    await journal.close();
    const again = await openOn(bed);
    expect((await replayAll(again)).map((one) => one.payload.length)).toEqual([300, 300, 300, 300, 50]);
    await again.close();
    bed.memory.pool.assertNoLeak();
  });

  it("with different holes in every copy is put together from all, and each is mended", async () => {
    const bed = await bedWith();
    await written(
      bed,
      Array.from({ length: 14 }, () => 2000),
      { perFrame: 3 },
    );
    for (const [number, drive] of bed.drives.entries()) {
      await surgery(bed, `${drive.path}${firstLog}`, (bytes) => {
        for (let at = blockBytes * (1 + number); at < blockBytes * 13; at += blockBytes * 3) bytes.fill(0xc0 + number, at + 64, at + 128);
      });
    }
    const journal = await openOn(bed);
    expect((await replayAll(journal)).length).toBe(14);
    expect(journal.statistics.repairedCount).toBeGreaterThan(3);
    await journal.close();
    for (const drive of bed.drives) {
      const one = await openOn(bed, { acceptLoss: true }, [drive]);
      expect((await replayAll(one)).length).toBe(14);
      await one.close();
      await Promise.all(
        (await bed.memory.list(`${drive.path}/journal`))
          .filter((name) => name > "0000000003")
          .map((name) => bed.memory.unlink(`${drive.path}/journal/${name}`)),
      );
    }
  });

  it("with a damaged header is read through the header of another copy, and mended; with none it is reported", async () => {
    const bed = await bedWith();
    await written(bed, [10, 20, 30]);
    await surgery(bed, `/d0${firstLog}`, (bytes) => bytes.fill(1, 100, 101));
    const journal = await openOn(bed);
    expect((await replayAll(journal)).length).toBe(3);
    expect(journal.statistics.repairedCount).toBe(1);
    await journal.close();
    for (const drive of bed.drives) await surgery(bed, `${drive.path}${firstLog}`, (bytes) => bytes.fill(1, 100, 101));
    await expect(openOn(bed)).rejects.toThrow(/CORRUPT: the header of journal file 2 is damaged in every copy/);
    bed.memory.pool.assertNoLeak();
  });

  it("of another node is refused", async () => {
    const bed = await bedWith();
    await written(bed, [10]);
    await expect(openOn(bed, { nodeId: "ee".repeat(16) })).rejects.toThrow(/INVALID: journal file 1 belongs to node/);
    bed.memory.pool.assertNoLeak();
  });
});
