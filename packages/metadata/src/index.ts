/** Metadata: the ordered key-value interface, the namespace state machine, the shard driver. */
export type { KvEntry, KvKey, KvRange, KvWrite, OrderedKv } from "./kv/ordered-kv.ts";
export { decodeCommand, encodeCommand, readCommand, writeCommand } from "./namespace/command-format.ts";
export type * from "./namespace/commands.ts";
export { firstNameCookie, hashAfterCookie, nameCookie, nameHash, nameHashMax } from "./namespace/cookie.ts";
export { appliedKey } from "./namespace/keys.ts";
export { isName, nameBytesMax, nameError, targetBytesMax } from "./namespace/names.ts";
export { decodeInode, encodeInode, readInode, readInodeNumber, readKind, readClientId, writeInode, writeKind } from "./namespace/record-format.ts";
export { readSource, writeSource } from "./namespace/content-format.ts";
export type * from "./namespace/records.ts";
export { fileKinds, inlineBytesMax, regionBytes } from "./namespace/records.ts";
export { NotCached } from "./namespace/state.ts";
export type { ApplyContext, ContentState, Missing, Outcome, State } from "./namespace/state.ts";
