/**
 * The erasure code and its checksum in plain TypeScript: slow, obvious, and independent of the libraries that native code uses.
 *
 * Why: property tests hold ISA-L against it, and a machine without the addon can still read and repair.
 * The code (matrix 1 in fragment headers): k data fragments unchanged, then m parity fragments; parity row r (counted from k) is
 * the sum over columns c of data[c] / (r xor c), in GF(2^8) with polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d). That is a Cauchy
 * matrix, every square part of which has an inverse, so any k fragments give all.
 * Source: Blömer et al., "An XOR-Based Erasure-Resilient Coding Scheme" (1995); RFC 3720 appendix B.4 for CRC32C.
 */
import { assert, CfsError } from "@cfs/core";

const polynomial = 0x11d;
const exponentials: Uint8Array = new Uint8Array(510);
const logarithms: Uint8Array = new Uint8Array(256);
for (let power = 0, value = 1; power < 255; power++) {
  exponentials[power] = value;
  exponentials[power + 255] = value;
  logarithms[value] = power;
  value = value & 0x80 ? (value << 1) ^ polynomial : value << 1;
}

export function multiply(left: number, right: number): number {
  if (left === 0 || right === 0) return 0;
  return exponentials[(logarithms[left] as number) + (logarithms[right] as number)] as number;
}

export function inverse(value: number): number {
  assert(value > 0 && value < 256, "only elements other than zero have an inverse");
  return exponentials[255 - (logarithms[value] as number)] as number;
}

/** The coefficient of data fragment `column` in fragment `row`. */
export function coefficient(row: number, column: number, dataCount: number): number {
  if (row < dataCount) return row === column ? 1 : 0;
  return inverse(row ^ column);
}

/** The m parity ranges of k data ranges of one length. */
export function encodeParityOracle(data: readonly Uint8Array[], parityCount: number): Uint8Array[] {
  const rows = Array.from({ length: parityCount }, (_, index) =>
    data.map((_, column) => coefficient(data.length + index, column, data.length)),
  );
  return rows.map((row) => weighted(row, data));
}

/** Every fragment's range, from any k that are there. */
export function rebuildOracle(present: readonly (Uint8Array | null)[], dataCount: number): Uint8Array[] {
  const used = present.flatMap((range, index) => (range === null ? [] : [{ range, index }])).slice(0, dataCount);
  if (used.length < dataCount) throw new CfsError("INVALID", `${used.length} fragments are left, ${dataCount} are needed`);
  const rows = used.map(({ index }) => Array.from({ length: dataCount }, (_, column) => coefficient(index, column, dataCount)));
  const back = inverseMatrix(rows);
  const data = back.map((row) =>
    weighted(
      row,
      used.map(({ range }) => range),
    ),
  );
  return [...data, ...encodeParityOracle(data, present.length - dataCount)];
}

function weighted(weights: readonly number[], ranges: readonly Uint8Array[]): Uint8Array {
  const sum = new Uint8Array(ranges[0]?.length ?? 0);
  ranges.forEach((range, column) => {
    for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) ^ multiply(weights[column] as number, range[at] as number);
  });
  return sum;
}

/** Gauss-Jordan elimination beside an identity matrix. */
function inverseMatrix(matrix: readonly (readonly number[])[]): number[][] {
  const size = matrix.length;
  const rows = matrix.map((row, at) => [...row, ...row.map((_, column) => (column === at ? 1 : 0))]);
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, at) => at >= column && row[column] !== 0);
    assert(pivot >= 0, "every square part of a Cauchy matrix has an inverse");
    const row = rows.splice(pivot, 1)[0] as number[];
    const scale = inverse(row[column] as number);
    const scaled = row.map((value) => multiply(value, scale));
    for (const other of rows) {
      const factor = other[column] as number;
      for (let at = 0; at < other.length; at++) other[at] = (other[at] as number) ^ multiply(factor, scaled[at] as number);
    }
    rows.splice(column, 0, scaled);
  }
  return rows.map((row) => row.slice(size));
}

const crcTable: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  return crc;
});

/** CRC32C (Castagnoli, reflected), a byte at a time. */
export function crc32cOracle(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (crcTable[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}
