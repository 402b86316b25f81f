/** Header pages: TypeScript and native agree byte for byte, and no flipped bit of a small fragment goes unnoticed. */
import {
  crc32c,
  decodeFragmentHeader as nativeDecode,
  encodeFragmentHeader as nativeEncode,
  packOutputBytesMax,
  packSegmentSync,
  sealFragment,
  verifyBlocks,
} from "@cfs/native";
import type { ClusterId, SegmentId } from "@cfs/core";
import { expect, test } from "vitest";
import { crc32cOracle } from "./erasure-oracle.ts";
import { crcsOf, decodeFragmentHeader, encodeFragmentHeader, fragmentBytesOf, fragmentRanges, headerBytes } from "./fragment-format.ts";
import type { FragmentHeader } from "./fragment-format.ts";

const header: FragmentHeader = {
  clusterId: "000102030405060708090a0b0c0d0eff" as ClusterId,
  segmentId: Number.MAX_SAFE_INTEGER as SegmentId,
  generation: 0xffff_fffe,
  index: 5,
  dataCount: 4,
  parityCount: 2,
  fragmentBytes: 8192,
  segmentBytes: 30_000,
  tableBytes: 333,
  tableHash: Uint8Array.from({ length: 32 }, (_, at) => at * 7),
};
const crcs = Uint32Array.of(0x0102_0304, 0xdead_beef);

function native(of: FragmentHeader): Parameters<typeof nativeEncode>[0] {
  return { ...of, clusterId: Buffer.from(of.clusterId, "hex") };
}

test("both languages write the same page and read each other's", () => {
  const page = encodeFragmentHeader(header, crcs, crc32c);
  const other = new Uint8Array(headerBytes).fill(0xee);
  nativeEncode(native(header), crcs, other);
  expect(Buffer.compare(page, other)).toBe(0);
  expect(decodeFragmentHeader(other, crc32cOracle)).toEqual(header);
  expect(nativeDecode(page)).toEqual({ ...native(header), clusterId: Uint8Array.from(Buffer.from(header.clusterId, "hex")) });
  expect([...new Uint32Array(Uint8Array.from(crcsOf(page, header)).buffer)]).toEqual([...crcs]);
});

test("every flipped bit of a page is CORRUPT in both languages", () => {
  const page = encodeFragmentHeader(header, crcs, crc32c);
  for (let bit = 0; bit < headerBytes * 8; bit++) {
    page[bit >> 3] = (page[bit >> 3] as number) ^ (1 << (bit & 7));
    const where = `bit ${bit}`;
    expect(
      codeOf(() => decodeFragmentHeader(page, crc32c)),
      where,
    ).toBe("CORRUPT");
    if (bit % 16 === 0)
      expect(
        codeOf(() => nativeDecode(page)),
        where,
      ).toBe("CORRUPT");
    page[bit >> 3] = (page[bit >> 3] as number) ^ (1 << (bit & 7));
  }
  expect(codeOf(() => decodeFragmentHeader(page.subarray(1), crc32c))).toBe("CORRUPT");
  expect(codeOf(() => decodeFragmentHeader(new Uint8Array(headerBytes), crc32c))).toBe("CORRUPT");
});

test("every flipped bit of every fragment of a small segment is found", () => {
  const out = new Uint8Array(packOutputBytesMax(2, 1));
  const view = Uint8Array.from({ length: 5000 }, (_, at) => (at * at) >> 3);
  const packed = packSegmentSync([{ views: [view], phase: 0, origin: new Uint8Array(3) }], {
    dataCount: 2,
    parityCount: 1,
    clusterId: header.clusterId,
    segmentId: 9 as SegmentId,
    generation: 1,
    codec: "none",
    out,
  });
  const size = headerBytes + packed.fragmentBytes;
  for (let index = 0; index < 3; index++) {
    const fragment = out.subarray(index * size, index * size + size);
    expect(isWhole(fragment)).toBe(true);
    for (let bit = 0; bit < size * 8; bit++) {
      fragment[bit >> 3] = (fragment[bit >> 3] as number) ^ (1 << (bit & 7));
      if (isWhole(fragment)) expect.fail(`bit ${bit} of fragment ${index}`);
      fragment[bit >> 3] = (fragment[bit >> 3] as number) ^ (1 << (bit & 7));
    }
  }
});

function isWhole(fragment: Uint8Array): boolean {
  const page = fragment.subarray(0, headerBytes);
  const decoded = codeOf(() => decodeFragmentHeader(page, crc32c));
  return (
    decoded === null &&
    verifyBlocks(
      fragment.subarray(headerBytes),
      crcsOf(page, { ...header, fragmentBytes: fragment.length - headerBytes }),
      0,
      fragment.length / 4096 - 1,
    ) === -1
  );
}

function codeOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

test("intact pages with impossible fields are refused alike", () => {
  const broken: [number, number, string][] = [
    [4, 2, "NOT_SUPPORTED"],
    [39, 2, "NOT_SUPPORTED"],
    [7, 0, "CORRUPT"],
    [36, 6, "CORRUPT"],
    [37, 0, "CORRUPT"],
    [38, 9, "CORRUPT"],
    [40, 1, "CORRUPT"],
    [43, 9, "CORRUPT"],
    [47, 9, "CORRUPT"],
    [51, 9, "CORRUPT"],
    [52, 3, "CORRUPT"],
    [60, 1, "CORRUPT"],
    [100, 1, "CORRUPT"],
    [137, 1, "CORRUPT"],
  ];
  for (const [at, byte, code] of broken) {
    const page = Buffer.from(encodeFragmentHeader(header, crcs, crc32c));
    page[at] = byte;
    page.writeUInt32LE(crc32c(page.subarray(0, 4092)), 4092);
    expect(
      codeOf(() => decodeFragmentHeader(page, crc32c)),
      `byte ${at}`,
    ).toBe(code);
    expect(
      codeOf(() => nativeDecode(page)),
      `byte ${at}`,
    ).toBe(code);
  }
  expect(codeOf(() => encodeFragmentHeader({ ...header, index: 6 }, crcs, crc32c))).toBe("INVALID");
  expect(codeOf(() => nativeEncode(native({ ...header, index: 6 }), crcs, new Uint8Array(4096)))).toBe("INVALID");
  expect(codeOf(() => sealFragment(native(header), new Uint8Array(4096), new Uint8Array(4096)))).toBe("INVALID");
});

test("a range of a segment falls into the right fragments", () => {
  expect(fragmentBytesOf(8193, 2)).toBe(8192);
  expect(fragmentBytesOf(1, 4)).toBe(4096);
  expect(fragmentRanges(8192, 8000, 9000)).toEqual([
    { index: 0, offset: 8000, length: 192 },
    { index: 1, offset: 0, length: 8192 },
    { index: 2, offset: 0, length: 616 },
  ]);
  expect(fragmentRanges(8192, 8192, 10)).toEqual([{ index: 1, offset: 0, length: 10 }]);
  expect(fragmentRanges(8192, 5, 0)).toEqual([]);
});
