/**
 * Reads the chunk table of a stored segment (table-format.ts): what lies where, and whose bytes it is.
 *
 * The metadata knows the same of living chunks; this copy is for the compactor, for scrub to name files, and for salvage without metadata.
 */
import type { Segment } from "@cfs/metadata";
import { crc32c } from "@cfs/native";
import type { SegmentStore } from "./segment-store.ts";
import { decodeSegmentTable } from "./table-format.ts";
import type { SegmentTable } from "./table-format.ts";

export async function readSegmentTable(store: SegmentStore, segment: Segment): Promise<SegmentTable> {
  const tableBytes = await store.tableBytes(segment);
  const range = await store.read(segment, segment.segmentBytes - tableBytes, tableBytes);
  try {
    return decodeSegmentTable(Buffer.concat(range.parts), crc32c);
  } finally {
    range.release();
  }
}
