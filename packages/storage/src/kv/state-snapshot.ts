/**
 * The state as it was at one moment, for whoever reads all of it while it goes on: checks, and the search for names.
 *
 * Invariant: it is the state after one exact batch, because every batch is atomic. A value that is wrong in its member is CORRUPT here: a
 * repair of the living store does not change what a snapshot shows.
 */
import { assert, CfsError } from "@cfs/core";
import type { KvEntry, KvKey, KvRange, OrderedKv } from "@cfs/metadata";
import type { LevelEngine } from "./level-engine.ts";

export class StateSnapshot implements OrderedKv {
  readonly #engine: Pick<LevelEngine, "get" | "scan" | "close">;
  #closed: Promise<void> | null = null;

  constructor(engine: Pick<LevelEngine, "get" | "scan" | "close">) {
    this.#engine = engine;
  }

  get(key: KvKey): Uint8Array | null {
    return this.#engine.get(key);
  }

  async scan({ begin, end, limit }: KvRange): Promise<readonly KvEntry[]> {
    assert(limit >= 1 && limit <= 10_000, "a scan asks for 1 to 10,000 entries");
    if (begin >= end) return [];
    return this.#engine.scan(begin, end, limit, (_key, reason) => {
      throw reason;
    });
  }

  write(): void {
    throw new CfsError("READ_ONLY", "a snapshot of the state is not written to");
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed ??= this.#engine.close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
