/**
 * The shard driver of a single node: one log, one state, no peers.
 *
 * Invariant: a command is applied exactly in log order, and the store never gets a state that is ahead of the durable log; so after a crash
 * the store's state plus a replay of the log after its index is the state at the log's end.
 * A checkpoint makes the store durable and lets old log go; it bounds the replay at start by entries and bytes.
 */
import { CfsError, assert } from "@cfs/core";
import type { Clock, Logger } from "@cfs/core";
import { advanceSession, applyCommand } from "../namespace/apply.ts";
import type { KvState } from "../namespace/kv-state.ts";
import type { ApplyContext } from "../namespace/state.ts";
import { decodeEntry, encodeEntry } from "./entry-format.ts";
import type { Proposal, Proposed, ShardDriver, ShardLog, ShardStore } from "./shard-driver.ts";

export interface SingleReplicaParts {
  readonly log: ShardLog;
  readonly store: ShardStore;
  readonly state: KvState;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SingleReplicaOptions {
  /** The state goes to the store this often while it changes, milliseconds. */
  readonly storeIntervalMs: number;
  /** … or when this many records have changed. */
  readonly storeRecordsMax: number;
  /** A checkpoint after this many entries. */
  readonly checkpointEntries: number;
  /** … or this many bytes of entries and payloads: a start reads them again, from every drive that has them. */
  readonly checkpointBytes: number;
  /** … or this many milliseconds after the first entry since the last one. */
  readonly checkpointIntervalMs: number;
}

export const singleReplicaDefaults: SingleReplicaOptions = {
  storeIntervalMs: 1_000,
  storeRecordsMax: 8192,
  checkpointEntries: 20_000,
  checkpointBytes: 64 << 20,
  checkpointIntervalMs: 10_000,
};

interface Waiter {
  readonly index: number;
  readonly resolve: () => void;
  readonly reject: (reason: CfsError) => void;
}

export class SingleReplica implements ShardDriver {
  readonly #parts: SingleReplicaParts;
  readonly #options: SingleReplicaOptions;
  #appliedIndex: number;
  #durableIndex: number;
  #storedIndex: number;
  #checkpointIndex: number;
  /** Appended since the last checkpoint began. */
  #loggedBytes = 0;
  /** Sorted by index: the log becomes durable in order. */
  #waiters: Waiter[] = [];
  #cancelStore: (() => void) | null = null;
  #cancelCheckpoint: (() => void) | null = null;
  #checkpointing: Promise<void> | null = null;
  #isClosed = false;
  #broken: CfsError | null = null;
  onDurable: ((index: number) => void) | null = null;
  /** Hears a failure of the background work; the node cannot go on without its store. */
  onFailed: ((error: CfsError) => void) | null = null;

  private constructor(parts: SingleReplicaParts, options: SingleReplicaOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#appliedIndex = parts.store.appliedIndex;
    this.#storedIndex = this.#appliedIndex;
    this.#checkpointIndex = this.#appliedIndex;
    this.#durableIndex = parts.log.lastIndex;
  }

  /** Replays the log after the store's index. */
  static async open(parts: SingleReplicaParts, options: SingleReplicaOptions = singleReplicaDefaults): Promise<SingleReplica> {
    const replica = new SingleReplica(parts, options);
    const from = replica.#appliedIndex;
    if (parts.log.lastIndex < from) {
      throw new CfsError(
        "CORRUPT",
        `the journal ends at entry ${parts.log.lastIndex} but the state is at ${from}: journal files are missing`,
      );
    }
    await parts.log.replay(from + 1, (record) => {
      assert(record.index === replica.#appliedIndex + 1, "the log is replayed without a gap");
      replica.#apply(decodeEntry(record.head), record);
    });
    assert(replica.#appliedIndex === parts.log.lastIndex, "the whole log was replayed");
    parts.store.openGate(replica.#durableIndex);
    replica.#scheduleStore();
    return replica;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  get durableIndex(): number {
    return this.#durableIndex;
  }

  propose(proposal: Proposal): Proposed {
    if (this.#isClosed) throw new CfsError("IO", "the server is closing");
    const head = encodeEntry(proposal);
    const place = this.#parts.log.append(head, proposal.payload);
    this.#loggedBytes += head.length;
    for (const { length } of proposal.payload) this.#loggedBytes += length;
    assert(place.index === this.#appliedIndex + 1, "the log hands out indexes without a gap");
    const outcome = this.#apply(proposal, place);
    this.#scheduleStore();
    return { place, outcome };
  }

  #apply(proposal: Omit<Proposal, "payload">, place: ApplyContext["payload"] & { readonly index: number }): Proposed["outcome"] {
    const { state } = this.#parts;
    const outcome = applyCommand(state, proposal.command, { clientId: proposal.clientId, payload: place });
    if (proposal.clientId !== null) {
      advanceSession(state.content, proposal.clientId, proposal.seq);
    }
    this.#appliedIndex = place.index;
    return outcome;
  }

  durable(index: number): Promise<void> {
    if (index <= this.#durableIndex) return Promise.resolve();
    assert(index <= this.#appliedIndex, "only what was proposed can become durable");
    if (this.#broken !== null) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      const at = this.#waiters.findLastIndex((waiter) => waiter.index <= index);
      this.#waiters.splice(at + 1, 0, { index, resolve, reject });
    });
  }

  /** The log cannot go on: nothing more becomes durable, and nobody waits for it in vain. */
  logBroken(reason: CfsError): void {
    this.#broken ??= reason;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(reason);
  }

  /** The log is durable up to `index`. */
  logDurable(index: number): void {
    if (index <= this.#durableIndex) return;
    this.#durableIndex = index;
    this.#parts.store.openGate(index);
    let done = 0;
    while (done < this.#waiters.length && (this.#waiters[done] as Waiter).index <= index) done++;
    for (const waiter of this.#waiters.splice(0, done)) waiter.resolve();
    this.onDurable?.(index);
  }

  #scheduleStore(): void {
    if (this.#parts.state.dirtyCount >= this.#options.storeRecordsMax) this.#storeNow();
    else this.#cancelStore ??= this.#parts.clock.after(this.#options.storeIntervalMs, () => this.#storeNow());
    const { checkpointEntries, checkpointBytes } = this.#options;
    if (this.#appliedIndex - this.#checkpointIndex >= checkpointEntries || this.#loggedBytes >= checkpointBytes) this.#startCheckpoint();
    else this.#cancelCheckpoint ??= this.#parts.clock.after(this.#options.checkpointIntervalMs, () => this.#startCheckpoint());
  }

  /** Hands what changed to the store, as of the applied index; the store holds it back until the log is durable up to there. */
  #storeNow(): void {
    this.#cancelStore?.();
    this.#cancelStore = null;
    if (this.#appliedIndex === this.#storedIndex) return;
    this.#parts.store.writeAt(this.#parts.state.encodeDirty(), this.#appliedIndex);
    this.#storedIndex = this.#appliedIndex;
  }

  #startCheckpoint(): void {
    this.#cancelCheckpoint?.();
    this.#cancelCheckpoint = null;
    if (this.#checkpointing || this.#isClosed) return;
    this.#loggedBytes = 0;
    this.#checkpointing = this.checkpoint()
      .catch((reason: unknown) => this.onFailed?.(CfsError.from(reason)))
      .finally(() => {
        this.#checkpointing = null;
      });
  }

  /** Makes the state durable in the store and lets the log before it go. */
  async checkpoint(): Promise<void> {
    this.#storeNow();
    const index = this.#storedIndex;
    await this.durable(index);
    await this.#parts.store.flush({ sync: true });
    this.#checkpointIndex = index;
    // What a file held may have been let go by commands that a crash can still take back: only when these are durable too may it go.
    const { content } = this.#parts.state;
    const dead = new Set<number>();
    await this.#parts.log.retire(index, (fileId) => {
      if ((content.journalFile(fileId)?.liveExtents ?? 0) === 0) dead.add(fileId);
      return true;
    });
    if (dead.size === 0) return;
    await this.durable(this.#appliedIndex);
    await this.#parts.log.retire(index, (fileId) => !dead.has(fileId));
  }

  /** Brings everything to the store and stops. The log and the store are closed by their owner. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#cancelStore?.();
    this.#cancelCheckpoint?.();
    await this.#checkpointing;
    await this.checkpoint();
    this.#isClosed = true;
  }
}
