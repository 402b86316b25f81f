/**
 * Codes segments again that are narrower than what is written now: they were written while drives were away (3+2, 2+2, 2+1), or before there were
 * more drives. It costs room (3+2 takes a tenth more than 4+2) and, with 2+1, safety.
 *
 * When the layout becomes wider, a walk over all segments collects the narrow ones; the compactor moves what lives in them, a few at a time and at
 * `bytesPerSecond` on the average, because nothing waits for it. Nothing is noted on disk: a start looks again.
 * Segments that cannot be moved (read errors, too many references) are left, and looked at again after `retryMs`.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import { listSegments } from "@cfs/metadata";
import type { KvState, Segment } from "@cfs/metadata";
import type { SegmentStore } from "@cfs/storage";
import type { Compactor } from "./compactor.ts";

export interface RecoderParts {
  readonly state: KvState;
  readonly store: SegmentStore;
  readonly compactor: Pick<Compactor, "compact">;
  /** User data that still fits: the new copy needs room before the old one goes. */
  readonly availableBytes: () => number;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RecoderOptions {
  /** How often it looks whether the layout became wider. */
  readonly intervalMs: number;
  /** Data coded again, on the average. */
  readonly bytesPerSecond: number;
  /** Segments that could not be moved are looked at again after this. */
  readonly retryMs: number;
}

export const recoderDefaults: RecoderOptions = { intervalMs: 2_000, bytesPerSecond: 32 << 20, retryMs: 900_000 };

export interface RecodeProgress {
  /** Narrow segments that wait. */
  readonly waiting: number;
  /** Coded again since the start. */
  readonly recoded: number;
  readonly bytes: number;
}

/** Drives that the widest layout uses. */
const widthMax = 6;
/** Segments that one call of the compactor gets, and those that one pass knows: more are found by the next. */
const segmentsPerStep = 8;
const segmentsPerPass = 100_000;
const segmentsPerPage = 256;
/** A few hundred MiB stay free for others while old copies wait to be dropped. */
const roomBytes = 256 << 20;
/** A segment that is shared waits for a walk over all files: so often is it asked for again. */
const roundsMax = 60;

export class Recoder {
  readonly #parts: RecoderParts;
  readonly #options: RecoderOptions;
  #waiting: SegmentId[] = [];
  /** Of the layout when all segments were last looked at. */
  #seenRank = 0;
  #retryAtMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #isClosed = false;
  #wake: () => void = () => undefined;
  #recoded = 0;
  #bytes = 0;

  constructor(parts: RecoderParts, options: RecoderOptions = recoderDefaults) {
    this.#parts = parts;
    this.#options = options;
  }

  get progress(): RecodeProgress {
    return { waiting: this.#waiting.length, recoded: this.#recoded, bytes: this.#bytes };
  }

  start(): void {
    if (this.#isClosed) return;
    this.#cancel = this.#parts.clock.after(this.#options.intervalMs, () => {
      this.#running = this.#look()
        .catch((reason: unknown) =>
          this.#parts.logger.warn("coding segments again failed and will be tried again", { reason: CfsError.from(reason).message }),
        )
        .finally(() => {
          this.#running = null;
          this.start();
        });
    });
  }

  async #look(): Promise<void> {
    const { clock, logger } = this.#parts;
    const rank = this.#rank;
    if (rank <= this.#seenRank && clock.monotonicMs() < this.#retryAtMs) {
      this.#seenRank = Math.min(this.#seenRank, rank);
      return;
    }
    this.#waiting = await this.#narrow();
    const count = this.#waiting.length;
    if (count > 0) logger.info("segments that were written to fewer drives are coded again", { segments: count });
    for (let round = 0; round < roundsMax && this.#waiting.length > 0 && !this.#isClosed && this.#rank === rank; round++)
      await this.#round();
    const left = this.#waiting.length;
    this.#waiting = [];
    if (this.#rank !== rank) return;
    this.#seenRank = rank;
    this.#retryAtMs = left > 0 || count >= segmentsPerPass ? clock.monotonicMs() + this.#options.retryMs : Number.POSITIVE_INFINITY;
    if (left > 0) logger.warn("some segments could not be coded again and will be tried later", { segments: left });
  }

  /** No wider layout is to be expected: every drive is there, or as many as a segment can use. */
  get #isWidest(): boolean {
    const { driveIndexes, memberCount } = this.#parts.store;
    return driveIndexes.length >= Math.min(memberCount, widthMax);
  }

  /** Grows when there may be more to do. */
  get #rank(): number {
    const { layout } = this.#parts.store;
    return layout ? 2 * (layout.k + layout.m) + (this.#isWidest ? 1 : 0) : 0;
  }

  /** While drives are still away, only what gets safer is moved: the rest would move again when they come. */
  #isNarrow(segment: Segment | null): segment is Segment {
    const { layout } = this.#parts.store;
    if (segment === null || layout === null || segment.liveBytes === 0) return false;
    return segment.k + segment.m < layout.k + layout.m && (this.#isWidest || segment.m < layout.m);
  }

  async #narrow(): Promise<SegmentId[]> {
    const found: SegmentId[] = [];
    for (let after: SegmentId | 0 = 0; !this.#isClosed && found.length < segmentsPerPass;) {
      const page: readonly Segment[] = await listSegments(this.#parts.state, after, segmentsPerPage);
      for (const segment of page) if (this.#isNarrow(segment)) found.push(segment.id);
      if (page.length < segmentsPerPage) break;
      after = page.at(-1)?.id ?? 0;
      await this.#pause(1);
    }
    return found;
  }

  /** Once over all that wait; those that have not moved wait on. */
  async #round(): Promise<void> {
    const { state, compactor, availableBytes } = this.#parts;
    const round = this.#waiting.slice();
    const left = new Set(round);
    for (let at = 0; at < round.length && !this.#isClosed; at += segmentsPerStep) {
      const step = round.slice(at, at + segmentsPerStep);
      const segments = step.map((id) => state.content.segment(id)).filter((segment) => this.#isNarrow(segment));
      if (availableBytes() < roomBytes) break;
      const bytes = segments.length === 0 ? 0 : await compactor.compact(segments);
      this.#bytes += bytes;
      for (const id of step) {
        if (this.#isNarrow(state.content.segment(id))) continue;
        left.delete(id);
        this.#recoded++;
      }
      this.#waiting = [...left];
      await this.#pause((bytes * 1000) / this.#options.bytesPerSecond);
    }
    if (this.#waiting.length > 0) await this.#pause(this.#options.intervalMs);
  }

  async #pause(milliseconds: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#parts.clock.after(Math.max(1, Math.ceil(milliseconds)), resolve);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    this.#wake();
    await this.#running;
  }
}
