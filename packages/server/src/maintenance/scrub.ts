/**
 * Scrub: reads and verifies every fragment of every segment, parity too, repairs what is wrong, and names the files concerned.
 *
 * Fragments come and go while it runs: one that is wrong counts only if the segment still names that place when it is looked at again.
 * `bytesPerSecondMax` holds it back, so that work in the foreground keeps its drives.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import type { Segment } from "@cfs/metadata";
import type { ScrubProgress, ScrubRequest } from "@cfs/rpc";
import { fragmentBlockBytes } from "@cfs/storage";
import type { MirroredKv } from "@cfs/storage";
import type { Engine } from "../engine/engine.ts";
import { AbsentDrives } from "./absent-drives.ts";
import { filesIn, heldFiles } from "./damaged-files.ts";
import { nameOfMember } from "./drive-record.ts";
import type { DriveSet } from "./drive-set.ts";
import { reportWhile } from "./running-report.ts";

export interface ScrubParts {
  readonly engine: Pick<Engine, "state" | "segments" | "repairer" | "allSegments">;
  readonly store: Pick<MirroredKv, "snapshot">;
  readonly driveSet: Pick<DriveSet, "members" | "noteWrongFragment">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Fragments read at once: enough for all drives to be busy, few enough to leave buffers to others. */
const inParallel = 4;
/** Damaged fragments that are remembered one by one; past it only their number is. */
const damagedMax = 10_000;

interface Damaged {
  readonly segment: SegmentId;
  readonly fragment: number;
  /** Which drive it was on, and its directory. */
  readonly where: string;
  readonly reason: string;
}

class ScrubRun {
  readonly #parts: ScrubParts;
  readonly #request: ScrubRequest;
  /** Index of the only drive to read; null for all. */
  readonly #drive: number | null;
  readonly #damaged: Damaged[] = [];
  readonly #absent = new AbsentDrives();
  #findings: string[] = [];
  #startedMs = 0;
  bytesChecked = 0;
  bytesTotal = 0;
  fragmentsChecked = 0;
  fragmentsBad = 0;
  fragmentsRepaired = 0;

  constructor(parts: ScrubParts, request: ScrubRequest, drive: number | null) {
    this.#parts = parts;
    this.#request = request;
    this.#drive = drive;
  }

  report(isDone: boolean): ScrubProgress {
    const { bytesChecked, bytesTotal, fragmentsChecked, fragmentsBad, fragmentsRepaired } = this;
    const findings = this.#findings;
    this.#findings = [];
    return {
      bytesChecked,
      bytesTotal: isDone ? bytesChecked : Math.max(bytesTotal, bytesChecked),
      fragmentsChecked,
      fragmentsBad,
      fragmentsRepaired,
      findings,
      isDone,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { engine, clock, logger } = this.#parts;
    this.#startedMs = clock.monotonicMs();
    this.bytesTotal = await this.#total();
    // What could not be repaired before is tried again, once.
    await engine.repairer.addMissing();
    const working = new Set<Promise<void>>();
    for await (const segment of engine.allSegments()) {
      for (let fragment = 0; fragment < segment.places.length; fragment++) {
        signal.throwIfAborted();
        if (this.#drive !== null && segment.places[fragment]?.drive !== this.#drive) continue;
        await this.#hold(signal);
        const work = this.#check(segment, fragment).finally(() => working.delete(work));
        working.add(work);
        if (working.size >= inParallel) await Promise.race(working);
      }
    }
    await Promise.all(working);
    await this.#repair(signal);
    logger.info("a scrub is done", {
      fragments: this.fragmentsChecked,
      bytes: this.bytesChecked,
      bad: this.fragmentsBad,
      repaired: this.fragmentsRepaired,
    });
  }

  async #total(): Promise<number> {
    const { engine } = this.#parts;
    if (this.#drive === null) return engine.state.content.usage().fragmentBytes;
    let bytes = 0;
    for await (const { places, fragmentBytes } of engine.allSegments()) {
      for (const { drive } of places) if (drive === this.#drive) bytes += fragmentBytes + fragmentBlockBytes;
    }
    return bytes;
  }

  /** Waits as long as more was read than the rate allows. */
  async #hold(signal: AbortSignal): Promise<void> {
    const { bytesPerSecondMax } = this.#request;
    if (bytesPerSecondMax === 0) return;
    const { clock } = this.#parts;
    for (;;) {
      const aheadMs = (this.bytesChecked * 1000) / bytesPerSecondMax - (clock.monotonicMs() - this.#startedMs);
      if (aheadMs <= 0 || signal.aborted) return;
      await new Promise<void>((resolve) => {
        clock.after(Math.min(aheadMs, 500), resolve);
      });
    }
  }

  async #check(segment: Segment, fragment: number): Promise<void> {
    const reason = await this.#verify(segment, fragment);
    this.fragmentsChecked++;
    this.bytesChecked += segment.fragmentBytes + fragmentBlockBytes;
    if (reason === null) return;
    this.fragmentsBad++;
    const drive = segment.places[fragment]?.drive ?? -1;
    this.#parts.engine.repairer.add(segment.id, fragment);
    if (reason.code === "NO_DEVICE") return this.#absent.add({ segment: segment.id, fragment, drive });
    this.#parts.driveSet.noteWrongFragment(drive);
    if (this.#damaged.length >= damagedMax) return;
    this.#damaged.push({ segment: segment.id, fragment, where: this.#nameOf(drive), reason: messageOf(reason) });
  }

  #nameOf(drive: number): string {
    return nameOfMember(this.#parts.driveSet.members, drive);
  }

  /** Why the fragment is wrong; null when it is right, or is not there any more to be right or wrong. */
  async #verify(segment: Segment, fragment: number): Promise<CfsError | null> {
    const { segments, state } = this.#parts.engine;
    let at = segment;
    for (let attempt = 0; ; attempt++) {
      try {
        await segments.checkFragment(at, fragment);
        return null;
      } catch (reason) {
        const now = state.content.segment(at.id);
        if (now === null || now.liveBytes === 0) return null;
        const isMoved = JSON.stringify(now.places[fragment]) !== JSON.stringify(at.places[fragment]);
        if (!isMoved || attempt > 2) return CfsError.from(reason);
        at = structuredClone(now);
      }
    }
  }

  /** Waits for the repairs, says of each fragment whether it is right now, and which files lie there. */
  async #repair(signal: AbortSignal): Promise<void> {
    const { engine, store } = this.#parts;
    if (this.fragmentsBad === 0) return;
    await engine.repairer.drain();
    await this.#lookAgain(signal);
    const ids = [...new Set(this.#damaged.map(({ segment }) => segment))];
    const segments = ids.flatMap((id) => engine.state.content.segment(id) ?? []);
    const files = await filesIn({ state: engine.state, store, segments: engine.segments }, segments, signal);
    for (const { segment: id, fragment, where, reason } of this.#damaged) {
      const still = await this.#stillWrong(id, fragment);
      if (still === null) this.fragmentsRepaired++;
      const problem = engine.repairer.progress.problems.find((one) => one.segment === id && one.fragment === fragment);
      const result = still === null ? "repaired" : `not repaired (${problem?.reason ?? messageOf(still)})`;
      this.#findings.push(`fragment ${fragment} of segment ${id} on ${where}: ${reason}; ${result}${heldFiles(files.get(id))}`);
    }
    const more = this.fragmentsBad - this.#damaged.length - this.#absent.fragments.length;
    if (more > 0) this.#findings.push(`${more} more wrong fragments are not listed; run the scrub again`);
  }

  #stillWrong(id: SegmentId, fragment: number): Promise<CfsError | null> {
    const segment = this.#parts.engine.state.content.segment(id);
    return segment === null ? Promise.resolve(null) : this.#verify(structuredClone(segment), fragment);
  }

  /** What lay on drives that are not there: how much of it is on others now, a line for each drive. */
  async #lookAgain(signal: AbortSignal): Promise<void> {
    for (const absent of this.#absent.fragments) {
      signal.throwIfAborted();
      if ((await this.#stillWrong(absent.segment, absent.fragment)) !== null) continue;
      this.#absent.noteRepaired(absent);
      this.fragmentsRepaired++;
    }
    this.#findings.push(...this.#absent.lines((drive) => this.#nameOf(drive)));
  }
}

function messageOf(error: CfsError): string {
  return error.message.replace(/^[A-Z_]+: /, "");
}

export function scrub(
  parts: ScrubParts,
  request: ScrubRequest,
  drive: number | null,
  signal: AbortSignal,
): AsyncGenerator<ScrubProgress, void, void> {
  const run = new ScrubRun(parts, request, drive);
  return reportWhile(
    parts.clock,
    signal,
    (both) => run.run(both),
    (isDone) => run.report(isDone),
  );
}
