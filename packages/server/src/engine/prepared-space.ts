/**
 * Space that is used on the drives and still ready for new data: the unused end of each drive's container, which the next fragments fill; journal
 * files that wait for their next use; and the ballast, which stands for a part of the reserve.
 *
 * Spare journal files go where a drive is full or its free space is below its reserve. The ballast goes when there is next to nothing left, which is
 * the work of other programs, so that log and state can go on; it is made again when there is room. Drives that are directories of one file system
 * have one between them.
 */
import { CfsError } from "@cfs/core";
import type { Logger } from "@cfs/core";
import type { KvState } from "@cfs/metadata";
import type { Ballast, Journal, SegmentStore } from "@cfs/storage";
import { ballastBytes } from "./capacity.ts";

export interface PreparedSpaceParts {
  readonly state: KvState;
  readonly journal: Pick<Journal, "spareBytes" | "giveBackSpares">;
  readonly segments: SegmentStore;
  /** Those in service at the moment. */
  readonly drives: readonly { readonly driveId: string; readonly ballast: Ballast }[];
  readonly journalFileBytes: number;
  readonly logger: Logger;
}

export class PreparedSpace {
  readonly #parts: PreparedSpaceParts;

  constructor(parts: PreparedSpaceParts) {
    this.#parts = parts;
    parts.segments.onDriveFull = (drive) => this.#quietly(drive, () => this.#giveBackSpares(drive));
  }

  /** By the drive's index in the table. */
  bytes(drive: number): number {
    const { segments, journal } = this.#parts;
    const driveId = this.#driveId(drive);
    return segments.unusedBytes(drive) + journal.spareBytes(driveId) + (this.#ballastOf(driveId)?.bytes ?? 0);
  }

  /** To be called with what the drive's file system has free and should keep, again and again. `keepsBallast`: for all drives on it, this one does. */
  async adjust(drive: number, freeBytes: number, reserveBytes: number, keepsBallast: boolean): Promise<void> {
    const ballast = this.#ballastOf(this.#driveId(drive));
    if (ballast === undefined) return;
    await this.#quietly(drive, async () => {
      if (freeBytes < reserveBytes) await this.#giveBackSpares(drive);
      if (!keepsBallast) await ballast.drop();
      else if (freeBytes < ballast.bytes) {
        this.#parts.logger.warn("a drive is full: its ballast was dropped", { drive: this.#driveId(drive), bytes: ballast.bytes });
        await ballast.drop();
      } else if (freeBytes >= reserveBytes) await ballast.keep(ballastBytes(this.#parts.journalFileBytes, reserveBytes));
      return true;
    });
  }

  async #giveBackSpares(drive: number): Promise<boolean> {
    const { journal, logger } = this.#parts;
    const driveId = this.#driveId(drive);
    if (journal.spareBytes(driveId) === 0) return false;
    const bytes = await journal.giveBackSpares(driveId);
    logger.info("a drive is nearly full: prepared journal files were given back", { drive: driveId, bytes });
    return true;
  }

  /** Who needs the space hears that there is none; what is wrong with the drive shows when it is written to. */
  async #quietly(drive: number, work: () => Promise<boolean>): Promise<boolean> {
    try {
      return await work();
    } catch (reason) {
      this.#parts.logger.warn("prepared space was not adjusted", { drive: this.#driveId(drive), reason: CfsError.from(reason).message });
      return false;
    }
  }

  #ballastOf(driveId: string): Ballast | undefined {
    return this.#parts.drives.find((one) => one.driveId === driveId)?.ballast;
  }

  /** Empty for a drive that is not in the table. */
  #driveId(drive: number): string {
    return this.#parts.state.content.superblock()?.drives.find(({ index }) => index === drive)?.id ?? "";
  }
}
