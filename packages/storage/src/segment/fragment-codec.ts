/**
 * What the segment store needs done to bytes: the port that the native addon implements (native-codec.ts).
 */

export interface FragmentHeader {
  readonly clusterId: string;
  readonly segment: number;
  readonly generation: number;
  readonly index: number;
  readonly k: number;
  readonly m: number;
  readonly fragmentBytes: number;
  readonly segmentBytes: number;
  /** Bytes of the chunk table, the last of the segment, and their BLAKE3 hash. */
  readonly tableBytes: number;
  readonly tableHash: Uint8Array;
  /** CRC32C of each 4 KiB block of the payload, little-endian, 4 bytes each. */
  readonly checksums: Uint8Array;
}

export interface FragmentCodec {
  /** CORRUPT when the page is not a fragment header of a known version with a right checksum. The result holds no view of the page. */
  decodeHeader(page: Uint8Array): FragmentHeader;
  verifyBlocks(blocks: Uint8Array, checksums: Uint8Array, firstBlock: number, blockCount: number): boolean;
  /** Rebuilds fragment `wanted` into `target` from at least k of `present` (k+m entries, null where missing), all of one length. */
  rebuild(k: number, m: number, present: readonly (Uint8Array | null)[], wanted: number, target: Uint8Array): void;
  /** Writes the header page in front of a payload: `whole` is the page and the payload. `of` is the header of any fragment of the segment. */
  sealFragment(whole: Uint8Array, of: FragmentHeader, index: number): void;
}
