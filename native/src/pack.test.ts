/** The native border of packing: contracts, refusals, fuzz at its decoders, and packs that outlive their callers. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { ClusterId, SegmentId } from "@cfs/core";
import { CfsError } from "@cfs/core";
import { describe, expect, test } from "vitest";
import {
  blake3,
  crc32c,
  crc32cBatch,
  decodeFragmentHeader,
  decompressChunk,
  encodeParity,
  packedChunkAt,
  packedChunkCount,
  packOutputBytesMax,
  packSegment,
  packSegmentSync,
  packsInFlightMax,
  rebuild,
  segmentPiecesMax,
  segmentRawBytesMax,
  verifyBlocks,
  verifyJobs,
} from "./pack.ts";
import type { PackOptions, Piece } from "./pack.ts";

const none = new Uint8Array(0);

function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

function options(out: Uint8Array, changes: Partial<PackOptions> = {}): PackOptions {
  return {
    dataCount: 2,
    parityCount: 1,
    clusterId: "11".repeat(16) as ClusterId,
    segmentId: 1 as SegmentId,
    generation: 0,
    out,
    ...changes,
  };
}

function piece(...views: Uint8Array[]): Piece {
  return { views, phase: 0, origin: none };
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (error) {
    expect(error).toBeInstanceOf(CfsError);
    return (error as CfsError).code;
  }
}

describe("checksums and hashes", () => {
  test("known values", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe306_9283);
    expect(crc32c(none)).toBe(0);
    // BLAKE3's own test vector for no input.
    expect(Buffer.from(blake3(none)).toString("hex")).toBe("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  });

  test("a batch is one sum per range", async () => {
    const bytes = noise(1000, 1);
    const out = new Uint32Array(3);
    crc32cBatch(bytes, Uint32Array.of(0, 10, 500, 0, 100, 900), out);
    expect([...out]).toEqual([crc32c(bytes.subarray(0, 10)), 0, crc32c(bytes.subarray(100))]);
    expect(await codeOf(() => crc32cBatch(bytes, Uint32Array.of(101, 900), new Uint32Array(1)))).toBe("INVALID");
    expect(await codeOf(() => crc32cBatch(bytes, Uint32Array.of(0xffff_ffff, 0xffff_ffff), new Uint32Array(1)))).toBe("INVALID");
    expect(await codeOf(() => crc32cBatch(bytes, Uint32Array.of(0, 10), new Uint32Array(2)))).toBe("INVALID");
  });
});

describe("verification", () => {
  const slab = noise(4 * 4096, 2);
  const crcs = new Uint8Array(Uint32Array.from([0, 1, 2, 3], (block) => crc32c(slab.subarray(block * 4096, block * 4096 + 4096))).buffer);

  test("the first bad block is named", async () => {
    expect(verifyBlocks(slab, crcs, 0, 4)).toBe(-1);
    expect(verifyBlocks(slab.subarray(8192), crcs, 2, 2)).toBe(-1);
    expect(verifyBlocks(slab.subarray(8192), crcs, 1, 2)).toBe(0);
    const broken = Uint8Array.from(slab);
    broken[9000] = (broken[9000] as number) ^ 4;
    expect(verifyBlocks(broken, crcs, 0, 4)).toBe(2);
    for (const [first, count] of [
      [0, 5],
      [1, 4],
      [-1, 1],
      [2 ** 31, 1],
      [0, 2 ** 31],
    ] as const) {
      expect(await codeOf(() => verifyBlocks(slab, crcs, first, count)), `${first} ${count}`).toBe("INVALID");
    }
  });

  test("many runs in one call", async () => {
    const results = new Int32Array(3);
    expect(verifyJobs(slab, crcs, Uint32Array.of(0, 0, 4, 4096, 1, 2, 4096, 0, 1), results)).toBe(1);
    expect([...results]).toEqual([-1, -1, 0]);
    expect(await codeOf(() => verifyJobs(slab, crcs, Uint32Array.of(1, 0, 4), results))).toBe("INVALID");
    expect(await codeOf(() => verifyJobs(slab, crcs, Uint32Array.of(0, 0), results))).toBe("INVALID");
    expect(await codeOf(() => verifyJobs(slab, crcs, new Uint32Array(12), results))).toBe("INVALID");
  });
});

describe("packing", () => {
  test("requests out of range are INVALID and settle", async () => {
    const out = new Uint8Array(packOutputBytesMax(2, 1));
    const good = piece(noise(100, 1));
    const refused = async (pieces: readonly Piece[], changes: Partial<PackOptions> = {}): Promise<void> => {
      expect(await codeOf(() => packSegment(pieces, options(out, changes)))).toBe("INVALID");
      expect(await codeOf(() => packSegmentSync(pieces, options(out, changes)))).toBe("INVALID");
    };
    await refused([]);
    await refused([piece()]);
    await refused([piece(none)]);
    await refused([{ ...good, phase: 4096 }]);
    await refused([{ ...good, phase: -1 }]);
    await refused([{ ...good, origin: new Uint8Array(65) }]);
    await refused([piece(new Uint8Array(segmentRawBytesMax + 1))]);
    await refused(Array.from({ length: segmentPiecesMax + 1 }, () => good));
    await refused([good], { dataCount: 0 });
    await refused([good], { parityCount: 9 });
    await refused([good], { segmentId: 0 as SegmentId });
    await refused([good], { segmentId: -5 as SegmentId });
    await refused([good], { clusterId: "abcd" as ClusterId });
    await refused([good], { out: new Uint8Array(3 * 8192 - 1) });
    await refused([piece(out.subarray(10, 20))]);
    await refused([piece("text" as unknown as Uint8Array)]);
    expect(await codeOf(() => packSegment([good], options(out)))).toBe("none");
  });

  test("views may lie anywhere in large buffers, and are not changed", async () => {
    const slab = noise(600_000, 3);
    const before = blake3(slab);
    const out = new Uint8Array(packOutputBytesMax(2, 1) + 4096);
    const packed = await packSegment(
      [piece(slab.subarray(1, 100_001), slab.subarray(300_000, 600_000))],
      options(out.subarray(4096), { codec: "none" }),
    );
    expect(packedChunkAt(packed, 0).rawOffset).toBe(0);
    expect(Buffer.compare(blake3(slab), before)).toBe(0);
    expect(out.subarray(0, 4096).every((byte) => byte === 0)).toBe(true);
    expect(decodeFragmentHeader(out.subarray(4096, 8192)).segmentBytes).toBe(packed.segmentBytes);
  });

  test("an insertion changes the names of few chunks", () => {
    const out = new Uint8Array(packOutputBytesMax(1, 0));
    const names = (bytes: Uint8Array): Set<string> => {
      const packed = packSegmentSync([piece(bytes)], options(out, { dataCount: 1, parityCount: 0, codec: "none" }));
      return new Set(
        Array.from({ length: packedChunkCount(packed) }, (_, index) => Buffer.from(packedChunkAt(packed, index).hash).toString("hex")),
      );
    };
    const bytes = noise(2_000_000, 4);
    const before = names(bytes);
    for (const at of [0, 1, 777_777, 1_999_999]) {
      const after = names(Buffer.concat([bytes.subarray(0, at), noise(33, 5), bytes.subarray(at)]));
      expect([...before].filter((name) => after.has(name)).length, `at ${at}`).toBeGreaterThanOrEqual(before.size - 4);
    }
  });

  test("many packs at a time share no scratch, and too many are refused", async () => {
    const sources = Array.from({ length: packsInFlightMax }, (_, index) => noise(150_000 + index * 1000, index + 1));
    const outs = sources.map(() => new Uint8Array(600_000));
    const running = sources.map((bytes, index) =>
      packSegment([piece(bytes.subarray(0, 1000), bytes.subarray(1000))], options(outs[index] as Uint8Array)),
    );
    expect(await codeOf(() => packSegment([piece(noise(10, 1))], options(new Uint8Array(40_000))))).toBe("AGAIN");
    const packed = await Promise.all(running);
    packed.forEach((result, index) => {
      const out = new Uint8Array(600_000);
      const alone = packSegmentSync([piece(sources[index] as Uint8Array)], options(out));
      expect(result).toEqual(alone);
      expect(Buffer.compare(out, outs[index] as Uint8Array)).toBe(0);
    });
    expect(await codeOf(() => packSegment([piece(noise(10, 1))], options(new Uint8Array(40_000))))).toBe("none");
  });
});

describe("the code", () => {
  test("wrong shapes are INVALID", async () => {
    const [left, right] = [noise(100, 1), noise(100, 2)];
    const parity = new Uint8Array(100);
    encodeParity([left, right], 1, parity);
    const request = { dataCount: 2, parityCount: 1, present: [null, right, parity], want: [0] };
    const back = new Uint8Array(100);
    rebuild(request, back);
    expect(Buffer.compare(back, left)).toBe(0);
    expect(await codeOf(() => rebuild({ ...request, present: [null, null, parity] }, back))).toBe("INVALID");
    expect(await codeOf(() => rebuild({ ...request, present: [right, parity] }, back))).toBe("INVALID");
    expect(await codeOf(() => rebuild({ ...request, want: [3] }, back))).toBe("INVALID");
    expect(await codeOf(() => rebuild(request, back.subarray(1)))).toBe("INVALID");
    expect(await codeOf(() => rebuild({ ...request, present: [null, right.subarray(1), parity] }, back))).toBe("INVALID");
    expect(await codeOf(() => rebuild(request, right))).toBe("INVALID");
    expect(await codeOf(() => encodeParity([left], 1, new Uint8Array(99)))).toBe("INVALID");
    expect(await codeOf(() => encodeParity([left], 1, left))).toBe("INVALID");
    encodeParity([none, none], 1, none);
  });
});

describe("malformed input", () => {
  test("chunks of any bytes are CORRUPT, or other bytes, never a crash", async () => {
    const text = Buffer.from("all work and no play makes a dull file. ".repeat(400));
    const out = new Uint8Array(packOutputBytesMax(1, 0));
    for (const codec of ["lz4", "zstd1"] as const) {
      const packed = packSegmentSync([piece(text)], options(out, { dataCount: 1, parityCount: 0, codec }));
      const chunk = packedChunkAt(packed, 0);
      const stored = Uint8Array.from(out.subarray(4096 + chunk.storedOffset, 4096 + chunk.storedOffset + chunk.storedBytes));
      const raw = new Uint8Array(text.length + 64).fill(0xa7);
      decompressChunk(chunk.codec, stored, text.length, raw);
      expect(Buffer.compare(raw.subarray(0, text.length), text)).toBe(0);
      for (let round = 0; round < 3000; round++) {
        const broken = round % 3 === 0 ? noise(1 + (round % 500), round) : Uint8Array.from(stored);
        broken[(round * 7919) % broken.length] = round;
        expect(["none", "CORRUPT"]).toContain(await codeOf(() => decompressChunk(chunk.codec, broken, text.length, raw)));
        expect(raw.subarray(text.length).every((byte) => byte === 0xa7)).toBe(true);
      }
      expect(await codeOf(() => decompressChunk(chunk.codec, stored, text.length - 1, raw))).toBe("CORRUPT");
      expect(await codeOf(() => decompressChunk(chunk.codec, stored, text.length + 1, raw))).toBe("CORRUPT");
      expect(await codeOf(() => decompressChunk(chunk.codec, none, text.length, raw))).toBe("CORRUPT");
      expect(await codeOf(() => decompressChunk(chunk.codec, stored, raw.length + 1, raw))).toBe("INVALID");
    }
    expect(await codeOf(() => decompressChunk(9, text, text.length, new Uint8Array(text.length)))).toBe("CORRUPT");
    expect(await codeOf(() => decompressChunk(0, text, 5, new Uint8Array(5)))).toBe("CORRUPT");
    expect(await codeOf(() => decompressChunk(0, text, text.length, text))).toBe("INVALID");
  });

  test("headers of any bytes are CORRUPT or NOT_SUPPORTED", async () => {
    for (let round = 0; round < 2000; round++) {
      const page = noise(4096, round);
      if (round % 2 === 0) page.set(Buffer.from("CFSF"));
      if (round % 4 === 0) new DataView(page.buffer).setUint32(4092, crc32c(page.subarray(0, 4092)), true);
      expect(["CORRUPT", "NOT_SUPPORTED"]).toContain(await codeOf(() => decodeFragmentHeader(page)));
    }
  });
});

describe("life cycle", () => {
  const module = fileURLToPath(new URL("./pack.ts", import.meta.url));
  const script = (rest: string): string => `
    const { packSegment, packOutputBytesMax } = await import(${JSON.stringify(module)});
    const pack = () => packSegment([{ views: [new Uint8Array(2000000).fill(7)], phase: 0, origin: new Uint8Array(0) }],
      { dataCount: 4, parityCount: 2, clusterId: "22".repeat(16), segmentId: 1, generation: 0, codec: "zstd1", out: new Uint8Array(packOutputBytesMax(4, 2)) });
    ${rest}`;

  test("the process may exit with packs under way", () => {
    const code = script("for (let count = 0; count < 20; count++) pack().catch(() => {}); setImmediate(() => process.exit(7));");
    const done = spawnSync(process.execPath, ["--conditions=cfs-source", "--input-type=module", "-e", code], { encoding: "utf8" });
    expect({ status: done.status, signal: done.signal, stderr: done.stderr }).toEqual({ status: 7, signal: null, stderr: "" });
  });

  test("a worker thread packs, and may be terminated while it does", async () => {
    for (const rest of [
      'const { parentPort } = await import("node:worker_threads"); parentPort.postMessage((await pack()).fragmentBytes);',
      'const { parentPort } = await import("node:worker_threads"); for (let count = 0; count < 20; count++) pack().catch(() => {}); parentPort.postMessage(4096);',
    ]) {
      const worker = new Worker(script(rest), { eval: true, execArgv: ["--conditions=cfs-source", "--input-type=module"] });
      const answer = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      expect(answer).toBe(4096);
      await worker.terminate();
    }
  });

  test("buffers that nobody else holds survive until their pack is done", () => {
    const code = script(`
      const jobs = [];
      for (let count = 0; count < 16; count++) { jobs.push(pack()); globalThis.gc(); }
      const done = await Promise.all(jobs);
      process.exit(done.every((packed) => packed.fragmentBytes === 4096) ? 0 : 1);`);
    const done = spawnSync(process.execPath, ["--expose-gc", "--conditions=cfs-source", "--input-type=module", "-e", code], {
      encoding: "utf8",
    });
    expect({ status: done.status, signal: done.signal, stderr: done.stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  });
});
