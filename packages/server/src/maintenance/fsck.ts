/**
 * fsck: proves that the namespace, its extents, reference counts and sums agree with each other, and that every fragment is where it should be.
 *
 * The namespace is recounted on a snapshot, so mounts go on meanwhile. Fragments are looked at in the living state: one that is wrong counts only
 * if the segment still names that place. Reads only; `repair` rebuilds fragments and rewrites sums, everything else is only told.
 */
import { CfsError } from "@cfs/core";
import type { Clock, Logger, SegmentId } from "@cfs/core";
import { checkState } from "@cfs/metadata";
import type { KvRange, OrderedKv, Segment } from "@cfs/metadata";
import type { FsckProgress, FsckRequest } from "@cfs/rpc";
import type { MirroredKv } from "@cfs/storage";
import type { Engine } from "../engine/engine.ts";
import { reportWhile } from "./running-report.ts";

export interface FsckParts {
  readonly engine: Pick<Engine, "state" | "driver" | "segments" | "repairer" | "allSegments">;
  readonly store: Pick<MirroredKv, "snapshot">;
  readonly clock: Clock;
  readonly logger: Logger;
}

const inParallel = 16;
/** Findings that are told one by one. */
const findingsMax = 1_000;

interface Missing {
  readonly segment: SegmentId;
  readonly fragment: number;
}

class FsckRun {
  readonly #parts: FsckParts;
  readonly #isRepair: boolean;
  readonly #missing: Missing[] = [];
  #findings: string[] = [];
  #phase = "namespace";
  #itemsChecked = 0;
  #itemsTotal = 0;
  #found = 0;
  #repaired = 0;

  constructor(parts: FsckParts, isRepair: boolean) {
    this.#parts = parts;
    this.#isRepair = isRepair;
  }

  report(isDone: boolean): FsckProgress {
    const findings = this.#findings;
    this.#findings = [];
    return {
      phase: this.#phase,
      itemsChecked: this.#itemsChecked,
      itemsTotal: this.#itemsTotal,
      problemsFound: this.#found,
      problemsRepaired: this.#repaired,
      findings,
      isDone,
    };
  }

  #tell(finding: string): void {
    this.#found++;
    if (this.#found <= findingsMax) this.#findings.push(finding);
    else if (this.#found === findingsMax + 1) this.#findings.push("more problems are counted and not listed");
  }

  async run(signal: AbortSignal): Promise<void> {
    await this.#checkNamespace(signal);
    await this.#checkFragments(signal);
    if (this.#isRepair) await this.#repair(signal);
    this.#parts.logger.info("a check of the file system is done", { problems: this.#found, repaired: this.#repaired });
  }

  async #checkNamespace(signal: AbortSignal): Promise<void> {
    const { engine, store } = this.#parts;
    await engine.driver.checkpoint();
    await using snapshot = await store.snapshot();
    const counted = new CountedKv(snapshot, signal, (count) => (this.#itemsChecked += count));
    for (const { what, id, message } of await checkState(counted)) this.#tell(`${what}${id === "" ? "" : ` ${id}`}: ${message}`);
  }

  async #checkFragments(signal: AbortSignal): Promise<void> {
    const { engine } = this.#parts;
    this.#phase = "fragments";
    this.#itemsChecked = 0;
    this.#itemsTotal = engine.state.content.usage().segments;
    const working = new Set<Promise<void>>();
    for await (const segment of engine.allSegments()) {
      signal.throwIfAborted();
      const work = this.#checkSegment(segment).finally(() => working.delete(work));
      working.add(work);
      if (working.size >= inParallel) await Promise.race(working);
    }
    await Promise.all(working);
  }

  async #checkSegment(segment: Segment): Promise<void> {
    for (let fragment = 0; fragment < segment.places.length; fragment++) {
      const reason = await this.#wrong(segment, fragment);
      if (reason === null) continue;
      this.#tell(reason);
      this.#missing.push({ segment: segment.id, fragment });
    }
    this.#itemsChecked++;
  }

  /** Why the fragment is wrong; null when it is right or no longer wanted. */
  async #wrong(segment: Segment, fragment: number): Promise<string | null> {
    const { state, segments } = this.#parts.engine;
    try {
      await segments.checkHeader(segment, fragment);
      return null;
    } catch (reason) {
      const now = state.content.segment(segment.id);
      if (now === null || now.liveBytes === 0) return null;
      if (JSON.stringify(now.places[fragment]) !== JSON.stringify(segment.places[fragment])) return null;
      return CfsError.from(reason).message.replace(/^[A-Z_]+: /, "");
    }
  }

  async #repair(signal: AbortSignal): Promise<void> {
    const { engine } = this.#parts;
    this.#phase = "repair";
    this.#itemsChecked = 0;
    this.#itemsTotal = this.#missing.length;
    if (this.#missing.length === 0) return;
    await engine.repairer.addMissing();
    for (const { segment, fragment } of this.#missing) engine.repairer.add(segment, fragment);
    await engine.repairer.drain();
    for (const { segment: id, fragment } of this.#missing) {
      signal.throwIfAborted();
      const segment = engine.state.content.segment(id);
      if (segment === null || (await this.#wrong(structuredClone(segment), fragment)) === null) this.#repaired++;
      this.#itemsChecked++;
    }
  }
}

/** Counts what is read, and stops when nobody wants the result any more. */
class CountedKv implements OrderedKv {
  readonly #kv: OrderedKv;
  readonly #signal: AbortSignal;
  readonly #onRead: (count: number) => void;

  constructor(kv: OrderedKv, signal: AbortSignal, onRead: (count: number) => void) {
    this.#kv = kv;
    this.#signal = signal;
    this.#onRead = onRead;
  }

  get(key: string): Uint8Array | null {
    return this.#kv.get(key);
  }

  async scan(range: KvRange): ReturnType<OrderedKv["scan"]> {
    this.#signal.throwIfAborted();
    const entries = await this.#kv.scan(range);
    this.#onRead(entries.length);
    return entries;
  }

  write(): void {
    throw new CfsError("READ_ONLY", "a check writes nothing");
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function fsck(parts: FsckParts, request: FsckRequest, signal: AbortSignal): AsyncGenerator<FsckProgress, void, void> {
  const run = new FsckRun(parts, request.repair);
  return reportWhile(
    parts.clock,
    signal,
    (both) => run.run(both),
    (isDone) => run.report(isDone),
  );
}
