/**
 * Finds all extents that point at given segments by one walk over the extents of all files: the state has no index from chunks to files.
 *
 * For segments that are shared in ways that their own tables do not tell (copy_file_range): the compactor wants all references of thin ones, the
 * reclaimer suspects those without any counted ones. The walk gives way after each page for as long as the page took, and walks follow each other at
 * distances of twenty times their own length, so that they cost 5 % of a processor at most; once, when much of the room left waits for them.
 * What it finds may be out of date when it is used: swaps hold only where the extent is still the same, and segment-proof.ts says why a segment that
 * was found nowhere stays so.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import { listRegions, regionBytes } from "@cfs/metadata";
import type { KvState, ListedRegion } from "@cfs/metadata";
import type { Reference } from "./moves.ts";

/** Segments of one walk, references of one segment, and of all of them: they bound memory (100 bytes each). */
const segmentsMax = 256;
const referencesPerSegmentMax = 16_384;
const referencesMax = 65_536;
/** Segments whose references are kept until the compactor comes to them. */
const foundMax = 4_096;
const regionsPerPage = 500;
const idleTimes = 20;
/** Suspects of one walk, 16 bytes each, and what each may hold. */
const suspectsMax = 65_536;
const suspectBytesMax = 2 << 20;
/** Above this part of the room that is left, space that waits is wanted soon. */
const waitingShareMax = 1 / 8;
const idleMsMin = 2_000;

export interface ReferenceWalkParts {
  readonly state: KvState;
  /** User data that still fits the drives. */
  readonly availableBytes: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class ReferenceWalk {
  readonly #parts: ReferenceWalkParts;
  readonly #wanted = new Set<SegmentId>();
  #looksFor: ReadonlySet<SegmentId> = new Set();
  /** Null: more references than are moved at once. */
  readonly #found = new Map<SegmentId, readonly Reference[] | null>();
  readonly #suspects = new Set<SegmentId>();
  #underWalk: ReadonlySet<SegmentId> = new Set();
  /** Suspects that walks found nowhere, until they are taken: what is unneeded stays so. */
  readonly #unneeded = new Set<SegmentId>();
  /** Hears of each suspect that an extent points at. */
  onNeeded: (segment: SegmentId) => void = () => undefined;
  #running: Promise<void> | null = null;
  #restUntilMs = 0;
  #isClosed = false;
  walks = 0;

  constructor(parts: ReferenceWalkParts) {
    this.#parts = parts;
  }

  /** What a walk found of the segment, once; null when there are too many; undefined when no walk has looked for it yet. */
  take(segment: SegmentId): readonly Reference[] | null | undefined {
    const found = this.#found.get(segment);
    this.#found.delete(segment);
    return found;
  }

  /** A walk looks for it or will. */
  isWanted(segment: SegmentId): boolean {
    return this.#wanted.has(segment) || this.#looksFor.has(segment);
  }

  /** A walk will look for it, unless too many are wanted already. */
  want(segment: SegmentId): void {
    if (this.#wanted.size < segmentsMax) this.#wanted.add(segment);
  }

  /** True, once, for a suspect that a walk found nowhere. */
  takeUnneeded(segment: SegmentId): boolean {
    return this.#unneeded.delete(segment);
  }

  /** The next walk will look for it, unless there are too many or one does already. */
  suspect(segment: SegmentId): void {
    if (this.#suspects.size + this.#unneeded.size < suspectsMax && !this.#underWalk.has(segment)) this.#suspects.add(segment);
  }

  /** Begins a walk when one is due; does not wait for it. */
  wake(): void {
    const { clock, logger } = this.#parts;
    const begunMs = clock.monotonicMs();
    if (this.#isClosed || this.#running || this.#wanted.size + this.#suspects.size === 0 || begunMs < this.#restUntilMs) return;
    this.#looksFor = new Set(this.#wanted);
    this.#wanted.clear();
    this.#underWalk = new Set(this.#suspects);
    this.#suspects.clear();
    const isSoon = this.#underWalk.size * suspectBytesMax > this.#parts.availableBytes() * waitingShareMax;
    this.#running = this.#walk(this.#looksFor, new Set(this.#underWalk))
      .catch((reason: unknown) => logger.warn("looking for references failed", { reason: CfsError.from(reason).message }))
      .finally(() => {
        const nowMs = clock.monotonicMs();
        this.#restUntilMs = nowMs + Math.max(idleMsMin, (isSoon ? 1 : idleTimes) * (nowMs - begunMs));
        this.#looksFor = new Set();
        this.#underWalk = new Set();
        this.#running = null;
      });
  }

  async #walk(wanted: ReadonlySet<SegmentId>, suspects: Set<SegmentId>): Promise<void> {
    const { state, clock } = this.#parts;
    const found = new Map<SegmentId, Reference[] | null>([...wanted].map((id) => [id, []]));
    let count = 0;
    let after: Pick<ListedRegion, "ino" | "index"> | null = null;
    for (;;) {
      const begunMs = clock.monotonicMs();
      const page: readonly ListedRegion[] = await listRegions(state, after, regionsPerPage);
      if (this.#isClosed) return;
      for (const listed of page) {
        count += collect(listed, found, count);
        for (const { source } of listed.region.extents)
          if (source.kind === "chunk" && suspects.delete(source.segment)) this.onNeeded(source.segment);
      }
      const last: ListedRegion | undefined = page.at(-1);
      if (page.length < regionsPerPage || last === undefined) break;
      after = last;
      await new Promise<void>((resolve) => void clock.after(Math.ceil(clock.monotonicMs() - begunMs), resolve));
    }
    this.#keep(found);
    for (const id of suspects) this.#unneeded.add(id);
    this.walks++;
  }

  /** Until they are taken; the oldest go when they are too many. */
  #keep(found: ReadonlyMap<SegmentId, readonly Reference[] | null>): void {
    for (const [id, references] of found) {
      this.#found.delete(id);
      this.#found.set(id, references);
    }
    let count = 0;
    for (const references of this.#found.values()) count += references?.length ?? 0;
    for (const [id, references] of this.#found) {
      if (count <= referencesMax && this.#found.size <= foundMax) break;
      this.#found.delete(id);
      count -= references?.length ?? 0;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }
}

/** Adds the extents of one region that point at wanted segments; returns how many. `count`: those that were found before. */
function collect({ ino, index, region }: ListedRegion, found: Map<SegmentId, Reference[] | null>, count: number): number {
  let added = 0;
  for (const { offsetBytes, lengthBytes, source } of region.extents) {
    if (source.kind !== "chunk") continue;
    const references = found.get(source.segment);
    if (!references) continue;
    if (references.length >= referencesPerSegmentMax || count + added >= referencesMax) {
      found.set(source.segment, null);
      continue;
    }
    references.push({ ino, offsetBytes: index * regionBytes + offsetBytes, lengthBytes, source });
    added++;
  }
  return added;
}
