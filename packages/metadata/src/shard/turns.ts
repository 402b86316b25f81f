/**
 * The turn loop of the multi-group driver: collect from every group that has something to do, one write, one batch to each peer, apply; again.
 *
 * Invariant: a group has one Ready out at a time and is busy until it is confirmed; a group that is woken meanwhile has its turn after that.
 * What takes long (staging and activating snapshots) runs aside and joins a later turn, so that it holds up nobody else.
 */
import type { Clock } from "@cfs/core";
import type { GroupLog } from "./group-log.ts";
import type { GroupReplica, Work } from "./group-replica.ts";
import type { Outbox } from "./peers.ts";

export interface TurnParts<Result> {
  readonly log: GroupLog;
  readonly clock: Clock;
  readonly outbox: Outbox;
  /** Runs a turn soon, once. */
  readonly schedule: (run: () => void) => void;
  readonly turnBytesMax: number;
  readonly onWritten: (groupCount: number, durationMs: number) => void;
  readonly onCollected: (replica: GroupReplica<Result>) => void;
  /** The log heard of a snapshot: old files may go. */
  readonly onSnapshotStored: () => void;
  readonly fail: (reason: unknown) => void;
}

export class Turns<Result> {
  readonly #parts: TurnParts<Result>;
  readonly #dirty: Set<GroupReplica<Result>> = new Set();
  /** Staged, to be written in the next turn. */
  #staged: Work<Result>[] = [];
  readonly #aside: Set<Promise<void>> = new Set();
  #isScheduled = false;
  #isStopped = false;
  /** Ends a write that waits for room on the drive. */
  readonly #patience: AbortController = new AbortController();
  #turn: Promise<void> | null = null;

  constructor(parts: TurnParts<Result>) {
    this.#parts = parts;
  }

  /** The group has something to do. */
  add(replica: GroupReplica<Result>): void {
    if (replica.isBusy) {
      replica.isWoken = true;
      return;
    }
    this.#dirty.add(replica);
    this.schedule();
  }

  schedule(): void {
    if (this.#isScheduled || this.#turn !== null || this.#isStopped) return;
    this.#isScheduled = true;
    this.#parts.schedule(() => {
      this.#isScheduled = false;
      if (this.#isStopped) return;
      this.#turn = this.#run()
        .catch((reason: unknown) => this.#parts.fail(reason))
        .finally(() => {
          this.#turn = null;
          if (this.#dirty.size > 0 || this.#staged.length > 0) this.schedule();
        });
    });
  }

  /** The promise is owned here: close() waits for it, and its failure is told. */
  runAside(work: Promise<void>): void {
    const owned = work
      .catch((reason: unknown) => this.#parts.fail(reason))
      .finally(() => {
        this.#aside.delete(owned);
      });
    this.#aside.add(owned);
  }

  /** No turn begins any more. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Stops, and waits for what runs. */
  async close(): Promise<void> {
    this.stop();
    this.#patience.abort();
    await this.#turn;
    await Promise.all(this.#aside);
    this.#dirty.clear();
    this.#staged = [];
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const works = this.#collect();
      this.#parts.outbox.flush();
      if (works.length === 0) return;
      await this.#persist(works);
      // Also when it was stopped meanwhile: who waits for what is durable now hears of it. After a failure nobody does.
      this.#complete(works);
    }
  }

  #collect(): Work<Result>[] {
    const works = this.#staged;
    this.#staged = [];
    let sizeBytes = 0;
    for (const replica of this.#dirty) {
      if (sizeBytes >= this.#parts.turnBytesMax) break;
      this.#dirty.delete(replica);
      if (replica.isClosed) continue;
      if (replica.isBusy) {
        replica.isWoken = true;
        continue;
      }
      const work = replica.collect();
      this.#parts.onCollected(replica);
      if (work === null) continue;
      replica.isBusy = true;
      for (const { data } of work.update.entries) sizeBytes += data.length;
      for (const { bytes } of work.update.payloads) sizeBytes += bytes.length;
      if (work.ready !== null && work.ready.snapshotChunks.length > 0) this.runAside(this.#stage(work));
      else works.push(work);
    }
    return works;
  }

  async #stage(work: Work<Result>): Promise<void> {
    if (work.ready !== null) await work.replica.stage(work.ready);
    if (work.replica.isClosed) return;
    this.#staged.push(work);
    this.schedule();
  }

  async #persist(works: readonly Work<Result>[]): Promise<void> {
    const updates = works.filter(({ mustWrite, replica }) => mustWrite && !replica.isClosed).map(({ update }) => update);
    if (updates.length === 0) return;
    const beginMs = this.#parts.clock.monotonicMs();
    await this.#parts.log.append(updates, { signal: this.#patience.signal });
    this.#parts.onWritten(updates.length, this.#parts.clock.monotonicMs() - beginMs);
  }

  #complete(works: readonly Work<Result>[]): void {
    let isSnapshotStored = false;
    for (const work of works) {
      if (work.replica.isClosed) continue;
      work.replica.send(work);
      isSnapshotStored ||= work.update.snapshot !== null;
    }
    this.#parts.outbox.flush();
    for (const work of works) {
      if (work.replica.isClosed) continue;
      if (work.ready !== null && work.ready.snapshot !== null) this.runAside(this.#activate(work));
      else this.#finish(work);
    }
    if (isSnapshotStored) this.#parts.onSnapshotStored();
  }

  async #activate(work: Work<Result>): Promise<void> {
    const meta = work.ready?.snapshot ?? null;
    if (meta !== null) await work.replica.activate(meta);
    if (!work.replica.isClosed && !this.#isStopped) this.#finish(work);
  }

  #finish(work: Work<Result>): void {
    const { replica } = work;
    replica.finish(work);
    const { isWoken } = replica;
    replica.isWoken = false;
    if (replica.raft.hasReady || isWoken) this.add(replica);
  }
}
