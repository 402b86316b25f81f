/**
 * fsck: proves that the namespace, its extents, reference counts and sums agree with each other, and that every fragment is where it should be.
 *
 * The namespace is recounted on a snapshot, so mounts go on meanwhile. Fragments are looked at in the living state: one that is wrong counts only
 * if the segment still names that place. Reads only; `repair` rebuilds fragments and mends what the check can prove (fsck-mend.ts), everything
 * else is only told, with the names of the files concerned.
 */
import { CfsError } from "@cfs/core";
import type { Clock, InodeNumber, Logger, SegmentId } from "@cfs/core";
import { checkState } from "@cfs/metadata";
import type { KvRange, OrderedKv, Problem, Segment } from "@cfs/metadata";
import type { FsckProgress, FsckRequest } from "@cfs/rpc";
import type { MirroredKv } from "@cfs/storage";
import type { Engine } from "../engine/engine.ts";
import { AbsentDrives } from "./absent-drives.ts";
import { nameOfMember } from "./drive-record.ts";
import { filesIn, heldFiles } from "./damaged-files.ts";
import type { DriveSet } from "./drive-set.ts";
import { mendProblems } from "./fsck-mend.ts";
import { findPaths, inodesMax } from "./paths.ts";
import { reportWhile } from "./running-report.ts";

export interface FsckParts {
  readonly engine: Pick<Engine, "state" | "driver" | "segments" | "repairer" | "allSegments">;
  readonly store: Pick<MirroredKv, "snapshot">;
  readonly driveSet: Pick<DriveSet, "members">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Some things only show once others are right. */
const mendPassesMax = 3;
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
  readonly #absent = new AbsentDrives();
  /** Of this run, until the files that lie there are known. */
  readonly #wrongFragments: { readonly segment: SegmentId; readonly finding: string }[] = [];
  #findings: string[] = [];
  #phase = "namespace";
  #itemsChecked = 0;
  #itemsTotal = 0;
  #found = 0;
  #listed = 0;
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
    if (this.#isListed()) this.#findings.push(finding);
  }

  /** Takes a place among the findings that are told one by one; says once that there are no more. */
  #isListed(): boolean {
    this.#listed++;
    if (this.#listed === findingsMax + 1) this.#findings.push("more problems are counted and not listed");
    return this.#listed <= findingsMax;
  }

  async run(signal: AbortSignal): Promise<void> {
    const problems = await this.#checkNamespace(signal);
    if (problems.length === 0) this.#parts.engine.state.damage.clear();
    for (const line of await this.#described(problems, signal)) this.#tell(line);
    await this.#checkFragments(signal);
    if (this.#isRepair) {
      await this.#mendNamespace(problems, signal);
      await this.#repair(signal);
    }
    this.#parts.logger.info("a check of the file system is done", { problems: this.#found, repaired: this.#repaired });
  }

  async #checkNamespace(signal: AbortSignal): Promise<Problem[]> {
    const { engine, store } = this.#parts;
    await engine.driver.checkpoint();
    await using snapshot = await store.snapshot();
    return await checkState(new CountedKv(snapshot, signal, (count) => (this.#itemsChecked += count)));
  }

  /** One line for each, with the path of the file or directory where it has one. */
  async #described(problems: readonly Problem[], signal: AbortSignal): Promise<string[]> {
    const wanted = new Set<InodeNumber>();
    for (const problem of problems) if (wanted.size < inodesMax) inodeOf(problem).forEach((ino) => wanted.add(ino));
    let paths: ReadonlyMap<InodeNumber, string> = new Map();
    if (wanted.size > 0) {
      await using snapshot = await this.#parts.store.snapshot();
      paths = await findPaths(snapshot, wanted, signal);
    }
    return problems.map((problem) => {
      const { what, id, message } = problem;
      const path = inodeOf(problem).map((ino) => paths.get(ino))[0];
      return `${what}${id === "" ? "" : ` ${id}`}${path === undefined ? "" : ` (${path})`}: ${message}`;
    });
  }

  /** Mends, counts again, and mends what only shows once the first is right; what is still wrong then is left for people. */
  async #mendNamespace(problems: readonly Problem[], signal: AbortSignal): Promise<void> {
    const known = new Set(problems.map(keyOf));
    let wrong = problems;
    for (let pass = 0; pass < mendPassesMax && wrong.some(({ mends }) => mends.length > 0); pass++) {
      this.#phase = "mending";
      this.#itemsChecked = 0;
      await mendProblems(this.#parts.engine, wrong, signal);
      wrong = await this.#checkNamespace(signal);
      const added = wrong.filter((problem) => !known.has(keyOf(problem)));
      for (const line of await this.#described(added, signal)) this.#tell(line);
      for (const problem of added) known.add(keyOf(problem));
    }
    if (wrong.length === 0) this.#parts.engine.state.damage.clear();
    const still = new Set(wrong.map(keyOf));
    for (const key of known) if (!still.has(key)) this.#repaired++;
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
    await this.#nameFiles(signal);
    this.#findings.push(...this.#absent.lines((drive) => this.#nameOf(drive)));
  }

  /** Tells of the wrong fragments, each with the files that lie there. */
  async #nameFiles(signal: AbortSignal): Promise<void> {
    const { engine, store } = this.#parts;
    const ids = new Set(this.#wrongFragments.map(({ segment }) => segment));
    const segments = [...ids].flatMap((id) => engine.state.content.segment(id) ?? []);
    const files = await filesIn({ state: engine.state, store, segments: engine.segments }, segments, signal);
    for (const { segment, finding } of this.#wrongFragments) this.#findings.push(`${finding}${heldFiles(files.get(segment))}`);
    this.#wrongFragments.length = 0;
  }

  #nameOf(drive: number): string {
    return nameOfMember(this.#parts.driveSet.members, drive);
  }

  async #checkSegment(segment: Segment): Promise<void> {
    for (const [fragment, { drive }] of segment.places.entries()) {
      const wrong = await this.#wrong(segment, fragment);
      if (wrong === null) continue;
      this.#found++;
      if (wrong.code === "NO_DEVICE") this.#absent.add({ segment: segment.id, fragment, drive });
      else if (this.#isListed()) {
        const finding = `fragment ${fragment} of segment ${segment.id} on ${this.#nameOf(drive)}: ${wrong.message.replace(/^[A-Z_]+: /, "")}`;
        this.#wrongFragments.push({ segment: segment.id, finding });
      }
      this.#missing.push({ segment: segment.id, fragment });
    }
    this.#itemsChecked++;
  }

  /** Why the fragment is wrong; null when it is right or no longer wanted. */
  async #wrong(segment: Segment, fragment: number): Promise<CfsError | null> {
    const { state, segments } = this.#parts.engine;
    try {
      await segments.checkHeader(segment, fragment);
      const first = segment.places.findIndex(({ drive }) => drive === segment.places[fragment]?.drive);
      return first === fragment ? null : new CfsError("CORRUPT", `it lies on the same drive as fragment ${first}`);
    } catch (reason) {
      const now = state.content.segment(segment.id);
      if (now === null || now.liveBytes === 0) return null;
      if (JSON.stringify(now.places[fragment]) !== JSON.stringify(segment.places[fragment])) return null;
      return CfsError.from(reason);
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

/** The message is left out: its numbers change while the file system is in use. */
function keyOf({ what, id, message }: Problem): string {
  return `${what} ${id} ${message.replaceAll(/\d+/g, "")}`;
}

function inodeOf({ what, id }: Problem): InodeNumber[] {
  if (what !== "inode" && what !== "directory" && what !== "region") return [];
  return [Number.parseInt(id, 10) as InodeNumber];
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
