/** POSIX semantics once, for every front end. */
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
} from "./vfs.ts";
