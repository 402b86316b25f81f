/**
 * Gives back what nobody needs: orphans of ended sessions, content without an inode, dead segments, and thin ones after moving what lives.
 *
 * Two phases for segments: a segment without live bytes is noted, and only when it has stayed so for `graceMs` (longer than any read that may
 * still use its places), and is proven to be needed by nobody (segment-proof.ts), are its fragments freed, then its record dropped. Freeing twice is
 * harmless, so a crash in between only repeats it.
 * What is to be done stands in the state (orphan, zombie and candidate records), so nothing is forgotten over a restart.
 */
import { CfsError } from "@cfs/core";
import type { ClientId, Clock, InodeNumber, Logger, SegmentId } from "@cfs/core";
import { listCandidates, listOrphans, listZombies } from "@cfs/metadata";
import type { Command, KvState, Segment, ShardDriver } from "@cfs/metadata";
import type { SegmentStore } from "@cfs/storage";
import type { SegmentProof } from "./segment-proof.ts";

export interface ReclaimerParts {
  readonly state: KvState;
  readonly driver: ShardDriver;
  readonly store: Pick<SegmentStore, "freeAll">;
  readonly proof: SegmentProof;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Hears that the record of a segment went. */
  readonly onDropped: (id: SegmentId) => void;
  /** Moves what lives of thin segments elsewhere, a few at a time. */
  readonly compact: (segments: readonly Segment[]) => Promise<unknown>;
}

export interface ReclaimerOptions {
  readonly intervalMs: number;
  readonly graceMs: number;
}

export const reclaimerDefaults: ReclaimerOptions = { intervalMs: 500, graceMs: 3_000 };

/** Regions of lost content dropped by one command, and segments looked at in one round: both bound the time of a turn. */
const regionsPerCommand = 256;
const candidatesPerRound = 256;
const segmentsInParallel = 8;

export class Reclaimer {
  readonly #parts: ReclaimerParts;
  readonly #options: ReclaimerOptions;
  /** When a candidate was first seen without live bytes, on the monotonic clock. */
  readonly #deadSince = new Map<SegmentId, number>();
  #cancel: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #isClosed = false;
  /** Where the next round of candidates begins. */
  #cursor: SegmentId | 0 = 0;
  segmentsDropped = 0;

  constructor(parts: ReclaimerParts, options: ReclaimerOptions = reclaimerDefaults) {
    this.#parts = parts;
    this.#options = options;
  }

  start(): void {
    this.#schedule();
  }

  get deadSegments(): number {
    return this.#deadSince.size;
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#cancel = this.#parts.clock.after(this.#options.intervalMs, () => {
      this.#running = this.round()
        .catch((reason: unknown) =>
          this.#parts.logger.warn("reclaiming failed and will be tried again", { reason: CfsError.from(reason).message }),
        )
        .finally(() => {
          this.#running = null;
          this.#schedule();
        });
    });
  }

  async round(): Promise<void> {
    await this.#dropZombies();
    await this.#dropSegments();
  }

  /** Everything that an ended session still held open goes, and then its record; unless the client came back meanwhile. */
  async endSession(clientId: ClientId, isHeld: () => boolean): Promise<void> {
    const { state } = this.#parts;
    let after: InodeNumber | 0 = 0;
    for (;;) {
      const page = await listOrphans(state, after, 256);
      if (isHeld()) return;
      for (const { ino, owner } of page) if (owner === clientId) this.#propose({ type: "reap", ino });
      if (page.length < 256) break;
      after = page.at(-1)?.ino ?? 0;
    }
    if (state.content.session(clientId)) this.#propose({ type: "closeSession", clientId });
  }

  async #dropZombies(): Promise<void> {
    const { state, driver } = this.#parts;
    for (const ino of await listZombies(state, 0, 64)) {
      while (state.content.isZombie(ino) && !this.#isClosed) {
        const index = this.#propose({ type: "dropContent", ino, regionsMax: regionsPerCommand });
        // The loop gives way to others, and the log is not flooded.
        await driver.durable(index);
      }
    }
  }

  async #dropSegments(): Promise<void> {
    const { state, clock } = this.#parts;
    const page = await listCandidates(state, this.#cursor, candidatesPerRound);
    this.#cursor = page.length < candidatesPerRound ? 0 : (page.at(-1) ?? 0);
    const now = clock.monotonicMs();
    const due: Segment[] = [];
    const thin: Segment[] = [];
    for (const id of page) {
      const segment = state.content.segment(id);
      if (!segment) continue;
      if (segment.liveBytes > 0) {
        this.#deadSince.delete(id);
        thin.push(segment);
        continue;
      }
      const since = this.#deadSince.get(id);
      if (since === undefined) this.#deadSince.set(id, now);
      else if (now - since >= this.#options.graceMs) due.push(segment);
    }
    // What made them dead must be durable: after a crash before that, files point at them again.
    const { driver } = this.#parts;
    if (due.length > 0) await driver.durable(driver.appliedIndex);
    for (let begin = 0; begin < due.length && !this.#isClosed; begin += segmentsInParallel) {
      await Promise.all(due.slice(begin, begin + segmentsInParallel).map((segment) => this.#dropSegment(segment)));
    }
    if (this.#isClosed) return;
    if (thin.length > 0) await this.#parts.compact(thin);
    this.#parts.proof.wake();
  }

  async #dropSegment(segment: Segment): Promise<void> {
    const { proof, state, driver, store, onDropped } = this.#parts;
    const { id } = segment;
    if (!(await proof.isUnneeded(segment))) return;
    // So must be what the proof has seen.
    await driver.durable(driver.appliedIndex);
    const now = state.content.segment(id);
    if (now === null || now.liveBytes > 0) return;
    await store.freeAll(now);
    this.#propose({ type: "dropSegment", segment: id });
    onDropped(id);
    this.#deadSince.delete(id);
    this.segmentsDropped++;
  }

  #propose(command: Command): number {
    const { place, outcome } = this.#parts.driver.propose({ command, clientId: null, seq: 0, payload: [] });
    if (outcome.errno !== 0) this.#parts.logger.warn("a reclaiming command failed", { type: command.type, errno: outcome.errno });
    return place.index;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#running;
  }
}
