/** FragmentCodec by the native addon: ISA-L for checksums and coding (docs/internals/fragments.md). */
import { decodeFragmentHeader, fragmentCrcs, fragmentHeaderBytes, rebuild, sealFragment, verifyBlocks } from "@cfs/native";
import type { FragmentCodec, FragmentHeader } from "./fragment-codec.ts";

export const nativeCodec: FragmentCodec = {
  decodeHeader(page: Uint8Array): FragmentHeader {
    const header = decodeFragmentHeader(page);
    return {
      clusterId: Buffer.from(header.clusterId).toString("hex"),
      segment: header.segmentId,
      generation: header.generation,
      index: header.index,
      k: header.dataCount,
      m: header.parityCount,
      fragmentBytes: header.fragmentBytes,
      segmentBytes: header.segmentBytes,
      tableBytes: header.tableBytes,
      tableHash: Uint8Array.from(header.tableHash),
      checksums: Uint8Array.from(fragmentCrcs(page, header.fragmentBytes)),
    };
  },

  verifyBlocks(blocks: Uint8Array, checksums: Uint8Array, firstBlock: number, blockCount: number): boolean {
    return verifyBlocks(blocks, checksums, firstBlock, blockCount) === -1;
  },

  rebuild(k: number, m: number, present: readonly (Uint8Array | null)[], wanted: number, target: Uint8Array): void {
    rebuild({ dataCount: k, parityCount: m, present, want: [wanted] }, target);
  },

  sealFragment(whole: Uint8Array, of: FragmentHeader, index: number): void {
    const { segment, generation, k, m, fragmentBytes, segmentBytes, tableBytes, tableHash } = of;
    const clusterId = Buffer.from(of.clusterId, "hex");
    sealFragment(
      {
        clusterId,
        segmentId: segment,
        generation,
        index,
        dataCount: k,
        parityCount: m,
        fragmentBytes,
        segmentBytes,
        tableBytes,
        tableHash,
      },
      whole.subarray(fragmentHeaderBytes),
      whole.subarray(0, fragmentHeaderBytes),
    );
  },
};
