/**
 * Gives back what a crash left behind: fragments that were written but never logged, and the unused tails of containers.
 *
 * Only containers from before this start are looked at; what is used in them stands in the segment records. Complete or nothing: the walk over the
 * records must find exactly as many segments as the usage record counts, with none added or dropped meanwhile, or nothing is given back.
 */
import type { Logger, SegmentId } from "@cfs/core";
import { listSegments } from "@cfs/metadata";
import type { KvState, Segment } from "@cfs/metadata";
import type { Containers, SegmentStore } from "@cfs/storage";
import { fragmentBlockBytes } from "@cfs/storage";

export interface SweeperParts {
  readonly state: KvState;
  readonly store: SegmentStore;
  readonly logger: Logger;
}

interface Range {
  readonly begin: number;
  readonly end: number;
}

export class Sweeper {
  readonly #parts: SweeperParts;
  bytesGivenBack = 0;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  async sweep(): Promise<void> {
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
      logger.info("the sweep of old containers is left to the next start: segments came or went meanwhile");
      return;
    }
    for (const [drive, numbers] of before) {
      for (const number of numbers) await this.#sweepContainer(store.containersOf(drive), number, used.get(`${drive}/${number}`) ?? []);
    }
    if (this.bytesGivenBack > 0) logger.info("unreferenced space was given back", { bytes: this.bytesGivenBack });
  }

  /** Used ranges by drive and container; null when the walk cannot prove that it saw everything. */
  async #used(state: KvState): Promise<Map<string, Range[]> | null> {
    const used = new Map<string, Range[]>();
    const expected = state.content.usage().segments;
    let count = 0;
    for (let after: SegmentId | 0 = 0; ;) {
      const page: readonly Segment[] = await listSegments(state, after, 512);
      for (const { places, fragmentBytes } of page) {
        count++;
        for (const { drive, container, offsetBytes } of places) {
          const key = `${drive}/${container}`;
          const range = { begin: offsetBytes, end: offsetBytes + fragmentBytes + fragmentBlockBytes };
          const ranges = used.get(key);
          if (ranges) ranges.push(range);
          else used.set(key, [range]);
        }
      }
      const last: Segment | undefined = page.at(-1);
      if (page.length < 512 || !last) break;
      after = last.id;
    }
    return count === expected && state.content.usage().segments === expected ? used : null;
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
