/**
 * Torn tails at every sector, in every combination, and a flipped bit at every place: a torn tail recovers to what was acknowledged, and damage is
 * never taken for one.
 */
import { CfsError } from "@cfs/core";
import { describe, expect, it } from "vitest";

import type { Io } from "../device/io.ts";
import { MemoryIo } from "../device/memory-io.ts";
import { seededRandom } from "../device/seeded-random.ts";
import { crc32cTable } from "../journal/crc32c.ts";
import { appended, created, directory, openLog, small, surgery, viewOf } from "./testing/log-bed.ts";
import {
  decodeFileHeader,
  decodeSector,
  encodeFileHeader,
  fileHeaderBytes,
  FrameBuffer,
  frameSectors,
  gatherStream,
  sectorBytes,
} from "./sector-format.ts";
import type { FileHeader } from "./sector-format.ts";

const path = `${directory}/0000000001.glog`;
const header: FileHeader = {
  fileId: 3,
  nonce: 0xfeed_beef,
  previousFrames: 9,
  sizeBytes: 1 << 26,
  clusterId: "ab".repeat(16),
  nodeId: "cd".repeat(16),
};

function flip(bytes: Buffer, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
}

function frameOf(streamBytes: number): { readonly frame: Buffer; readonly stream: Uint8Array } {
  const stream = Buffer.alloc(streamBytes, "every byte its place ");
  const buffer = new FrameBuffer(Buffer.alloc(16 << 10));
  buffer.put(stream.subarray(0, 7));
  buffer.put(stream.subarray(7));
  return { frame: Buffer.from(buffer.seal(header, 5, 8192, crc32cTable)), stream };
}

describe("a sector", () => {
  it("is judged alone: any flipped bit is damage, zeros are nothing, and it counts in its place only", () => {
    const { frame, stream } = frameOf(1300);
    expect(frame.length).toBe(frameSectors(1300) * sectorBytes);
    expect(gatherStream(frame, 0, 1300)).toEqual(new Uint8Array(stream));
    expect(gatherStream(frame.subarray(512), 600, 1100)).toEqual(new Uint8Array(stream.subarray(600, 1100)));
    for (let at = 0; at < frame.length; at += sectorBytes) {
      expect(decodeSector(frame, at, header.nonce, 8192 + at, crc32cTable)).toEqual({
        frame: 5,
        rest: (frame.length - at) / sectorBytes - 1,
      });
      expect(decodeSector(frame, at, header.nonce, 4096 + at, crc32cTable)).toBe("damaged");
      expect(decodeSector(frame, at, header.nonce + 1, 8192 + at, crc32cTable)).toBe("damaged");
    }
    for (let bit = 0; bit < frame.length * 8; bit++) {
      flip(frame, bit);
      const at = Math.floor(bit / 8 / sectorBytes) * sectorBytes;
      if (decodeSector(frame, at, header.nonce, 8192 + at, crc32cTable) !== "damaged") expect.unreachable(`bit ${bit} was not noticed`);
      flip(frame, bit);
    }
    expect(decodeSector(Buffer.alloc(512), 0, header.nonce, 8192, crc32cTable)).toBe("empty");
  });
});

describe("a file header", () => {
  it("is read as it was written; any flipped bit is CORRUPT; a newer format is refused", () => {
    const block = Buffer.alloc(fileHeaderBytes);
    expect(decodeFileHeader(block, "f", crc32cTable)).toBe("empty");
    encodeFileHeader(block, header, crc32cTable);
    expect(decodeFileHeader(block, "f", crc32cTable)).toEqual(header);
    for (let bit = 0; bit < fileHeaderBytes * 8; bit++) {
      flip(block, bit);
      expect(() => decodeFileHeader(block, "f", crc32cTable)).toThrow("CORRUPT");
      flip(block, bit);
    }
    block.writeUInt32LE(2, 12);
    block.writeUInt32LE(crc32cTable(block.subarray(12, 80)), 8);
    expect(() => decodeFileHeader(block, "f", crc32cTable)).toThrow(/NOT_SUPPORTED.*format 2/);
  });
});

/** A log with three acknowledged appends, and how its file looks before and after a fourth one. */
async function fourAppends(
  lastBytes: number,
): Promise<{ io: MemoryIo; before: Buffer; after: Buffer; views: [unknown, unknown]; offsets: number[] }> {
  const io = new MemoryIo({ random: seededRandom(3) });
  const log = await openLog(io);
  const offsets: number[] = [];
  const mark = async (): Promise<Buffer> => {
    let bytes = Buffer.alloc(0);
    await surgery(io, path, (now) => {
      bytes = Buffer.from(now);
    });
    return bytes;
  };
  await log.append([created(1), created(2)]);
  await log.append([appended(1, 1, 1, 2, { dataBytes: 300 })]);
  await log.append([appended(2, 2, 1, 1, { payloadBytes: 900 })]);
  offsets.push(log.statistics.frameBytes + fileHeaderBytes);
  const before = await mark();
  const first = viewOf(log);
  await log.append([appended(1, 3, 2, 2, { dataBytes: lastBytes, payloadBytes: 40 })]);
  offsets.push(log.statistics.frameBytes + fileHeaderBytes);
  const after = await mark();
  const views: [unknown, unknown] = [first, viewOf(log)];
  await log.close();
  return { io, before, after, views, offsets };
}

async function replaced(io: Io, bytes: Buffer): Promise<void> {
  await surgery(io, path, (now) => {
    bytes.copy(now);
  });
}

describe("a torn tail", () => {
  it("of any combination of sectors that arrived leaves what was acknowledged, and the log goes on", { timeout: 120_000 }, async () => {
    const { io, before, after, views, offsets } = await fourAppends(900);
    const [begin, end] = offsets as [number, number];
    const sectors = (end - begin) / sectorBytes;
    expect(sectors).toBe(8);
    for (let arrived = 0; arrived < 2 ** sectors; arrived++) {
      const torn = Buffer.from(before);
      for (let sector = 0; sector < sectors; sector++) {
        const at = begin + sector * sectorBytes;
        if ((arrived & (1 << sector)) !== 0) after.copy(torn, at, at, at + sectorBytes);
      }
      await replaced(io, torn);
      const log = await openLog(io);
      expect(viewOf(log)).toEqual(arrived === 2 ** sectors - 1 ? views[1] : views[0]);
      if (arrived % 16 === 5) {
        // What is appended now survives the next start, beside the remains.
        await log.append([appended(2, 9, 2, 1)]);
        const now = viewOf(log);
        await log.close();
        const again = await openLog(io);
        expect(viewOf(again)).toEqual(now);
        await again.close();
        await io.unlink(`${directory}/0000000002.glog`).catch((reason: unknown) => expect(CfsError.from(reason).code).toBe("NOT_FOUND"));
      } else await log.close();
    }
  });

  it("cut at each sector of a large frame does too", async () => {
    const { io, before, after, views, offsets } = await fourAppends(5000);
    const [begin, end] = offsets as [number, number];
    for (let cut = begin; cut <= end; cut += sectorBytes) {
      const torn = Buffer.from(before);
      after.copy(torn, begin, begin, cut);
      await replaced(io, torn);
      const log = await openLog(io);
      expect(viewOf(log)).toEqual(cut === end ? views[1] : views[0]);
      await log.close();
    }
  });
});

describe("damage", () => {
  it("by any flipped bit is reported, never a shorter log", { timeout: 300_000 }, async () => {
    const { io, after, offsets } = await fourAppends(100);
    // Every bit of the header and the frames, and some behind them.
    const end = (offsets[1] as number) + 2 * sectorBytes;
    const step = Number(process.env["CFS_FLIP_STEP"] ?? 37);
    let count = 0;
    for (let bit = 0; bit < end * 8; bit += step) {
      flip(after, bit);
      await replaced(io, after);
      flip(after, bit);
      const outcome = await openLog(io).then(
        async (log) => {
          await log.close();
          return "opened";
        },
        (reason: unknown) => CfsError.from(reason).code,
      );
      if (outcome !== "CORRUPT") expect.unreachable(`bit ${bit}: ${outcome}`);
      count++;
    }
    expect(count).toBeGreaterThan(4000);
  });

  it("by a lost write is reported when anything was written after it, in the same file or the next", async () => {
    const { io, after, offsets } = await fourAppends(100);
    const lost = Buffer.from(after);
    const [begin] = offsets as [number];
    lost.fill(0, begin - 4096, begin);
    await replaced(io, lost);
    await expect(openLog(io)).rejects.toThrow(/frame 3 of .* is not whole, but frame 4 is there/);
    lost.fill(0, begin);
    await replaced(io, lost);
    // The last write lost without a trace cannot be told from one that never was.
    await (await openLog(io)).close();
  });

  it("in a file that is not the newest is reported with frame and place", async () => {
    const io = new MemoryIo({ random: seededRandom(3) });
    const log = await openLog(io);
    await log.append([created(1)]);
    for (let index = 1; index < 100; index += 10) await log.append([appended(1, 1, index, 10, { dataBytes: 400 })]);
    expect(log.fileCount).toBeGreaterThan(1);
    await log.close();
    await surgery(io, path, (bytes) => bytes.fill(0, 8192, 12_288));
    await expect(openLog(io)).rejects.toThrow(/frame 2 of .* at 8192 is damaged/);
  });

  it("in a payload is found when it is read, though the log is open", async () => {
    const io = new MemoryIo({ random: seededRandom(3) });
    const log = await openLog(io);
    await log.append([created(1)]);
    await log.append([appended(1, 1, 1, 1, { payloadBytes: 3000 })]);
    await surgery(io, path, (bytes) => flip(bytes, (8192 + 1000) * 8));
    await expect(log.readPayload(1, 1)).rejects.toMatchObject({ code: "CORRUPT" });
    await log.close();
    expect(small.directory).toBe(directory);
  });
});
