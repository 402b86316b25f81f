/** The words of raft-ts that formats of this folder use: a format imports only core and what stands beside it. */
export { entryKinds, readMessage, writeMessage } from "raft-ts";
export type { Configuration, Entry, EntryKind, HardState, Message, SnapshotMeta } from "raft-ts";
