/**
 * Gives back what a crash left behind: fragments that were written but never logged, and the unused tails of containers.
 *
 * Only containers from before this start are looked at; what is used in them stands in the records of segments from before it, and only gets less.
 * Complete or nothing: the walk over the records must find exactly as many of these segments as there are, with none dropped meanwhile, or
 * nothing is given back and the walk is made again later.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import { listSegments } from "@cfs/metadata";
import type { KvState, Segment } from "@cfs/metadata";
import type { Containers, SegmentStore } from "@cfs/storage";
import { fragmentBlockBytes } from "@cfs/storage";

export interface SweeperParts {
  readonly state: KvState;
  readonly store: SegmentStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Between walks, milliseconds: long enough for a burst of deletes to end. */
const againMs = 3_000;

interface Range {
  readonly begin: number;
  readonly end: number;
}

export class Sweeper {
  readonly #parts: SweeperParts;
  /** Segments below this number are from before the start. */
  readonly #newFrom: number;
  /** How many of them are there. */
  #oldCount: number;
  #running: Promise<void> | null = null;
  #stopWaiting: (() => void) | null = null;
  #isClosed = false;
  bytesGivenBack = 0;

  /** To be made before anything is written or dropped. */
  constructor(parts: SweeperParts) {
    this.#parts = parts;
    const { content } = parts.state;
    this.#newFrom = content.superblock()?.nextSegment ?? 1;
    this.#oldCount = content.usage().segments;
  }

  /** The record of a segment went. */
  dropped(id: SegmentId): void {
    if (id < this.#newFrom) this.#oldCount--;
  }

  start(): void {
    this.#running = this.#sweepUntilDone().catch((reason: unknown) => {
      this.#parts.logger.error("sweeping old containers failed", { reason: CfsError.from(reason).message });
    });
  }

  async #sweepUntilDone(): Promise<void> {
    while (!this.#isClosed && !(await this.sweep())) await this.#wait();
  }

  async #wait(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#parts.clock.after(againMs, resolve);
      this.#stopWaiting = () => {
        cancel();
        resolve();
      };
    });
    this.#stopWaiting = null;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopWaiting?.();
    await this.#running;
  }

  /** One walk, and what it proves; false when it proves nothing. */
  async sweep(): Promise<boolean> {
    const { state, store, logger } = this.#parts;
    const before = new Map<number, number[]>();
    for (const drive of store.driveIndexes) {
      const containers = store.containersOf(drive) as Containers;
      before.set(
        drive,
        (await containers.list()).filter((number) => number < containers.firstOfThisRun || containers.firstOfThisRun === 0),
      );
    }
    const used = await this.#used(state);
    if (!used) {
      logger.info("old containers are swept later: segments went while they were counted");
      return false;
    }
    for (const [drive, numbers] of before) {
      for (const number of numbers) await this.#sweepContainer(store.containersOf(drive), number, used.get(`${drive}/${number}`) ?? []);
    }
    if (this.bytesGivenBack > 0) logger.info("unreferenced space was given back", { bytes: this.bytesGivenBack });
    return true;
  }

  /** Used ranges by drive and container; null when the walk cannot prove that it saw everything. */
  async #used(state: KvState): Promise<Map<string, Range[]> | null> {
    const used = new Map<string, Range[]>();
    const expected = this.#oldCount;
    let count = 0;
    for (let after: SegmentId | 0 = 0; ;) {
      const page: readonly Segment[] = await listSegments(state, after, 512);
      for (const { id, places, fragmentBytes } of page) {
        if (id < this.#newFrom) count++;
        for (const { drive, container, offsetBytes } of places) {
          const key = `${drive}/${container}`;
          const range = { begin: offsetBytes, end: offsetBytes + fragmentBytes + fragmentBlockBytes };
          const ranges = used.get(key);
          if (ranges) ranges.push(range);
          else used.set(key, [range]);
        }
      }
      const last: Segment | undefined = page.at(-1);
      if (this.#isClosed) return null;
      if (page.length < 512 || !last) break;
      after = last.id;
    }
    return count === expected && this.#oldCount === expected ? used : null;
  }

  async #sweepContainer(containers: Containers | null, number: number, ranges: Range[]): Promise<void> {
    if (!containers) return;
    ranges.sort((a, b) => a.begin - b.begin);
    let at = 0;
    for (const { begin, end } of ranges) {
      if (begin > at) await this.#free(containers, number, at, begin);
      at = Math.max(at, end);
    }
    await containers.trim(number, at);
  }

  async #free(containers: Containers, container: number, begin: number, end: number): Promise<void> {
    await containers.free({ drive: containers.drive.index, container, offsetBytes: begin }, end - begin);
    this.bytesGivenBack += end - begin;
  }
}
