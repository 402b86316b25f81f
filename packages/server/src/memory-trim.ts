/**
 * Keeps the process small: has the allocator give free memory back when the process has grown.
 *
 * A burst of small writes passes through some buffers of 4 KiB for each file (message, state, three copies of LevelDB). They are freed at once, but
 * the allocator keeps the holes between them, up to 150 MiB. Between two looks nothing is done unless the process grew.
 */
import type { Clock } from "@cfs/core";

export interface MemoryTrimParts {
  readonly clock: Pick<Clock, "after">;
  readonly residentBytes: () => number;
  /** Gives free memory back. */
  readonly trim: () => Promise<unknown>;
}

const intervalMs = 250;
/** Growth since the last time that is worth the milliseconds it costs. */
const growthBytes = 16 << 20;

export class MemoryTrim {
  readonly #parts: MemoryTrimParts;
  #floorBytes: number;
  #cancel: () => void = () => undefined;
  #isClosed = false;

  constructor(parts: MemoryTrimParts) {
    this.#parts = parts;
    this.#floorBytes = parts.residentBytes();
    this.#wait();
  }

  #wait(): void {
    if (!this.#isClosed) this.#cancel = this.#parts.clock.after(intervalMs, () => this.#look());
  }

  #look(): void {
    const { residentBytes, trim } = this.#parts;
    const bytes = residentBytes();
    this.#floorBytes = Math.min(this.#floorBytes, bytes);
    if (bytes < this.#floorBytes + growthBytes) {
      this.#wait();
      return;
    }
    const again = (): void => {
      this.#floorBytes = residentBytes();
      this.#wait();
    };
    trim().then(again, again);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
