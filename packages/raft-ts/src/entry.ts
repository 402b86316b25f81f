/**
 * Entries of the log and the hard state: what a replica must not forget.
 *
 * Invariant: an (index, term) pair names one entry for ever, and the log before it (Log Matching; Ongaro's thesis, section 3.5).
 * An entry is never changed after it was made; its bytes belong to the log.
 */

/** Number of a replica within its group: a safe integer from 1, never used again for another replica of the group. */
export type NodeId = number;

/** No replica: the vote of one that has not voted, the leader that is not known. */
export const nobody = 0;

export const entryKinds = {
  /** What a new leader begins its term with; means nothing to the state machine. */
  empty: 0,
  /** A command of the host. */
  command: 1,
  /** A whole configuration, in the form of configuration-format.ts; in force from the moment that it is in the log. */
  configuration: 2,
} as const;

export type EntryKind = (typeof entryKinds)[keyof typeof entryKinds];

export interface Entry {
  /** Term of the leader that made it, from 1. */
  readonly term: number;
  /** Place in the log, from 1, without holes. */
  readonly index: number;
  readonly kind: EntryKind;
  /** Given to the log: must not change afterwards. Large payloads travel beside, by the host. */
  readonly data: Uint8Array;
}

/** What must be on stable storage before anything is answered that depends on it (thesis, figure 3.1, "persistent state"). */
export interface HardState {
  readonly term: number;
  /** Whom this replica voted for in `term`, or 0. */
  readonly vote: NodeId;
  /** Known to be committed. May be lost in a crash; the leader tells it again. */
  readonly commit: number;
}

/** What an entry weighs against the byte limits: its data, and its head in a message at most. */
export const entryHeadBytes = 24;

export function entryBytes(entry: Entry): number {
  return entry.data.length + entryHeadBytes;
}
