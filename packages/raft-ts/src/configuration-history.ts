/**
 * Which configuration is in force at which index.
 *
 * A configuration is in force as soon as its entry is in the log, committed or not (thesis, section 4.1); so when the entry is cut off, the one
 * before it is in force again. Invariant: indexes rise, and there is always one at or below every index that is still in the log.
 */
import { assert } from "@cfs/core";
import { type Configuration, emptyConfiguration, isVoter } from "./configuration.ts";
import { decodeConfiguration } from "./configuration-format.ts";
import { type Entry, entryKinds, type NodeId } from "./entry.ts";

interface Item {
  readonly index: number;
  readonly configuration: Configuration;
}

export class ConfigurationHistory {
  #items: Item[];

  constructor(index: number, configuration: Configuration) {
    this.#items = [{ index, configuration }];
  }

  get #last(): Item {
    return this.#items[this.#items.length - 1] as Item;
  }

  get current(): Configuration {
    return this.#last.configuration;
  }

  /** Of the entry that brought the current one. */
  get currentIndex(): number {
    return this.#last.index;
  }

  at(index: number): Configuration {
    return this.#items.findLast((item) => item.index <= index)?.configuration ?? emptyConfiguration;
  }

  /** Whether the node votes in the configuration at `index` or in a later one. */
  isVoterFrom(index: number, node: NodeId): boolean {
    const from = this.#items.findLastIndex((item) => item.index <= index);
    return this.#items.some((item, at) => at >= from && isVoter(item.configuration, node));
  }

  /**
   * Takes over what `entries` mean: they stand behind entries[0].index - 1. True: the current configuration is another one. CORRUPT when one of them
   * cannot be read; then nothing has changed.
   */
  append(entries: readonly Entry[]): boolean {
    const first = entries[0];
    if (first === undefined) return false;
    const before = this.current;
    const items: Item[] = [];
    for (const { index, kind, data } of entries) {
      if (kind === entryKinds.configuration) items.push({ index, configuration: decodeConfiguration(data) });
    }
    if (this.currentIndex >= first.index) this.#cutFrom(first.index);
    for (const item of items) {
      assert(item.index > this.currentIndex, "configurations follow each other along the log");
      this.#items.push(item);
    }
    return this.current !== before;
  }

  #cutFrom(index: number): void {
    const kept = this.#items.filter((item) => item.index < index);
    assert(kept.length > 0, "the configuration before the log is never cut off");
    this.#items = kept;
  }

  /** Forgets what was in force only below `firstIndex - 1`. */
  compact(firstIndex: number): void {
    const keepFrom = this.#items.findLastIndex((item) => item.index < firstIndex);
    if (keepFrom > 0) this.#items = this.#items.slice(keepFrom);
  }

  restore(index: number, configuration: Configuration): void {
    this.#items = [{ index, configuration }];
  }
}
