/**
 * Proves that no file points at a segment whose counters say so, before its fragments are freed: counters may be wrong, and what is freed is gone.
 *
 * A segment that was never shared is needed, if at all, where its own table says that it was packed from: extents never move within a file. So its table
 * and the regions named there prove it, at a few reads for each segment. One that copy_file_range has shared (Segment.isShared), or whose table cannot be
 * read, waits for a walk over the extents of all files (reference-walk.ts).
 * A proof stays true: new extents come from old ones, and a copy of an extent that was not counted counts both (accounting.ts, share).
 */
import { CfsError } from "@cfs/core";
import type { Clock, InodeNumber, Logger, SegmentId } from "@cfs/core";
import { regionBytes } from "@cfs/metadata";
import type { KvState, Segment } from "@cfs/metadata";
import { decodeOrigin, readSegmentTable } from "@cfs/storage";
import type { SegmentStore, SegmentTable } from "@cfs/storage";
import type { ReferenceWalk } from "./reference-walk.ts";
import { RestingSegments } from "./resting-segments.ts";

export interface SegmentProofParts {
  readonly state: KvState;
  readonly store: SegmentStore;
  readonly walk: ReferenceWalk;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class SegmentProof {
  readonly #parts: SegmentProofParts;
  /** Those that are needed although nothing counts them: fsck may mend them meanwhile. */
  readonly #resting: RestingSegments;

  constructor(parts: SegmentProofParts) {
    this.#parts = parts;
    this.#resting = new RestingSegments(parts.clock);
    parts.walk.onNeeded = (id) => this.#needed(id);
  }

  /** Is it certain that nobody needs the segment, which counts no references? False: not yet, or it is needed, which is told. */
  async isUnneeded(segment: Segment): Promise<boolean> {
    const { walk, state } = this.#parts;
    const { id } = segment;
    if (this.#resting.has(id)) return false;
    const table = segment.isShared ? null : await this.#table(segment);
    if (table === null ? walk.takeUnneeded(id) : !isAtOrigins(state, id, table)) return true;
    if (table === null) walk.suspect(id);
    else this.#needed(id);
    return false;
  }

  #needed(id: SegmentId): void {
    const { state } = this.#parts;
    const segment = state.content.segment(id);
    if (segment === null || segment.liveBytes > 0) return;
    state.content.noteDamage(`segment ${id} counts no references and files point at it`);
    this.#resting.add(id);
  }

  /** Begins a walk for those that wait for one, when it is due. */
  wake(): void {
    this.#parts.walk.wake();
  }

  async #table(segment: Segment): Promise<SegmentTable | null> {
    try {
      return await readSegmentTable(this.#parts.store, segment);
    } catch (reason) {
      const { message } = CfsError.from(reason);
      this.#parts.logger.info("the table of a segment without references could not be read", { segment: segment.id, reason: message });
      return null;
    }
  }
}

function isAtOrigins(state: KvState, id: SegmentId, { pieces }: SegmentTable): boolean {
  return pieces.some(({ origin, rawBytes }) => {
    const { ino, offsetBytes } = decodeOrigin(origin);
    const end = Math.ceil((offsetBytes + rawBytes) / regionBytes);
    for (let index = Math.floor(offsetBytes / regionBytes); index < end; index++) {
      const extents = state.content.region(ino as InodeNumber, index)?.extents ?? [];
      if (extents.some(({ source }) => source.kind === "chunk" && source.segment === id)) return true;
    }
    return false;
  });
}
