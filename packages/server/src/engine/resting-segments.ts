/** Segments that are left alone for a while because nothing can be done for them now; many are forgotten at once, which only makes somebody look again. */
import type { Clock, SegmentId } from "@cfs/core";

const restMs = 600_000;
const restingMax = 65_536;

export class RestingSegments {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #untilMs = new Map<SegmentId, number>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  has(id: SegmentId): boolean {
    const untilMs = this.#untilMs.get(id);
    if (untilMs === undefined) return false;
    if (untilMs > this.#clock.monotonicMs()) return true;
    this.#untilMs.delete(id);
    return false;
  }

  add(id: SegmentId): void {
    if (this.#untilMs.size >= restingMax) this.#untilMs.clear();
    this.#untilMs.set(id, this.#clock.monotonicMs() + restMs);
  }
}
