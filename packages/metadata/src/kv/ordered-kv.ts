/**
 * The ordered key-value interface under the namespace: in memory, on LevelDB, later behind Raft.
 *
 * Keys are binary strings (every char code 0 to 255), so that they sort bytewise by `<` and serve as Map keys. Values are bytes,
 * borrowed: a caller never changes what it got or gave. Reads see every write that was made, durable or not.
 */

/** Every char code is 0 to 255. */
export type KvKey = string;

export interface KvEntry {
  readonly key: KvKey;
  readonly value: Uint8Array;
}

/** `value` null deletes. */
export interface KvWrite {
  readonly key: KvKey;
  readonly value: Uint8Array | null;
}

export interface KvRange {
  /** First key that counts. */
  readonly begin: KvKey;
  /** First key that no longer counts. */
  readonly end: KvKey;
  /** 1 to 10,000 entries. */
  readonly limit: number;
}

export interface OrderedKv {
  /** Synchronous, so that a state machine can run without waiting. */
  get(key: KvKey): Uint8Array | null;
  /** Up to `limit` entries in order; a state as of some moment during the call. */
  scan(range: KvRange): Promise<readonly KvEntry[]>;
  /** Visible to reads at once; all of it or nothing survives a crash. */
  write(batch: readonly KvWrite[]): void;
  /** Resolves when every write made before the call is in the engine; with `sync`, on stable storage. */
  flush(options: { sync: boolean }): Promise<void>;
  close(): Promise<void>;
}
