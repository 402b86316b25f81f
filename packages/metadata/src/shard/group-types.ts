/** The words of raft-ts that formats of this folder use: a format imports only core and what stands beside it. */
export { entryKinds } from "raft-ts";
export type { Configuration, Entry, EntryKind, HardState, SnapshotMeta } from "raft-ts";
