/** POSIX semantics once, for every front end. */
export type { AtimeMode } from "./attributes.ts";
export { CachedVfs } from "./cached-vfs.ts";
export type { CachedVfsHoldings, CachedVfsParts } from "./cached-vfs.ts";
export type { CacheBudgets } from "./partial-state.ts";
export { cachedVfsDefaults } from "./vfs-options.ts";
export type { CachedVfsOptions, CachedVfsSettings } from "./vfs-options.ts";
export type { ListedEntry, Progress, Rejection, Remote, RemoteListener } from "./remote.ts";
export type {
  AttributeChange,
  Attributes,
  Awaitable,
  Caller,
  DirectoryEntry,
  Entry,
  FileKind,
  FileSystemStatistics,
  Invalidation,
  NewNode,
  OpenFile,
  ReadResult,
  Time,
  Validity,
  Vfs,
  VfsWait,
  WriteOptions,
} from "./vfs.ts";
