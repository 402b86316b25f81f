/**
 * When journalled data is packed: as a rule when nobody writes any more, because who writes and syncs small pieces needs the drives and the
 * server's thread for that, and what is overwritten or deleted before its turn never has to be packed.
 *
 * Packing begins when nothing was journalled for `quietMs`, and then goes on until nothing waits or somebody writes again. At the latest it begins when
 * `holdBytes` wait, when the journal is `journalBytes` long (living payloads keep its files), or when the oldest item is `ageMs` old; then
 * half of what waits is packed, so that an item waits for twice `ageMs` at most. Waiting costs no safety: the log has it on as many drives as
 * a segment would survive losing. Pure: times and sizes come in.
 */
export interface PackPaceOptions {
  readonly quietMs: number;
  readonly holdBytes: number;
  readonly journalBytes: number;
  readonly ageMs: number;
}

export const packPaceDefaults: PackPaceOptions = { quietMs: 1_000, holdBytes: 256 << 20, journalBytes: 1 << 30, ageMs: 30_000 };

/** Of the room that is left on the drives, this share may wait at most: in the journal it takes several times what it takes packed. */
const roomShare = 1 / 32;

export interface PackLoad {
  readonly nowMs: number;
  readonly waitingBytes: number;
  /** Length of one copy of the journal. */
  readonly journalBytes: number;
  /** User data that still fits the drives. */
  readonly availableBytes: number;
}

export class PackPace {
  readonly #options: PackPaceOptions;
  #lastAddedMs = Number.NEGATIVE_INFINITY;
  /** When the oldest item came, or packing last began; null when nothing waits. */
  #oldestMs: number | null = null;
  /** Packing in spite of writers ends here. */
  #enoughBytes = 0;

  constructor(options: PackPaceOptions = packPaceDefaults) {
    this.#options = options;
  }

  added(nowMs: number): void {
    this.#lastAddedMs = nowMs;
    this.#oldestMs ??= nowMs;
  }

  /** Nothing waits any more. */
  emptied(): void {
    this.#oldestMs = null;
  }

  /** How long packing can wait as things are now; 0 or less when it begins. */
  waitMs({ nowMs, waitingBytes, journalBytes, availableBytes }: PackLoad): number {
    const { quietMs, holdBytes, journalBytes: journalBytesMax, ageMs } = this.#options;
    if (waitingBytes >= Math.min(holdBytes, availableBytes * roomShare) || journalBytes >= journalBytesMax) return 0;
    return Math.min(this.#lastAddedMs + quietMs, (this.#oldestMs ?? nowMs) + ageMs) - nowMs;
  }

  begin({ nowMs, waitingBytes }: PackLoad): void {
    this.#enoughBytes = waitingBytes / 2;
    this.#oldestMs = nowMs;
  }

  /** Whether what began goes on. */
  goesOn({ nowMs, waitingBytes }: PackLoad): boolean {
    return nowMs - this.#lastAddedMs >= this.#options.quietMs || waitingBytes > this.#enoughBytes;
  }
}
