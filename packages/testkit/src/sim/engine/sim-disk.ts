/**
 * The disk of one simulated machine: files in memory that know what was synced, behind faults, at the pace of the simulation.
 *
 *   driver ──► life of a process (LifeIo) ──► faults by rule (FaultyIo) ──► bytes, synced or not (MemoryIo), settled by the event queue
 *
 * What each kind of end does: `kill` (the process dies, the machine lives) keeps everything that was written, requests under way
 * included; `losePower` keeps what was synced and, of the rest, what chance leaves: nothing, all, or single sectors of a write. In both
 * cases the old life hears no answer any more. Slowness is a factor on every latency; other faults are rules as in FaultyIo.
 */
import { FaultyIo, MemoryIo } from "@cfs/storage";
import type { FaultRule, Io, IoFile, IoKind, OpenOptions } from "@cfs/storage";

import type { EventQueue } from "./event-queue.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";

/** A good flash drive: 20 µs, and now and then ten times that. */
const latencyMinUs = 20;
const latencyMeanUs = 40;

export interface DiskParts {
  readonly queue: EventQueue;
  readonly random: SimRandom;
}

export interface DiskOptions {
  /** Bytes for aligned buffers of each life; default 1 MiB. */
  readonly poolBytes?: number;
}

export class SimDisk {
  /** Factor on all latencies: 1 healthy, 1000 dying. */
  slowness = 1;
  readonly #memory: MemoryIo;
  readonly #faulty: FaultyIo;
  #underWay = 0;

  constructor(parts: DiskParts, options: DiskOptions = {}) {
    const { queue, random } = parts;
    const schedule = (settle: () => void): void => {
      this.#underWay++;
      queue.schedule((latencyMinUs + random.exponential(latencyMeanUs)) * this.slowness, () => {
        this.#underWay--;
        settle();
      });
    };
    this.#memory = new MemoryIo({ random, schedule }, { poolBytes: options.poolBytes ?? 1 << 20 });
    this.#faulty = new FaultyIo({ io: this.#memory });
  }

  /** Faults from now on; an empty list heals. */
  setRules(rules: readonly FaultRule[]): void {
    this.#faulty.setRules(rules);
  }

  /** Nothing is under way: a machine starts a process anew only when the requests of the one before have ended. */
  get isIdle(): boolean {
    return this.#underWay === 0;
  }

  /** Requests that a rule changed. */
  get faultCount(): number {
    return this.#faulty.faultCount;
  }

  /** Bytes that a power failure may take now. */
  get unsyncedBytes(): number {
    return this.#memory.unsyncedBytes;
  }

  /** The disk as the current life of `process` sees it. */
  mount(process: SimProcess): Io {
    return new LifeIo(this.#faulty, process);
  }

  /** Unsynced bytes are gone, or not, or half; the machine is up again at once. */
  losePower(): void {
    this.#memory.crash();
  }
}

/** Answers reach only the life that asked, and a paused process only when it goes on. */
class LifeIo implements Io {
  readonly #io: Io;
  readonly #process: SimProcess;
  readonly #life: number;

  constructor(io: Io, process: SimProcess) {
    this.#io = io;
    this.#process = process;
    this.#life = process.life;
  }

  get kind(): IoKind {
    return this.#io.kind;
  }

  get description(): string {
    return this.#io.description;
  }

  get pool(): Io["pool"] {
    return this.#io.pool;
  }

  open(path: string, options: OpenOptions): Promise<IoFile> {
    return this.#answer(this.#io.open(path, options));
  }

  read(file: IoFile, target: Uint8Array, offsetBytes: number): Promise<number> {
    return this.#answer(this.#io.read(file, target, offsetBytes));
  }

  write(file: IoFile, views: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    return this.#answer(this.#io.write(file, views, offsetBytes));
  }

  syncData(file: IoFile): Promise<void> {
    return this.#answer(this.#io.syncData(file));
  }

  allocate(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#answer(this.#io.allocate(file, offsetBytes, lengthBytes));
  }

  punch(file: IoFile, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#answer(this.#io.punch(file, offsetBytes, lengthBytes));
  }

  truncate(file: IoFile, sizeBytes: number): Promise<void> {
    return this.#answer(this.#io.truncate(file, sizeBytes));
  }

  close(file: IoFile): Promise<void> {
    return this.#answer(this.#io.close(file));
  }

  unlink(path: string): Promise<void> {
    return this.#answer(this.#io.unlink(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#answer(this.#io.rename(from, to));
  }

  list(path: string): Promise<string[]> {
    return this.#answer(this.#io.list(path));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#answer(this.#io.makeDirectory(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#answer(this.#io.syncDirectory(path));
  }

  freeBytes(path: string): Promise<number> {
    return this.#answer(this.#io.freeBytes(path));
  }

  /** The disk outlives its lives. */
  shutDown(): Promise<void> {
    return Promise.resolve();
  }

  #answer<T>(request: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      request.then(
        (value) => this.#process.arriveIn(this.#life, () => resolve(value)),
        (reason: unknown) => this.#process.arriveIn(this.#life, () => reject(reason)),
      );
    });
  }
}
