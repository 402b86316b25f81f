/** Raft as a pure state machine. Start with raft.ts; the README has a whole example. */
export { applyChange, emptyConfiguration, isJoint, isVoter, membersMax, membersOf } from "./configuration.ts";
export type { Configuration, ConfigurationChange, ConfigurationStep } from "./configuration.ts";
export { decodeConfiguration, encodeConfiguration } from "./configuration-format.ts";
export { entryBytes, entryHeadBytes, entryKinds, nobody } from "./entry.ts";
export type { Entry, EntryKind, HardState, NodeId } from "./entry.ts";
export { MemoryLog } from "./memory-log.ts";
export type * from "./message.ts";
export { completeOptions, defaultOptions } from "./options.ts";
export type { RaftOptions } from "./options.ts";
export { Raft } from "./raft.ts";
export type { RaftParts } from "./raft.ts";
export { roles } from "./ready.ts";
export type { ProposeRefusal, ProposeResult, ReadAnswer, ReadResult, Ready, Role, SnapshotChunk, SoftState } from "./ready.ts";
export { standardRules } from "./rules.ts";
export type { RaftRules } from "./rules.ts";
export { progressStates } from "./status.ts";
export type { ProgressState, ProgressStatus, RaftStatus } from "./status.ts";
export type { InitialState, LogStorage, SnapshotPart, SnapshotSource } from "./storage.ts";
