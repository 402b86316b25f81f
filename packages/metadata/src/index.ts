/** Metadata: the ordered key-value interface, the namespace state machine, the shard driver. */
export type { KvEntry, KvKey, KvRange, KvWrite, OrderedKv } from "./kv/ordered-kv.ts";
export type * from "./namespace/commands.ts";
export type * from "./namespace/records.ts";
export { fileKinds, inlineBytesMax, regionBytes } from "./namespace/records.ts";
export { NotCached } from "./namespace/state.ts";
export type { ApplyContext, ContentState, Missing, Outcome, State } from "./namespace/state.ts";
