/**
 * Space that is kept on a drive for the day when other programs fill it to the last byte: DRIVE/ballast, allotted and never written.
 *
 * A node needs a little room even to serve reads and deletes: its log goes on, and LevelDB begins a new file when it is opened. Without the ballast,
 * a full drive could only be emptied from outside. It is dropped when the drive has next to nothing left, and made again when there is room.
 */
import { identityName } from "./identity.ts";
import type { Io } from "./io.ts";
import { openPlain } from "./io.ts";

export const ballastName = "ballast";

export class Ballast {
  readonly #io: Io;
  readonly #directory: string;
  #bytes: number;

  private constructor(io: Io, directory: string, bytes: number) {
    this.#io = io;
    this.#directory = directory;
    this.#bytes = bytes;
  }

  static async open(io: Io, directory: string): Promise<Ballast> {
    if (!(await io.list(directory)).includes(ballastName)) return new Ballast(io, directory, 0);
    const file = await io.open(`${directory}/${ballastName}`, { ...openPlain, readOnly: true });
    await io.close(file);
    return new Ballast(io, directory, file.sizeBytes);
  }

  /** What the drive's file system has again when it is dropped; 0 for none. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Makes it, where there is none of that size yet. A drive without room for it has none, and an empty mount point gets none. */
  async keep(sizeBytes: number): Promise<void> {
    if (this.#bytes >= sizeBytes || !(await this.#io.list(this.#directory)).includes(identityName)) return;
    const file = await this.#io.open(`${this.#directory}/${ballastName}`, { ...openPlain, create: true });
    try {
      await this.#io.allocate(file, 0, sizeBytes);
      this.#bytes = sizeBytes;
    } finally {
      await this.#io.close(file);
      if (this.#bytes < sizeBytes) {
        this.#bytes = 0;
        await this.#io.unlink(`${this.#directory}/${ballastName}`);
      }
    }
  }

  async drop(): Promise<void> {
    if (this.#bytes === 0) return;
    this.#bytes = 0;
    await this.#io.unlink(`${this.#directory}/${ballastName}`);
  }
}
