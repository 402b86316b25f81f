/** Raft as a pure state machine. Start with raft.ts; the README has a whole example. */
export type { Configuration, ConfigurationChange, ConfigurationStep } from "./configuration.ts";
export { entryBytes, entryHeadBytes, entryKinds, nobody } from "./entry.ts";
export type { Entry, EntryKind, HardState, NodeId } from "./entry.ts";
export type * from "./message.ts";
export { completeOptions, defaultOptions } from "./options.ts";
export type { RaftOptions } from "./options.ts";
export type { Raft, RaftParts } from "./raft.ts";
export { roles } from "./ready.ts";
export type { ProposeRefusal, ProposeResult, ReadAnswer, ReadResult, Ready, Role, SnapshotChunk, SoftState } from "./ready.ts";
export { progressStates } from "./status.ts";
export type { ProgressState, ProgressStatus, RaftStatus } from "./status.ts";
export type { InitialState, LogStorage, SnapshotPart, SnapshotSource } from "./storage.ts";
