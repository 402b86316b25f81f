/**
 * Naive content: a Map from offset to a symbol for every byte that a file holds. The oracle of extents.
 *
 * A symbol names a byte by where it was first written ("r3:17" is byte 17 of record 3), or by its value when it came inline ("v65").
 * "v0", reserved and missing bytes all read as zero. What journal records and chunks hold is kept beside, so that any extent can be
 * turned back into symbols.
 */
import type { ExtentSource } from "../records.ts";

export const reservedSymbol = "reserved";
export type Symbols = readonly string[];

export class ModelFile {
  sizeBytes = 0;
  readonly bytes: Map<number, string> = new Map();

  write(offset: number, symbols: Symbols): void {
    symbols.forEach((symbol, index) => this.bytes.set(offset + index, symbol));
    this.sizeBytes = Math.max(this.sizeBytes, offset + symbols.length);
  }

  truncate(sizeBytes: number): void {
    for (const offset of this.bytes.keys()) if (offset >= sizeBytes) this.bytes.delete(offset);
    this.sizeBytes = sizeBytes;
  }

  allocate(action: string, keepSize: boolean, offset: number, length: number): void {
    for (let at = offset; at < offset + length; at++) {
      if (action !== "reserve") this.bytes.delete(at);
      if (action !== "punch" && !this.bytes.has(at)) this.bytes.set(at, reservedSymbol);
    }
    if (!keepSize) this.sizeBytes = Math.max(this.sizeBytes, offset + length);
  }

  copyFrom(source: ModelFile, sourceOffset: number, targetOffset: number, length: number): void {
    const copied = Math.min(length, source.sizeBytes - sourceOffset);
    if (copied <= 0) return;
    const symbols = Array.from({ length: copied }, (_, index) => source.bytes.get(sourceOffset + index));
    symbols.forEach((symbol, index) => {
      if (symbol === undefined || symbol === reservedSymbol) this.bytes.delete(targetOffset + index);
      else this.bytes.set(targetOffset + index, symbol);
    });
    this.sizeBytes = Math.max(this.sizeBytes, targetOffset + copied);
  }

  /** Bytes that do not read as zero. */
  visible(): Map<number, string> {
    return new Map(
      [...this.bytes]
        .filter(([offset, symbol]) => offset < this.sizeBytes && symbol !== reservedSymbol && symbol !== "v0")
        .toSorted((a, b) => a[0] - b[0]),
    );
  }
}

/** What was stored where. */
export class Shelf {
  readonly #journals: Map<string, Symbols> = new Map();
  readonly #chunks: Map<string, Symbols> = new Map();

  putRecord(fileId: number, recordOffsetBytes: number, symbols: Symbols): void {
    this.#journals.set(`${fileId}/${recordOffsetBytes}`, symbols);
  }

  putChunk(segment: number, chunkIndex: number, symbols: Symbols): void {
    this.#chunks.set(`${segment}/${chunkIndex}`, symbols);
  }

  /** The bytes of an extent; "?" for what was never stored. */
  symbols(source: ExtentSource, lengthBytes: number): string[] {
    if (source.kind === "reserved") return Array.from({ length: lengthBytes }, () => reservedSymbol);
    const stored =
      source.kind === "journal"
        ? this.#journals.get(`${source.fileId}/${source.recordOffsetBytes}`)
        : this.#chunks.get(`${source.segment}/${source.chunkIndex}`);
    const from = source.kind === "journal" ? source.payloadOffsetBytes : source.rawOffsetBytes;
    return Array.from({ length: lengthBytes }, (_, index) => stored?.[from + index] ?? "?");
  }
}
