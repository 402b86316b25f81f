/**
 * Headers of fragments that were read lately: the checksums are needed for every read of a part.
 *
 * Invariant: a cached header agreed with the segment record (cluster, segment, generation, index, layout) when it was read.
 */
import { CfsError } from "@cfs/core";
import type { FragmentPlace, Segment } from "@cfs/metadata";
import type { BufferPool } from "../device/buffer-pool.ts";
import type { Containers } from "./containers.ts";
import type { FragmentCodec, FragmentHeader } from "./fragment-codec.ts";

const pageBytes = 4096;
/** 16,384 headers of 4+2 are about 10 MiB and cover 8 GiB of data. */
const headersMax = 16_384;
/** Fragments of a segment have at most this many indexes, so that one number is the key. */
const fragmentsMax = 16;

export class FragmentHeaders {
  readonly #pool: BufferPool;
  readonly #codec: FragmentCodec;
  readonly #clusterId: string;
  readonly #known = new Map<number, FragmentHeader>();

  constructor(pool: BufferPool, codec: FragmentCodec, clusterId: string) {
    this.#pool = pool;
    this.#codec = codec;
    this.#clusterId = clusterId;
  }

  known(segment: Segment, index: number): FragmentHeader | null {
    const header = this.#known.get(segment.id * fragmentsMax + index);
    return header !== undefined && header.generation === segment.generation ? header : null;
  }

  /** The header of any fragment of the segment that was read lately. */
  any(segment: Segment): FragmentHeader {
    for (let index = 0; index < segment.k + segment.m; index++) {
      const header = this.known(segment, index);
      if (header) return header;
    }
    throw new CfsError("AGAIN", `no header of segment ${segment.id} is in memory`);
  }

  async load(segment: Segment, index: number, containers: Containers): Promise<FragmentHeader> {
    const page = await this.#pool.takeOrWait(pageBytes);
    let header: FragmentHeader;
    try {
      await containers.read(segment.places[index] as FragmentPlace, 0, page);
      header = this.#codec.decodeHeader(page);
    } finally {
      this.#pool.give(page);
    }
    this.#check(header, segment, index);
    if (this.#known.size >= headersMax) this.#known.delete(this.#known.keys().next().value as number);
    this.#known.set(segment.id * fragmentsMax + index, header);
    return header;
  }

  #check(header: FragmentHeader, segment: Segment, index: number): void {
    const isRight =
      header.clusterId === this.#clusterId &&
      header.segment === segment.id &&
      header.generation === segment.generation &&
      header.index === index &&
      header.k === segment.k &&
      header.m === segment.m &&
      header.fragmentBytes === segment.fragmentBytes;
    if (isRight) return;
    throw new CfsError(
      "CORRUPT",
      `the fragment at the place of segment ${segment.id} generation ${segment.generation} index ${index} says segment ${header.segment} generation ${header.generation} index ${header.index} of cluster ${header.clusterId}`,
    );
  }

  forget(segment: Segment, index: number): void {
    this.#known.delete(segment.id * fragmentsMax + index);
  }

  forgetAll(segment: Segment): void {
    for (let index = 0; index < segment.k + segment.m; index++) this.forget(segment, index);
  }
}
