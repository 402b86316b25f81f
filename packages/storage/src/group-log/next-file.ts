/**
 * The file that follows the one that is written: made ahead, of its full size and filled with zeros, so that frames overwrite blocks that are there.
 *
 * A file without a header is not part of the log yet: what a crash leaves of it is removed when the log is opened (log-open.ts). Invariant: there is at
 * most one, with the number after the newest file's. Without room on the drive it is tried again until there is some; nothing of a try stays.
 */
import { assert, CfsError } from "@cfs/core";
import type { Logger } from "@cfs/core";

import { beginFile, fileName, makeBlank } from "./log-file.ts";
import type { FileParts, LogFile } from "./log-file.ts";
import type { Room } from "./room.ts";
import type { FileHeader } from "./sector-format.ts";

export interface NextFileParts extends FileParts {
  readonly room: Room;
  readonly logger: Logger;
}

export interface NextFileOptions {
  readonly directory: string;
  readonly fileBytes: number;
}

export class NextFile {
  readonly #parts: NextFileParts;
  readonly #options: NextFileOptions;
  /** `done` tells why it cannot be made, or null when it is there; it never rejects. */
  #ahead: { readonly fileId: number; readonly done: Promise<CfsError | null> } | null = null;
  /** The file whose making ended last, well or not. */
  #settledId = 0;

  constructor(parts: NextFileParts, options: NextFileOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** Makes it in the background, unless that is under way or done. */
  begin(fileId: number): void {
    assert(this.#ahead === null || this.#ahead.fileId === fileId, "one file is made ahead");
    this.#ahead ??= { fileId, done: this.#make(fileId) };
  }

  #make(fileId: number): Promise<CfsError | null> {
    const { room, logger } = this.#parts;
    const { directory, fileBytes } = this.#options;
    return room
      .whenThere(() => makeBlank(this.#parts, directory, fileId, fileBytes))
      .then(
        () => null,
        (reason: unknown) => {
          const error = CfsError.from(reason);
          logger.warn("the next file of the group log could not be made ahead", { fileId, reason: error.message });
          return error;
        },
      )
      .finally(() => {
        this.#settledId = fileId;
      });
  }

  /** False: it is being made, or waits for room; who takes it now waits too. */
  get isSettled(): boolean {
    return this.#ahead === null || this.#settledId === this.#ahead.fileId;
  }

  /** Why it cannot be made, or null. */
  whenSettled(): Promise<CfsError | null> {
    return this.#ahead?.done ?? Promise.resolve(null);
  }

  /** Gives it a header: from now on it is the newest file of the log. */
  async take(header: FileHeader, signal: AbortSignal | null): Promise<LogFile> {
    const { room } = this.#parts;
    const ahead = this.#ahead;
    assert(ahead === null || ahead.fileId === header.fileId, "the file after the newest one is made ahead");
    let problem = ahead === null ? null : await room.needed(ahead.done, signal);
    // What failed in the background, perhaps long ago, is tried once more.
    if (ahead === null || problem !== null) problem = await room.needed(this.#make(header.fileId), signal);
    this.#ahead = null;
    if (problem !== null) throw problem;
    const path = this.#pathOf(header.fileId);
    return room.needed(
      room.whenThere(() => beginFile(this.#parts, path, header)),
      signal,
    );
  }

  #pathOf(fileId: number): string {
    return `${this.#options.directory}/${fileName(fileId)}`;
  }

  /** After the room is closed: a file that was made in vain goes. */
  async close(): Promise<void> {
    const ahead = this.#ahead;
    this.#ahead = null;
    if (ahead === null || (await ahead.done) !== null) return;
    const path = this.#pathOf(ahead.fileId);
    await this.#parts.io.unlink(path).catch((reason: unknown) => {
      this.#parts.logger.warn("a blank file of the group log was left", { path, reason: CfsError.from(reason).message });
    });
  }
}
