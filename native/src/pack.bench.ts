/** What packing, rebuilding and verifying cost per byte. Use: node --conditions=cfs-source native/src/pack.bench.ts. Prints figures, judges nothing. */
import type { ClusterId, SegmentId } from "@cfs/core";
import {
  blake3,
  crc32cBatch,
  decompressChunk,
  fragmentCrcs,
  packedChunkAt,
  packedChunkCount,
  packOutputBytesMax,
  packSegment,
  packSegmentSync,
  rebuild,
  verifyBlocks,
  verifyJobs,
} from "./pack.ts";
import type { CodecPreference, PackedSegment, Piece } from "./pack.ts";

const segmentBytes = 2 * 1024 * 1024;
const none = new Uint8Array(0);

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) globalThis.crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65_536)));
  return bytes;
}

function textBytes(length: number): Uint8Array {
  let text = "";
  for (let line = 0; text.length < length; line++)
    text += `${line} GET /api/v1/items/${(line * 2_654_435_761) % 100_000} 200 ${line % 977} ms user=${line % 31}\n`;
  return Buffer.from(text.slice(0, length));
}

function report(name: string, bytesPerRound: number, samplesMs: number[]): void {
  samplesMs.sort((left, right) => left - right);
  const rate = (ms: number): string => (bytesPerRound / ms / 1e6).toFixed(2).padStart(7);
  const median = samplesMs[Math.floor(samplesMs.length / 2)] as number;
  const best = samplesMs[0] as number;
  process.stdout.write(
    `${name.padEnd(52)} ${(median * 1000).toFixed(2).padStart(9)} µs  median ${rate(median)}  best ${rate(best)} GB/s\n`,
  );
}

function timed(name: string, bytesPerRound: number, rounds: number, work: () => void): void {
  const samples: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    work();
    samples.push(performance.now() - begin);
  }
  report(name, bytesPerRound, samples);
}

function optionsFor(
  out: Uint8Array,
  dataCount: number,
  parityCount: number,
  codec: CodecPreference,
): Parameters<typeof packSegmentSync>[1] {
  return { dataCount, parityCount, clusterId: "00".repeat(16) as ClusterId, segmentId: 1 as SegmentId, generation: 0, codec, out };
}

async function benchPack(): Promise<void> {
  // Eight different segments in turn, so that the input comes from memory, not from a cache that the last round filled.
  const sources = {
    random: Array.from({ length: 8 }, () => randomBytes(segmentBytes)),
    text: Array.from({ length: 8 }, () => textBytes(segmentBytes)),
  };
  const out = new Uint8Array(packOutputBytesMax(1, 2)).fill(1);
  for (const [kind, views] of Object.entries(sources)) {
    const pieces: Piece[][] = views.map((view) => [{ views: [view], phase: 0, origin: none }]);
    let turn = 0;
    const next = (): Piece[] => pieces[turn++ % pieces.length] as Piece[];
    for (const codec of ["none", "lz4", "zstd1"] as const) {
      timed(`pack 2 MiB ${kind}, 4+2, ${codec}, same thread`, segmentBytes, 60, () =>
        packSegmentSync(next(), optionsFor(out, 4, 2, codec)),
      );
    }
    timed(`pack 2 MiB ${kind}, 2+1, lz4, same thread`, segmentBytes, 60, () => packSegmentSync(next(), optionsFor(out, 2, 1, "lz4")));
    const samples: number[] = [];
    for (let round = 0; round < 60; round++) {
      const begin = performance.now();
      await packSegment(next(), optionsFor(out, 4, 2, "lz4"));
      samples.push(performance.now() - begin);
    }
    report(`pack 2 MiB ${kind}, 4+2, lz4, promise`, segmentBytes, samples);
  }
  const small = Array.from({ length: 512 }, (_, index): Piece => ({
    views: [(sources.random[index % 8] as Uint8Array).subarray(index * 4096, index * 4096 + 4096)],
    phase: 0,
    origin: new Uint8Array(16),
  }));
  timed("pack 512 pieces of 4 KiB random, 4+2, lz4", segmentBytes, 60, () => packSegmentSync(small, optionsFor(out, 4, 2, "lz4")));
}

function benchRead(): void {
  const out = new Uint8Array(packOutputBytesMax(4, 2));
  const packed: PackedSegment = packSegmentSync(
    [{ views: [randomBytes(segmentBytes)], phase: 0, origin: none }],
    optionsFor(out, 4, 2, "lz4"),
  );
  const size = 4096 + packed.fragmentBytes;
  const fragments = Array.from({ length: 6 }, (_, index) => out.subarray(index * size, index * size + size));
  const payloads = fragments.map((fragment) => fragment.subarray(4096));
  const [page, payload] = [fragments[0] as Uint8Array, payloads[0] as Uint8Array];
  const crcs = fragmentCrcs(page, packed.fragmentBytes);
  const present = payloads.map((bytes, index) => (index === 0 || index === 3 ? null : bytes));
  const rebuilt = new Uint8Array(2 * packed.fragmentBytes).fill(1);
  timed("rebuild 2 lost of 4+2, whole fragments (bytes of segment)", segmentBytes, 200, () =>
    rebuild({ dataCount: 4, parityCount: 2, present, want: [0, 3] }, rebuilt),
  );
  const blocks = payloads.map((bytes, index) => (index === 0 ? null : bytes.subarray(4096, 8192)));
  const block = new Uint8Array(4096);
  timed("rebuild one 4 KiB block of 4+2", 4096, 2000, () => rebuild({ dataCount: 4, parityCount: 2, present: blocks, want: [0] }, block));
  const few = 1000;
  timed(`verifyBlocks, 1 block, ${few} calls`, 4096 * few, 200, () => {
    for (let index = 0; index < few; index++) verifyBlocks(payload, crcs, 0, 1);
  });
  const count = packed.fragmentBytes / 4096;
  timed(`verifyBlocks, ${count} blocks`, packed.fragmentBytes, 500, () => verifyBlocks(payload, crcs, 0, count));
  const jobs = Uint32Array.from({ length: 64 * 3 }, (_, at) => [((at / 3) | 0) * 4096, (at / 3) | 0, 1][at % 3] as number);
  const results = new Int32Array(64);
  timed("verifyJobs, 64 jobs of 1 block", 64 * 4096, 500, () => verifyJobs(payload, crcs, jobs, results));
  const ranges = Uint32Array.from({ length: 128 }, (_, at) => (at % 2 === 0 ? at * 2048 : 4096));
  timed("crc32cBatch, 64 ranges of 4 KiB", 64 * 4096, 500, () => crc32cBatch(payload, ranges, new Uint32Array(64)));
  timed("blake3 of 4 KiB", 4096, 2000, () => blake3(block));
}

function benchDecompress(): void {
  const out = new Uint8Array(packOutputBytesMax(1, 0));
  for (const codec of ["lz4", "zstd1"] as const) {
    const packed = packSegmentSync([{ views: [textBytes(segmentBytes)], phase: 0, origin: none }], optionsFor(out, 1, 0, codec));
    const chunks = Array.from({ length: packedChunkCount(packed) }, (_, index) => packedChunkAt(packed, index));
    const raw = new Uint8Array(256 * 1024).fill(1);
    timed(
      `decompress text, ${codec}, ratio ${(segmentBytes / packed.segmentBytes).toFixed(1)}, ${chunks.length} chunks`,
      segmentBytes,
      100,
      () => {
        for (const chunk of chunks)
          decompressChunk(
            chunk.codec,
            out.subarray(4096 + chunk.storedOffset, 4096 + chunk.storedOffset + chunk.storedBytes),
            chunk.rawBytes,
            raw,
          );
      },
    );
  }
}

await benchPack();
benchRead();
benchDecompress();
