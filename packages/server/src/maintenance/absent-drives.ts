/**
 * Fragments whose drive is not there, as a scrub and a check of the file system find them: one line for a drive, not one for each fragment.
 *
 * Each is remembered up to a number, so that it can be looked at again after a repair; past that only how many there are.
 */
import type { SegmentId } from "@cfs/core";

export interface AbsentFragment {
  readonly segment: SegmentId;
  readonly fragment: number;
  /** In the superblock's table. */
  readonly drive: number;
}

const rememberedMax = 50_000;

export class AbsentDrives {
  readonly #fragments: AbsentFragment[] = [];
  readonly #countByDrive = new Map<number, number>();
  readonly #repairedByDrive = new Map<number, number>();

  add(absent: AbsentFragment): void {
    this.#countByDrive.set(absent.drive, (this.#countByDrive.get(absent.drive) ?? 0) + 1);
    if (this.#fragments.length < rememberedMax) this.#fragments.push(absent);
  }

  /** Those that are remembered one by one. */
  get fragments(): readonly AbsentFragment[] {
    return this.#fragments;
  }

  noteRepaired({ drive }: AbsentFragment): void {
    this.#repairedByDrive.set(drive, (this.#repairedByDrive.get(drive) ?? 0) + 1);
  }

  /** `nameOf` says which drive a number of the table is. */
  lines(nameOf: (drive: number) => string): string[] {
    return [...this.#countByDrive]
      .toSorted(([one], [other]) => one - other)
      .map(([drive, count]) => {
        const repaired = this.#repairedByDrive.get(drive) ?? 0;
        const elsewhere = repaired === 0 ? "" : `, ${repaired === count ? "all" : repaired} rebuilt on other drives`;
        const next =
          repaired === count ? "" : "; bring it back (cfs admin drive add DIR), or put another in its place (cfs admin drive replace)";
        return `${nameOf(drive)} is not there: ${count} fragment${count === 1 ? "" : "s"} of it ${count === 1 ? "is" : "are"} missing${elsewhere}${next}`;
      });
  }
}
