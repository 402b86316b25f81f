/**
 * Looks at every drive in service again and again: is its identity still there, and can it be written and read.
 *
 * Open files go on working when a directory is removed or a drive is swapped under it, so errors alone do not tell. A drive that does not
 * answer within `timeoutMs` counts as failed as well: a hanging drive is worse than none.
 */
import { CfsError } from "@cfs/core";
import type { Clock } from "@cfs/core";
import { probeDrive, readIdentity } from "@cfs/storage";
import type { Drive, DriveParts } from "@cfs/storage";

export interface DriveWatchOptions {
  readonly intervalMs: number;
  /** Every so many rounds a block is written and read back as well. */
  readonly probeRounds: number;
  readonly timeoutMs: number;
}

export const driveWatchDefaults: DriveWatchOptions = { intervalMs: 2_000, probeRounds: 5, timeoutMs: 8_000 };

export interface DriveWatchParts extends Pick<DriveParts, "io" | "random"> {
  readonly clock: Clock;
  readonly drives: () => readonly Drive[];
  /** Hears what is wrong with a drive; called once a round as long as it is in service. */
  readonly onFailed: (drive: Drive, reason: CfsError) => void;
}

export class DriveWatch {
  readonly #parts: DriveWatchParts;
  readonly #options: DriveWatchOptions;
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #round = 0;
  #isClosed = false;

  constructor(parts: DriveWatchParts, options: DriveWatchOptions = driveWatchDefaults) {
    this.#parts = parts;
    this.#options = options;
  }

  start(): void {
    if (this.#isClosed) return;
    this.#cancel = this.#parts.clock.after(this.#options.intervalMs, () => {
      this.#running = this.look().finally(() => {
        this.#running = null;
        this.start();
      });
    });
  }

  /** One round over all drives at once; never rejects. */
  async look(): Promise<void> {
    const mustProbe = this.#round++ % this.#options.probeRounds === 0;
    await Promise.all(
      this.#parts.drives().map(async (drive) => {
        try {
          await this.#withinTime(drive, this.#examine(drive, mustProbe));
        } catch (reason) {
          const error = CfsError.from(reason);
          // A full drive is no failed drive: it takes no new data, which its capacity says.
          if (error.code !== "NO_SPACE" && !this.#isClosed) this.#parts.onFailed(drive, error);
        }
      }),
    );
  }

  async #examine(drive: Drive, mustProbe: boolean): Promise<void> {
    const identity = await readIdentity(this.#parts.io, drive.path).catch((reason: unknown) => {
      const error = CfsError.from(reason);
      if (error.code !== "NOT_FOUND") throw error;
      throw new CfsError("NOT_FOUND", `${drive.path} holds no identity.json any more: the drive was unmounted or emptied`, {
        cause: error,
      });
    });
    if (identity.driveId !== drive.driveId) {
      throw new CfsError("NO_DEVICE", `${drive.path} is now drive ${identity.driveId}, not ${drive.driveId}`);
    }
    if (mustProbe) await probeDrive(this.#parts, drive.path);
  }

  #withinTime(drive: Drive, work: Promise<void>): Promise<void> {
    const { timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.clock.after(timeoutMs, () =>
        reject(new CfsError("TIMED_OUT", `${drive.path} does not answer for ${timeoutMs} ms`)),
      );
      work.then(resolve, reject).finally(cancel);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#running;
  }
}
