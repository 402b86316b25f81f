/** What a mount can be told; every field has a default. */
import type { AtimeMode } from "./attributes.ts";
import { cacheBudgetDefaults } from "./partial-state.ts";
import type { CacheBudgets } from "./partial-state.ts";

export interface CachedVfsOptions {
  readonly cache: CacheBudgets;
  /** Memory of commands and payloads that are not durable yet, bytes; past it writers wait. Default 64 MiB. */
  readonly writeBytesMax: number;
  /** Memory kept for payloads, bytes, at least as much as `writeBytesMax` to be of use. Default 96 MiB. */
  readonly poolBytesMax: number;
  /** When reading changes the access time. Default "relatime". */
  readonly atime: AtimeMode;
  /** Every change is READ_ONLY. Default false. */
  readonly isReadOnly: boolean;
  /**
   * The front end's kernel has a write-back cache: it sends the times of what it wrote from its pages by itself. Default false:
   * writes from a page cache set mtime and ctime like others.
   */
  readonly kernelOwnsTimes: boolean;
  /** Reads and writes of files pass by the page cache of the front end's kernel; maps still use it. Default false. */
  readonly bypassPageCache: boolean;
}

export const cachedVfsDefaults: CachedVfsOptions = {
  cache: cacheBudgetDefaults,
  writeBytesMax: 64 << 20,
  poolBytesMax: 96 << 20,
  atime: "relatime",
  isReadOnly: false,
  kernelOwnsTimes: false,
  bypassPageCache: false,
};

export type CachedVfsSettings = Partial<Omit<CachedVfsOptions, "cache">> & { readonly cache?: Partial<CacheBudgets> };

export function withDefaults(settings: CachedVfsSettings): CachedVfsOptions {
  return { ...cachedVfsDefaults, ...settings, cache: { ...cacheBudgetDefaults, ...settings.cache } };
}
