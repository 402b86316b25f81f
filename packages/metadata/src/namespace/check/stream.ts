/** All records of one kind in key order, page by page; a record that cannot be decoded is reported and passed over. */
import { CfsError } from "@cfs/core";
import type { KvEntry, OrderedKv } from "../../kv/ordered-kv.ts";
import { keyAfter, kindRange } from "../keys.ts";
import type { CheckRun } from "./check.ts";

const pageEntries = 1000;

/** Pages, not entries: waiting once per entry would cost more than the check itself. */
export async function* pagesOf(kv: Pick<OrderedKv, "scan">, letter: string): AsyncGenerator<readonly KvEntry[]> {
  const { begin, end } = kindRange(letter);
  for (let at = begin; ;) {
    const page = await kv.scan({ begin: at, end, limit: pageEntries });
    if (page.length > 0) yield page;
    if (page.length < pageEntries) return;
    at = keyAfter((page.at(-1) as KvEntry).key);
  }
}

/** Null after reporting bytes that are not what they should be. */
export function decodeOr<T>(run: CheckRun, entry: KvEntry, decode: (bytes: Uint8Array) => T): T | null {
  try {
    return decode(entry.value);
  } catch (reason) {
    if (!(reason instanceof CfsError)) throw reason;
    run.report("record", Buffer.from(entry.key, "latin1").toString("hex"), reason.message);
    return null;
  }
}

/** Walks one kind of record beside another: gives what comes before or belongs to a number that only grows. */
export class Follower {
  readonly #pages: AsyncGenerator<readonly KvEntry[]>;
  readonly #numberOf: (key: string) => number;
  #page: readonly KvEntry[] = [];
  #at = 0;

  constructor(kv: Pick<OrderedKv, "scan">, letter: string, numberOf: (key: string) => number) {
    this.#pages = pagesOf(kv, letter);
    this.#numberOf = numberOf;
  }

  /** Calls `each` with every entry whose number is at most `upTo`, each once over all calls. */
  async take(upTo: number, each: (number: number, entry: KvEntry) => void): Promise<void> {
    for (;;) {
      for (; this.#at < this.#page.length; this.#at++) {
        const entry = this.#page[this.#at] as KvEntry;
        const number = this.#numberOf(entry.key);
        if (number > upTo) return;
        each(number, entry);
      }
      const next = await this.#pages.next();
      if (next.done === true) return;
      this.#page = next.value;
      this.#at = 0;
    }
  }
}
