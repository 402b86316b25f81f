/** @cfs/storage */
export { crcsOf, decodeFragmentHeader, encodeFragmentHeader, fragmentBytesOf, fragmentRanges } from "./segment/fragment-format.ts";
export type { Checksum, FragmentHeader, FragmentRange } from "./segment/fragment-format.ts";
export { decodeSegmentTable } from "./segment/table-format.ts";
export type { SegmentTable, TableChunk, TablePiece } from "./segment/table-format.ts";
export { crc32cOracle, encodeParityOracle, rebuildOracle } from "./segment/erasure-oracle.ts";
