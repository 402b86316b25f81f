/** Segments as a whole: any pieces, any code, any m fragments lost, read back by TypeScript alone from what is left. */
import {
  blake3,
  chunkCodec,
  crc32c,
  decompressChunk,
  encodeParity,
  packedChunkAt,
  packedChunkCount,
  packOutputBytes,
  packSegment,
  packSegmentSync,
  rebuild,
  sealFragment,
  verifyBlocks,
} from "@cfs/native";
import type { CodecPreference, Piece } from "@cfs/native";
import type { ClusterId, SegmentId } from "@cfs/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32cOracle, encodeParityOracle, rebuildOracle } from "./erasure-oracle.ts";
import { blockBytes, crcsOf, decodeFragmentHeader, fragmentBytesOf, fragmentRanges, headerBytes } from "./fragment-format.ts";
import { decodeSegmentTable } from "./table-format.ts";

const codes: readonly (readonly [number, number])[] = [
  [1, 0],
  [1, 1],
  [2, 1],
  [2, 2],
  [3, 2],
  [4, 2],
  [8, 3],
];
const clusterId = "a5".repeat(16) as ClusterId;
const segmentId = 77 as SegmentId;

/** Bytes that are random, repetitive or a mixture, cheap to make long. */
function contents(seed: number, length: number, kind: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let at = 0; at < length; at++) {
    if (kind === 0 || (kind === 2 && (at >> 15) % 2 === 0)) {
      state = Math.imul(state, 1_664_525) + 1_013_904_223;
      bytes[at] = state >>> 24;
    } else bytes[at] = (at % 97) + (seed & 3);
  }
  return bytes;
}

const pieceArbitrary = fc.record({
  seed: fc.integer({ min: 1, max: 1e9 }),
  length: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 300_000 }), fc.constantFrom(4096, 65_536, 16_384)),
  kind: fc.integer({ min: 0, max: 2 }),
  phase: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4095 })),
  splits: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 3 }),
  origin: fc.uint8Array({ maxLength: 64 }),
});

interface MadePiece extends Piece {
  readonly whole: Uint8Array;
}

function makePiece(made: typeof pieceArbitrary extends fc.Arbitrary<infer T> ? T : never): MadePiece {
  const whole = contents(made.seed, made.length, made.kind);
  const cuts = [0, ...made.splits.map((share) => Math.floor(share * made.length)).sort((left, right) => left - right), made.length];
  const views = cuts.slice(1).map((end, index) => whole.subarray(cuts[index], end));
  return { views, phase: made.phase, origin: made.origin, whole };
}

/** The segment's bytes from the fragments that are left, each verified, the lost ones rebuilt. */
function recover(
  fragments: readonly (Uint8Array | null)[],
  dataCount: number,
): { data: Uint8Array; segmentBytes: number; tableBytes: number; tableHash: Uint8Array } {
  const headers = fragments.map((fragment) => (fragment === null ? null : decodeFragmentHeader(fragment.subarray(0, headerBytes), crc32c)));
  const header = headers.find((found) => found !== null);
  if (header === undefined || header === null) throw new Error("no fragment is left");
  const present = fragments.map((fragment, index) => {
    if (fragment === null) return null;
    expect(headers[index]).toEqual({ ...header, index });
    const payload = fragment.subarray(headerBytes);
    expect(verifyBlocks(payload, crcsOf(fragment, header), 0, payload.length / blockBytes)).toBe(-1);
    return payload;
  });
  const want = Array.from({ length: dataCount }, (_, index) => index);
  const data = new Uint8Array(dataCount * header.fragmentBytes);
  rebuild({ dataCount, parityCount: fragments.length - dataCount, present, want }, data);
  return { data, ...header };
}

function readPieces(data: Uint8Array, segmentBytes: number, tableBytes: number): { bytes: Uint8Array; origin: Uint8Array }[] {
  const table = decodeSegmentTable(data.subarray(segmentBytes - tableBytes, segmentBytes), crc32cOracle);
  expect(table.segmentId).toBe(segmentId);
  return table.pieces.map((piece) => {
    const bytes = new Uint8Array(piece.rawBytes);
    for (const chunk of piece.chunks) {
      const raw = bytes.subarray(chunk.rawOffset, chunk.rawOffset + chunk.rawBytes);
      decompressChunk(chunk.codec, data.subarray(chunk.storedOffset, chunk.storedOffset + chunk.storedBytes), chunk.rawBytes, raw);
      expect(Buffer.compare(blake3(raw), chunk.hash)).toBe(0);
    }
    return { bytes, origin: piece.origin };
  });
}

const caseArbitrary = fc.record({
  made: fc.array(pieceArbitrary, { minLength: 1, maxLength: 6 }),
  code: fc.constantFrom(...codes),
  codec: fc.constantFrom<CodecPreference>("none", "lz4", "zstd1"),
  losses: fc.array(fc.nat(), { maxLength: 3 }),
});

test("pieces come back from any k fragments", async () => {
  await fc.assert(
    fc.asyncProperty(caseArbitrary, async ({ made, code: [dataCount, parityCount], codec, losses }) => {
      const pieces = made.map(makePiece);
      const out = new Uint8Array(packOutputBytes(pieces, dataCount, parityCount)).fill(0xdb);
      const packed = await packSegment(pieces, { dataCount, parityCount, clusterId, segmentId, generation: 3, codec, out });
      expect(packed.fragmentBytes).toBe(fragmentBytesOf(packed.segmentBytes, dataCount));
      const size = headerBytes + packed.fragmentBytes;
      const lost = new Set(losses.slice(0, parityCount).map((loss) => loss % (dataCount + parityCount)));
      const fragments = Array.from({ length: dataCount + parityCount }, (_, index) =>
        lost.has(index) ? null : out.subarray(index * size, index * size + size),
      );
      const { data, segmentBytes, tableBytes, tableHash } = recover(fragments, dataCount);
      expect(Buffer.compare(blake3(data.subarray(segmentBytes - tableBytes, segmentBytes)), tableHash)).toBe(0);
      const back = readPieces(data, segmentBytes, tableBytes);
      back.forEach((piece, index) => {
        expect(Buffer.compare(piece.bytes, (pieces[index] as MadePiece).whole), `piece ${index}`).toBe(0);
        expect([...piece.origin]).toEqual([...(pieces[index] as MadePiece).origin]);
      });
      expect(back.length).toBe(pieces.length);
    }),
    { numRuns: 120 },
  );
});

test("what packSegment returns is what the table in the segment says", () => {
  fc.assert(
    fc.property(fc.array(pieceArbitrary, { minLength: 1, maxLength: 5 }), (made) => {
      const pieces = made.map(makePiece);
      const out = new Uint8Array(packOutputBytes(pieces, 1, 0));
      const packed = packSegmentSync(pieces, { dataCount: 1, parityCount: 0, clusterId, segmentId, generation: 0, out });
      const data = out.subarray(headerBytes);
      const table = decodeSegmentTable(data.subarray(packed.segmentBytes - packed.tableBytes, packed.segmentBytes), crc32c);
      const expected = table.pieces.flatMap((piece, index) =>
        piece.chunks.map(({ flags, keyId, ...chunk }) => ({ piece: index, ...chunk, flags, keyId })),
      );
      const found = Array.from({ length: packedChunkCount(packed) }, (_, index) => ({
        ...packedChunkAt(packed, index),
        flags: 0,
        keyId: 0,
      }));
      expect(found).toEqual(expected);
      const stored = found.toSorted((left, right) => left.storedOffset - right.storedOffset);
      stored.forEach((chunk, index) => {
        const end = stored[index + 1]?.storedOffset ?? table.dataBytes;
        expect(chunk.storedOffset + chunk.storedBytes).toBeLessThanOrEqual(end);
        if (chunk.codec !== chunkCodec.none) expect(chunk.storedBytes).toBeLessThanOrEqual(chunk.rawBytes - chunk.rawBytes / 16);
      });
    }),
    { numRuns: 60 },
  );
});

test("ISA-L agrees with the oracle for every code, loss and range", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...codes),
      fc.integer({ min: 1, max: 400 }),
      fc.integer({ min: 1, max: 1e9 }),
      fc.array(fc.nat(), { maxLength: 3 }),
      ([k, m], length, seed, losses) => {
        const data = Array.from({ length: k }, (_, index) => contents(seed + index, length, 0));
        const parity = new Uint8Array(m * length);
        encodeParity(data, m, parity);
        const expected = encodeParityOracle(data, m);
        expect(Buffer.compare(parity, Buffer.concat(expected))).toBe(0);
        const all = [...data, ...expected];
        const lost = [...new Set(losses.slice(0, m).map((loss) => loss % (k + m)))];
        // Only a part of each range: the code works byte by byte.
        const [begin, end] = [Math.floor(length / 3), length];
        const present = all.map((range, index) => (lost.includes(index) ? null : range.subarray(begin, end)));
        const out = new Uint8Array(lost.length * (end - begin));
        rebuild({ dataCount: k, parityCount: m, present, want: lost }, out);
        expect(Buffer.compare(out, Buffer.concat(lost.map((index) => (all[index] as Uint8Array).subarray(begin, end))))).toBe(0);
        expect(rebuildOracle(present, k).map((range) => Buffer.from(range).toString("hex"))).toEqual(
          all.map((range) => Buffer.from(range.subarray(begin, end)).toString("hex")),
        );
      },
    ),
    { numRuns: 150 },
  );
});

test("a rebuilt fragment is sealed to the page that it had", () => {
  const pieces: Piece[] = [{ views: [contents(5, 200_000, 2)], phase: 0, origin: new Uint8Array(8) }];
  const out = new Uint8Array(packOutputBytes(pieces, 4, 2));
  const packed = packSegmentSync(pieces, { dataCount: 4, parityCount: 2, clusterId, segmentId, generation: 9, out });
  const size = headerBytes + packed.fragmentBytes;
  const payloads = Array.from({ length: 6 }, (_, index) => out.subarray(index * size + headerBytes, (index + 1) * size));
  for (const index of [1, 5]) {
    const payload = new Uint8Array(packed.fragmentBytes);
    rebuild({ dataCount: 4, parityCount: 2, present: payloads.map((other, at) => (at === index ? null : other)), want: [index] }, payload);
    const header = { ...decodeFragmentHeader(out.subarray(0, headerBytes), crc32c), index, clusterId: Buffer.from(clusterId, "hex") };
    const page = new Uint8Array(headerBytes);
    sealFragment(header, payload, page);
    expect(Buffer.compare(Buffer.concat([page, payload]), out.subarray(index * size, (index + 1) * size))).toBe(0);
  }
});

test("an aligned 4 KiB read of raw data touches one block of one fragment", () => {
  const whole = contents(11, 1 << 20, 0);
  const out = new Uint8Array(packOutputBytes([{ views: [whole], phase: 0, origin: new Uint8Array(0) }], 4, 2));
  const packed = packSegmentSync([{ views: [whole], phase: 0, origin: new Uint8Array(0) }], {
    dataCount: 4,
    parityCount: 2,
    clusterId,
    segmentId,
    generation: 0,
    out,
  });
  const chunks = Array.from({ length: packedChunkCount(packed) }, (_, index) => packedChunkAt(packed, index));
  for (let offset = 0; offset < whole.length; offset += blockBytes) {
    const touched = new Set<string>();
    for (const chunk of chunks.filter((one) => one.rawOffset < offset + blockBytes && one.rawOffset + one.rawBytes > offset)) {
      expect(chunk.codec).toBe(chunkCodec.none);
      const begin = Math.max(offset, chunk.rawOffset);
      const end = Math.min(offset + blockBytes, chunk.rawOffset + chunk.rawBytes);
      for (const range of fragmentRanges(packed.fragmentBytes, chunk.storedOffset + begin - chunk.rawOffset, end - begin)) {
        touched.add(`${range.index}/${Math.floor(range.offset / blockBytes)}`);
        touched.add(`${range.index}/${Math.floor((range.offset + range.length - 1) / blockBytes)}`);
      }
    }
    expect(touched.size, `offset ${offset}`).toBe(1);
  }
});

test("damaged tables are CORRUPT and never a crash", () => {
  const out = new Uint8Array(packOutputBytes([{ views: [contents(1, 40_000, 1)], phase: 0, origin: new Uint8Array(9) }], 1, 0));
  const packed = packSegmentSync([{ views: [contents(1, 40_000, 1)], phase: 0, origin: new Uint8Array(9) }], {
    dataCount: 1,
    parityCount: 0,
    clusterId,
    segmentId,
    generation: 0,
    out,
  });
  const table = Buffer.from(out.subarray(headerBytes + packed.segmentBytes - packed.tableBytes, headerBytes + packed.segmentBytes));
  const refuses = (bytes: Uint8Array): void => expect(() => decodeSegmentTable(bytes, crc32c)).toThrow(/^(CORRUPT|NOT_SUPPORTED): /);
  for (let bit = 0; bit < table.length * 8; bit++) {
    const broken = Buffer.from(table);
    broken[bit >> 3] = (broken[bit >> 3] as number) ^ (1 << (bit & 7));
    refuses(broken);
    // With its checksum made right again, every field is on its own: what is accepted must still lie inside the data.
    broken.writeUInt32LE(crc32c(broken.subarray(0, -4)), broken.length - 4);
    try {
      const decoded = decodeSegmentTable(broken, crc32c);
      for (const chunk of decoded.pieces.flatMap((piece) => piece.chunks))
        expect(chunk.storedOffset + chunk.storedBytes).toBeLessThanOrEqual(decoded.dataBytes);
    } catch (error) {
      expect(String(error)).toMatch(/CORRUPT|NOT_SUPPORTED/);
    }
  }
  for (let end = 0; end < table.length; end++) refuses(table.subarray(0, end));
});
