/**
 * NO_SPACE early: a write must find room for its bytes behind everything that is on its way, or the server would refuse it later,
 * when nobody is left to be told.
 *
 * When room seems short, the caller waits until everything sent is durable (then the server's number is fresh, and nothing is
 * counted twice); with nothing on its way the server is asked. Only then the write fails.
 */
import { MustWait } from "./attempts.ts";
import type { Durability } from "./durability.ts";
import { quickError } from "./quick-error.ts";
import type { Remote } from "./remote.ts";

/** What one operation has learnt so far; a new one for each. */
export interface SpaceQuestion {
  isFresh: boolean;
}

export class SpaceGate {
  readonly #remote: Remote;
  readonly #durability: Durability;

  constructor(parts: { readonly remote: Remote; readonly durability: Durability }) {
    this.#remote = parts.remote;
    this.#durability = parts.durability;
  }

  /** Inside a step, before its first change. */
  check(needBytes: number, question: SpaceQuestion): void {
    if (needBytes <= this.#durability.spaceLeftBytes) return;
    if (question.isFresh && this.#durability.isAllDurable) throw quickError("NO_SPACE", `no room for ${needBytes} bytes`);
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
