/**
 * The shard driver: orders commands in a log, applies them to the state, and says when they are durable.
 *
 * This file is the interface and its ports; single-replica.ts is the implementation for one node. A replicated driver keeps the same
 * contract with consensus in between. Ports: ShardLog is implemented by the storage package's journal, ShardStore by its mirrored store.
 */
import type { ClientId } from "@cfs/core";
import type { KvWrite, OrderedKv } from "../kv/ordered-kv.ts";
import type { Command } from "../namespace/commands.ts";
import type { Outcome } from "../namespace/state.ts";

/** Where an appended entry is: its index (1, 2, 3 …) and where its payload can be read later. */
export interface LogPlace {
  readonly index: number;
  readonly fileId: number;
  readonly recordOffsetBytes: number;
}

export interface LogRecord extends LogPlace {
  readonly head: Uint8Array;
}

/** An append-only, ordered, durable log. Its owner tells the driver how far it is durable (`logDurable`). */
export interface ShardLog {
  readonly lastIndex: number;
  /** Takes the next index at once; the bytes are copied before it returns. */
  append(head: Uint8Array, payload: readonly Uint8Array[]): LogPlace;
  /** Null when there is room, else resolves when there is: back-pressure, asked before append. */
  whenRoom(): Promise<void> | null;
  /** Visits every entry from `fromIndex` on in order, before the first append. */
  replay(fromIndex: number, visit: (record: LogRecord) => void): Promise<void>;
  /** The log up to `index` may go, but for files that still hold payload in use. */
  retire(index: number, isFileLive: (fileId: number) => boolean): Promise<unknown>;
}

/** The engine below the state: an ordered KV whose batches carry the log index that they bring the state to. */
export interface ShardStore extends OrderedKv {
  /** The index of the newest batch in the engine; 0 when empty. */
  readonly appliedIndex: number;
  /** The effects of the log up to `index`: visible to reads at once, held back from the engine until `openGate` has reached the index. */
  writeAt(batch: readonly KvWrite[], index: number): void;
  /** The log is durable up to `index`. */
  openGate(index: number): void;
}

export interface Proposal {
  readonly command: Command;
  readonly clientId: ClientId | null;
  readonly seq: number;
  readonly payload: readonly Uint8Array[];
}

export interface Proposed {
  readonly place: LogPlace;
  readonly outcome: Outcome;
}

export interface ShardDriver {
  /** Appends and applies, in one turn. The outcome is known at once, durability later. */
  propose(proposal: Proposal): Proposed;
  readonly appliedIndex: number;
  readonly durableIndex: number;
  /** Resolves when everything up to `index` is durable; rejects when the log broke before. */
  durable(index: number): Promise<void>;
  /** Hears every advance of durableIndex. */
  onDurable: ((index: number) => void) | null;
}
