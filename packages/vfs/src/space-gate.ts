/**
 * NO_SPACE early: a write must find room for its bytes behind everything that is on its way, or the server would refuse it later,
 * when nobody is left to be told.
 *
 * When room seems short, the caller waits until everything sent is durable (then the server's number is fresh, and nothing is
 * counted twice); with nothing on its way the server is asked. Only then the write fails, unless fallocate has set space aside for its range.
 */
import type { InodeNumber } from "@cfs/core";
import { MustWait } from "./attempts.ts";
import type { Durability } from "./durability.ts";
import { quickError } from "./quick-error.ts";
import type { Remote } from "./remote.ts";

/** What one operation has learnt so far; a new one for each. */
export interface SpaceQuestion {
  isFresh: boolean;
  /** Bytes of the range that were set aside; null before the server was asked. */
  promisedBytes: number | null;
}

export function newQuestion(): SpaceQuestion {
  return { isFresh: false, promisedBytes: null };
}

/** What is written. */
export interface WrittenRange {
  readonly ino: InodeNumber;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export class SpaceGate {
  readonly #remote: Remote;
  readonly #durability: Durability;

  constructor(parts: { readonly remote: Remote; readonly durability: Durability }) {
    this.#remote = parts.remote;
    this.#durability = parts.durability;
  }

  /** Inside a step, before its first change. `range`: where bytes of a file go that may have space already. */
  check(needBytes: number, question: SpaceQuestion, range: WrittenRange | null = null): void {
    if (needBytes - (question.promisedBytes ?? 0) <= Math.max(0, this.#durability.spaceLeftBytes)) return;
    if (question.isFresh && this.#durability.isAllDurable) {
      if (range === null || question.promisedBytes !== null) throw quickError("NO_SPACE", `no room for ${needBytes} bytes`);
      throw new MustWait(async () => {
        question.promisedBytes = await this.#remote.promisedBytes(range.ino, range.offsetBytes, range.lengthBytes);
      });
    }
    throw new MustWait(async () => {
      await this.#refresh();
      question.isFresh = true;
    });
  }

  async #refresh(): Promise<void> {
    if (!this.#durability.isAllDurable) {
      await this.#durability.whenDurable();
      return;
    }
    const statistics = await this.#remote.statistics();
    if (this.#durability.isAllDurable) this.#durability.setAvailable(statistics.blocksAvailable * statistics.blockSizeBytes);
  }
}
