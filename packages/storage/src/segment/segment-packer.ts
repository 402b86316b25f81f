/**
 * The port that turns pieces of files into the fragments of a segment; the native addon implements it (native-packer.ts).
 */
export interface PackPiece {
  readonly views: readonly Uint8Array[];
  readonly lengthBytes: number;
  readonly ino: number;
  readonly offsetBytes: number;
}

export interface PackedChunk {
  /** Index of the piece that the chunk is cut from; chunks come in piece order and in order of offset. */
  readonly piece: number;
  readonly rawBytes: number;
  readonly storedOffsetBytes: number;
  readonly storedBytes: number;
  readonly codec: number;
}

export interface PackedSegment {
  readonly fragmentBytes: number;
  readonly segmentBytes: number;
  /** k+m times header page and payload, in pool memory: the caller gives it back. */
  readonly fragments: Uint8Array;
  readonly chunks: readonly PackedChunk[];
}

export interface PackTarget {
  readonly id: number;
  readonly generation: number;
  readonly k: number;
  readonly m: number;
}

export interface SegmentPacker {
  /** The pieces are borrowed until the promise settles. */
  pack(pieces: readonly PackPiece[], target: PackTarget): Promise<PackedSegment>;
  /** Undoes a chunk's codec into `target`, which is exactly `rawBytes` long. CORRUPT when it does not come out so. */
  unpackChunk(codec: number, stored: readonly Uint8Array[], target: Uint8Array): void;
}
