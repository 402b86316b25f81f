/**
 * Empties a drive that leaves, or rebuilds what a lost one held: queues its fragments until none names it any more.
 *
 * Invariant: `done` resolves with true only after a complete walk over the segments found no fragment on the drive.
 */
import type { Clock, SegmentId } from "@cfs/core";
import { listSegments } from "@cfs/metadata";
import type { KvState, Segment } from "@cfs/metadata";
import type { Repairer } from "../engine/repairer.ts";
import type { MoveDetails } from "../admin/details.ts";

export interface DriveMoveParts {
  readonly state: KvState;
  readonly repairer: Repairer;
  readonly clock: Clock;
}

/** Wait before fragments that could not be moved are tried again. */
const retryMs = 5_000;

export async function countFragments(state: KvState, drive: number): Promise<number> {
  let count = 0;
  for (let after: SegmentId | 0 = 0; ;) {
    const page: readonly Segment[] = await listSegments(state, after, 512);
    for (const { places } of page) for (const place of places) if (place.drive === drive) count++;
    const last: Segment | undefined = page.at(-1);
    if (page.length < 512 || last === undefined) return count;
    after = last.id;
  }
}

export class DriveMove {
  readonly #parts: DriveMoveParts;
  readonly #drive: number;
  readonly driveId: string;
  readonly kind: MoveDetails["kind"];
  #totalFragments = 0;
  /** As counted by the last walk, and how many had been repaired then. */
  #counted = 0;
  #repairedThen = 0;
  #isClosed = false;
  #wake: (() => void) | null = null;
  /** True when nothing is left on the drive; false when it was closed before. */
  readonly done: Promise<boolean>;

  constructor(parts: DriveMoveParts, drive: { readonly index: number; readonly driveId: string }, kind: MoveDetails["kind"]) {
    this.#parts = parts;
    this.#drive = drive.index;
    this.driveId = drive.driveId;
    this.kind = kind;
    this.done = this.#run();
  }

  get details(): MoveDetails {
    const moved = this.#parts.repairer.repaired - this.#repairedThen;
    return {
      driveId: this.driveId,
      kind: this.kind,
      remainingFragments: Math.max(Math.min(this.#counted, 1), this.#counted - moved),
      totalFragments: this.#totalFragments,
    };
  }

  async #count(): Promise<number> {
    const repaired = this.#parts.repairer.repaired;
    this.#counted = await countFragments(this.#parts.state, this.#drive);
    this.#repairedThen = repaired;
    this.#totalFragments = Math.max(this.#totalFragments, this.#counted);
    return this.#counted;
  }

  async #run(): Promise<boolean> {
    const { repairer } = this.#parts;
    for (let before = Number.POSITIVE_INFINITY; !this.#isClosed;) {
      const left = await this.#count();
      if (left === 0) return true;
      if (left >= before) await this.#rest();
      if (this.#isClosed) return false;
      before = left;
      await repairer.addMissing();
      await repairer.drain();
    }
    return false;
  }

  async #rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(retryMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake?.();
    await this.done;
  }
}
