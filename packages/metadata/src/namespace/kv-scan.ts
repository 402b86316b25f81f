/**
 * Scans that see the store and what is not yet in it: a page of the key-value store, overlaid with dirty records.
 *
 * A scan waits, and meanwhile records change and dirty ones are written. Invariant: the page is the state as it is when the scan
 * resolves. In order of age: the store's page (from some moment during the wait), then every batch written during the wait, then
 * what is dirty at the end. A batch older than the page's moment does no harm: later batches and the page agree on the last value.
 */
import type { KvEntry, KvKey, KvWrite, OrderedKv } from "../kv/ordered-kv.ts";
import { keyAfter } from "./keys.ts";

/** Batches written while scans wait. */
export class ScanWindows {
  readonly #open = new Set<(readonly KvWrite[])[]>();

  /** Called with every batch, before the store gets it. */
  note(batch: readonly KvWrite[]): void {
    for (const window of this.#open) window.push(batch);
  }

  open(): (readonly KvWrite[])[] {
    const window: (readonly KvWrite[])[] = [];
    this.#open.add(window);
    return window;
  }

  close(window: (readonly KvWrite[])[]): void {
    this.#open.delete(window);
  }
}

export interface ScanParts {
  readonly kv: Pick<OrderedKv, "scan">;
  readonly windows: ScanWindows;
  /** Dirty records with keys in [begin, end). */
  readonly dirtyBetween: (begin: KvKey, end: KvKey) => readonly KvWrite[];
}

interface Page {
  readonly entries: readonly KvEntry[];
  /** Where to go on; null at the end of the range. */
  readonly next: KvKey | null;
}

async function onePage({ kv, windows, dirtyBetween }: ScanParts, begin: KvKey, end: KvKey, limit: number): Promise<Page> {
  const window = windows.open();
  try {
    const page = await kv.scan({ begin, end, limit });
    const last = page.at(-1);
    const boundary = page.length < limit || last === undefined ? end : keyAfter(last.key);
    const newer = new Map<KvKey, Uint8Array | null>();
    for (const batch of window) {
      for (const { key, value } of batch) if (key >= begin && key < boundary) newer.set(key, value);
    }
    for (const { key, value } of dirtyBetween(begin, boundary)) newer.set(key, value);
    return cutPage(merge(page, newer), boundary === end ? null : boundary, limit);
  } finally {
    windows.close(window);
  }
}

function merge(page: readonly KvEntry[], newer: ReadonlyMap<KvKey, Uint8Array | null>): readonly KvEntry[] {
  if (newer.size === 0) return page;
  const merged = page.filter((entry) => !newer.has(entry.key));
  for (const [key, value] of newer) if (value !== null) merged.push({ key, value });
  return merged.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

function cutPage(entries: readonly KvEntry[], next: KvKey | null, limit: number): Page {
  if (entries.length <= limit) return { entries, next };
  const cut = entries.slice(0, limit);
  return { entries: cut, next: keyAfter((cut.at(-1) as KvEntry).key) };
}

/** Exactly `limit` entries from `begin` on, fewer only at the end of the range. */
export async function scanMerged(parts: ScanParts, begin: KvKey, end: KvKey, limit: number): Promise<KvEntry[]> {
  const found: KvEntry[] = [];
  let at: KvKey | null = begin;
  while (at !== null && found.length < limit) {
    const page: Page = await onePage(parts, at, end, limit - found.length);
    found.push(...page.entries);
    at = page.next;
  }
  return found;
}
