/**
 * Space that is used on the drives and still ready for new data: the unused end of each drive's container, which the next fragments fill, and
 * journal files that wait for their next use, which are removed where a drive has little left: it is full, or its free space is below its reserve.
 */
import { CfsError } from "@cfs/core";
import type { Logger } from "@cfs/core";
import type { KvState } from "@cfs/metadata";
import type { Journal, SegmentStore } from "@cfs/storage";

export interface PreparedSpaceParts {
  readonly state: KvState;
  readonly journal: Pick<Journal, "spareBytes" | "giveBackSpares">;
  readonly segments: SegmentStore;
  readonly logger: Logger;
}

export class PreparedSpace {
  readonly #parts: PreparedSpaceParts;

  constructor(parts: PreparedSpaceParts) {
    this.#parts = parts;
    parts.segments.onDriveFull = (drive) => this.giveBack(drive);
  }

  /** By the drive's index in the table. */
  bytes(drive: number): number {
    return this.#parts.segments.unusedBytes(drive) + this.spareBytes(drive);
  }

  /** What of it the journal holds. */
  spareBytes(drive: number): number {
    const driveId = this.#driveId(drive);
    return driveId === null ? 0 : this.#parts.journal.spareBytes(driveId);
  }

  /** Removes what is not needed now; true when the drive has more room than before. */
  async giveBack(drive: number): Promise<boolean> {
    const { journal, logger } = this.#parts;
    const driveId = this.#driveId(drive);
    if (driveId === null || journal.spareBytes(driveId) === 0) return false;
    try {
      const bytes = await journal.giveBackSpares(driveId);
      logger.info("a drive is nearly full: prepared journal files were given back", { drive: driveId, bytes });
      return true;
    } catch (reason) {
      // Who needs the space hears that there is none; what is wrong with the drive shows when it is written to.
      logger.warn("prepared journal files could not be removed", { drive: driveId, reason: CfsError.from(reason).message });
      return false;
    }
  }

  #driveId(drive: number): string | null {
    return this.#parts.state.content.superblock()?.drives.find(({ index }) => index === drive)?.id ?? null;
  }
}
