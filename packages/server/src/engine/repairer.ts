/**
 * Repairs fragments: those that a read or a scrub found wrong, and all those of a drive that is gone. The most exposed go first.
 *
 * A repaired fragment is published by one `relocate` command that holds only when the segment still names the old place; a segment that went
 * away meanwhile is left alone and the new fragment freed. A fragment that fails three times becomes a named problem and is not tried again
 * until the drives change.
 *
 * Invariant: no two fragments of a segment are repaired at once, or both would choose the one drive that is free: two fragments on one drive
 * are lost together. Where that is so already, the second one moves.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import { listSegments } from "@cfs/metadata";
import type { FragmentPlace, KvState, Segment, ShardDriver } from "@cfs/metadata";
import type { SegmentStore } from "@cfs/storage";

const queueMax = 65_536;
const attemptsMax = 3;
const inParallel = 4;

export interface RepairProblem {
  readonly segment: SegmentId;
  readonly fragment: number;
  readonly reason: string;
}

export interface RepairProgress {
  readonly queued: number;
  /** Fragments that were found missing by the last walk and have no drive to go to. */
  readonly homeless: number;
  readonly repaired: number;
  readonly repairedBytes: number;
  readonly problems: readonly RepairProblem[];
}

export interface RepairerParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly store: SegmentStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Task {
  readonly segment: SegmentId;
  readonly fragment: number;
  attempts: number;
}

export class Repairer {
  readonly #parts: RepairerParts;
  /** Fragments of segments that miss more than one first, in order of arrival otherwise. */
  readonly #urgent = new Map<string, Task>();
  readonly #queue = new Map<string, Task>();
  readonly #problems = new Map<string, RepairProblem>();
  /** The fragment of each segment that a worker has. */
  readonly #underWay = new Map<SegmentId, number>();
  #idle: (() => void)[] = [];
  #isClosed = false;
  #isRescanNeeded = false;
  readonly #homeless = new Set<string>();
  repaired = 0;
  repairedBytes = 0;

  constructor(parts: RepairerParts) {
    this.#parts = parts;
    parts.store.onDamage = ({ segment, fragment, reason }) => {
      // A drive that is gone is dealt with as a whole.
      if (reason.code !== "NO_DEVICE") this.add(segment.id, fragment);
    };
  }

  get progress(): RepairProgress {
    return {
      queued: this.#urgent.size + this.#queue.size + this.#underWay.size,
      homeless: this.#homeless.size,
      repaired: this.repaired,
      repairedBytes: this.repairedBytes,
      problems: [...this.#problems.values()],
    };
  }

  add(segment: SegmentId, fragment: number): void {
    const key = keyOf(segment, fragment);
    if (this.#isClosed || this.#queue.has(key) || this.#urgent.has(key) || this.#problems.has(key)) return;
    if (this.#underWay.get(segment) === fragment) return;
    if (this.#queue.size >= queueMax) {
      this.#isRescanNeeded = true;
      return;
    }
    const record = this.#parts.state.content.segment(segment);
    if (!record) return;
    const missing = record.places.filter(({ drive }) => !this.#parts.store.containersOf(drive)).length;
    (missing > 1 ? this.#urgent : this.#queue).set(key, { segment, fragment, attempts: 0 });
    this.#work();
  }

  /**
   * Queues every fragment that lies on a drive that is not there, that leaves, or that holds another fragment of the segment, segment by segment;
   * resolves when all are queued.
   */
  async addMissing(): Promise<number> {
    const { state, store } = this.#parts;
    this.#problems.clear();
    let found = 0;
    do {
      this.#isRescanNeeded = false;
      // Known ones stay in the figure until the walk has been everywhere.
      const unseen = new Set(this.#homeless);
      for (let after: SegmentId | 0 = 0; !this.#isClosed;) {
        const page: readonly Segment[] = await listSegments(state, after, 512);
        for (const segment of page) {
          for (const fragment of this.#misplaced(segment)) {
            const key = keyOf(segment.id, fragment);
            unseen.delete(key);
            if (store.repairTarget(segment, fragment) === null) {
              this.#homeless.add(key);
              continue;
            }
            this.#homeless.delete(key);
            found++;
            this.add(segment.id, fragment);
          }
        }
        if (page.length < 512) break;
        after = page.at(-1)?.id ?? 0;
        if (this.#queue.size > queueMax / 2) await this.drain();
      }
      for (const key of unseen) this.#homeless.delete(key);
    } while (this.#isRescanNeeded && !this.#isClosed);
    return found;
  }

  /** Fragments that are not where they should be: no drive there that takes writes, or one with an earlier fragment of the segment. */
  *#misplaced({ places }: Segment): Iterable<number> {
    const drives = new Set<number>();
    for (const [fragment, { drive, container }] of places.entries()) {
      if (!this.#parts.store.isWritable(drive) || container === 0 || drives.has(drive)) yield fragment;
      drives.add(drive);
    }
  }

  #work(): void {
    while (this.#underWay.size < inParallel && !this.#isClosed) {
      const next = this.#nextOf(this.#urgent) ?? this.#nextOf(this.#queue);
      if (!next) return;
      const [key, task] = next;
      this.#urgent.delete(key);
      this.#queue.delete(key);
      this.#underWay.set(task.segment, task.fragment);
      this.#run(key, task)
        .finally(() => this.#ended(task))
        .catch((reason: unknown) => this.#parts.logger.error("repairing failed", { reason: String(reason) }));
    }
  }

  /** The first task whose segment no worker has: at most `inParallel` segments are passed over. */
  #nextOf(tasks: ReadonlyMap<string, Task>): readonly [string, Task] | null {
    for (const entry of tasks) if (!this.#underWay.has(entry[1].segment)) return entry;
    return null;
  }

  #ended({ segment }: Task): void {
    this.#underWay.delete(segment);
    this.#work();
    if (this.#underWay.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #run(key: string, task: Task): Promise<void> {
    try {
      await this.#repair(task);
    } catch (reason) {
      const error = CfsError.from(reason);
      task.attempts++;
      if (task.attempts < attemptsMax) {
        await new Promise<void>((resolve) => {
          this.#parts.clock.after(200 * task.attempts, resolve);
        });
        this.#queue.set(key, task);
        return;
      }
      this.#problems.set(key, { segment: task.segment, fragment: task.fragment, reason: error.message.slice(error.code.length + 2) });
      this.#parts.logger.error("a fragment could not be repaired", {
        segment: task.segment,
        fragment: task.fragment,
        reason: error.message,
      });
    }
  }

  async #repair({ segment: id, fragment }: Task): Promise<void> {
    const { state, store, driver } = this.#parts;
    const segment = state.content.segment(id);
    if (!segment || segment.liveBytes === 0) return;
    const from = segment.places[fragment] as FragmentPlace;
    const to = await store.repair(segment, fragment);
    if (!to) {
      // Another fragment of the segment took the last free drive meanwhile.
      this.#homeless.add(keyOf(id, fragment));
      return;
    }
    const { outcome } = driver.propose({
      command: { type: "relocate", segment: id, fragment, from, to },
      clientId: null,
      seq: 0,
      payload: [],
    });
    if (outcome.errno !== 0) {
      await store.free(to, segment.fragmentBytes);
      return;
    }
    await driver.durable(driver.appliedIndex);
    await store.free(from, segment.fragmentBytes).catch(() => undefined);
    this.#homeless.delete(keyOf(id, fragment));
    this.repaired++;
    this.repairedBytes += segment.fragmentBytes;
  }

  /** Resolves when nothing is queued or under way. */
  async drain(): Promise<void> {
    while (this.#underWay.size > 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#urgent.clear();
    this.#queue.clear();
    if (this.#underWay.size > 0) {
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    }
  }
}

function keyOf(segment: SegmentId, fragment: number): string {
  return `${segment}/${fragment}`;
}
