/** Metadata: the ordered key-value interface, the namespace state machine, the shard driver. */
export { MemoryKv, scanLimitMax } from "./kv/memory-kv.ts";
export type { KvEntry, KvKey, KvRange, KvWrite, OrderedKv } from "./kv/ordered-kv.ts";
export { accessAclName, defaultAclName } from "./namespace/acl.ts";
export { advanceSession, applyCommand } from "./namespace/apply.ts";
export { listAllDirents, parentOf } from "./namespace/all-dirents.ts";
export type { DirentPage, PlacedDirent } from "./namespace/all-dirents.ts";
export { checkDefaults, checkState } from "./namespace/check/check.ts";
export type { CheckLimits, Problem, ProblemMend } from "./namespace/check/check.ts";
export { decodeCommand, encodeCommand, readCommand, writeCommand } from "./namespace/command-format.ts";
export type * from "./namespace/commands.ts";
export { readSource, writeSource } from "./namespace/content-format.ts";
export { fragmentHeaderBytes } from "./namespace/content/segments.ts";
export { firstNameCookie, hashAfterCookie, nameCookie, nameHash, nameHashMax } from "./namespace/cookie.ts";
export { appliedKey } from "./namespace/keys.ts";
export { KvState, kvStateDefaults } from "./namespace/kv-state.ts";
export type { KvStateOptions } from "./namespace/kv-state.ts";
export { isName, nameBytesMax, nameError, targetBytesMax } from "./namespace/names.ts";
export { isInGroup, isStickyRefusal, mayAccess, mayExecute, mayRead, mayWrite } from "./namespace/permission.ts";
export { locate, promisedBytes, seek, seekData, seekHole } from "./namespace/queries.ts";
export type { Piece } from "./namespace/queries.ts";
export { mendItemsMax, nameOfLost } from "./namespace/mend.ts";
export type { Mend, MendItem } from "./namespace/mend.ts";
export {
  decodeInode,
  encodeInode,
  readClientId,
  readInode,
  readInodeNumber,
  readKind,
  writeInode,
  writeKind,
} from "./namespace/record-format.ts";
export type * from "./namespace/records.ts";
export { fileKinds, inlineBytesMax, regionBytes } from "./namespace/records.ts";
export {
  listCandidates,
  listDirectory,
  listJournalFiles,
  listLimitMax,
  listOrphans,
  listRegions,
  listSegments,
  listSessions,
  listTruncations,
  listZombies,
} from "./namespace/state-scans.ts";
export type { ListedRegion } from "./namespace/state-scans.ts";
export { NotCached } from "./namespace/state.ts";
export type { ApplyContext, ContentState, Missing, Outcome, State } from "./namespace/state.ts";
export { grantCountMax } from "./namespace/system.ts";
export { fileSizeMax } from "./namespace/truncate.ts";
export { fitsInline, needsSpill } from "./namespace/write.ts";
export { hasXattrNamespace, xattrListBytesMax, xattrNameBytesMax, xattrValueBytesMax } from "./namespace/xattr.ts";
export { decodeEntry, encodeEntry } from "./shard/entry-format.ts";
export type { Entry } from "./shard/entry-format.ts";
export type { LogPlace, LogRecord, Proposal, Proposed, ShardDriver, ShardLog, ShardStore } from "./shard/shard-driver.ts";
export { SingleReplica, singleReplicaDefaults } from "./shard/single-replica.ts";
export type { SingleReplicaOptions, SingleReplicaParts } from "./shard/single-replica.ts";
export {
  decodeClientMessage,
  decodeDirectoryReply,
  decodeDirentReply,
  decodeInodeReply,
  decodeNumbersReply,
  decodeServerMessage,
  decodeXattrReply,
  encodeClientMessage,
  encodeDirectoryReply,
  encodeDirentReply,
  encodeInodeReply,
  encodeNumbersReply,
  encodeServerMessage,
  encodeXattrReply,
  pageEntriesMax,
  sessionVersion,
} from "./session/session-format.ts";
export type { ClientMessage, ListedInode, Request, ServerMessage } from "./session/session-format.ts";
export { GroupEntries } from "./shard/group-entries.ts";
export type { PayloadPlace } from "./shard/group-entries.ts";
export { decodeEnvelope, encodeEnvelope, hasPayload } from "./shard/envelope-format.ts";
export { noUpdate } from "./shard/group-log.ts";
export type {
  AppendOptions,
  GroupId,
  GroupLog,
  GroupLogRoom,
  GroupLogStatistics,
  GroupUpdate,
  Payload,
  PayloadUse,
} from "./shard/group-log.ts";
export { decodeGroupRecords, encodeGroupRecord } from "./shard/group-record-format.ts";
export type { GroupRecord } from "./shard/group-record-format.ts";
export { GroupReplay } from "./shard/group-replay.ts";
export { standardRules } from "./shard/driver-rules.ts";
export type { DriverRules } from "./shard/driver-rules.ts";
export { MultiRaft } from "./shard/multi-raft.ts";
export type { GroupStatus } from "./shard/multi-raft.ts";
export type { PeerId, PeerItem, Peers, Placement } from "./shard/peers.ts";
export { multiRaftDefaults } from "./shard/shard-options.ts";
export type { MultiRaftListener, MultiRaftOptions, MultiRaftParts } from "./shard/shard-options.ts";
export type { AppliedCommand, MachineOpener, SnapshotReader, SnapshotWriter, StateMachine } from "./shard/state-machine.ts";
export type { Applied, CallOptions } from "./shard/waiters.ts";
export { decodePeerBatch, encodePeerBatch, peerBatchVersion } from "./shard/peer-batch-format.ts";
