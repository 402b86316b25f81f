/**
 * The loop: one event after the other, with everything that an event set off in promises done before the next one begins.
 *
 * Two ways to run. `runSync` is for worlds of pure cores, which know no promises. `run` is for real drivers: each event is a turn of the
 * machine's event loop of its own, after which the engine empties its microtasks, so a driver's awaits never depend on wall time.
 */
import { forbidMachine } from "./determinism-guard.ts";
import { EventQueue } from "./event-queue.ts";
import { SimRandom } from "./sim-random.ts";
import { Trace } from "./trace.ts";

/** Turns that are handed to the event loop at once: it polls the machine after each such batch, which costs as much as many events. */
const turnsPerBatch = 64;
const realSetImmediate = setImmediate;

export interface SimulationOptions {
  readonly seed: number;
  readonly trace?: Trace;
}

/** What a simulated world is made of; processes, disks and networks take their parts from it. */
export class Simulation {
  readonly seed: number;
  readonly queue: EventQueue = new EventQueue();
  readonly random: SimRandom;
  readonly trace: Trace;
  #failure: Error | null = null;

  constructor(options: SimulationOptions) {
    this.seed = options.seed;
    this.random = new SimRandom(options.seed);
    this.trace = options.trace ?? new Trace();
  }

  get nowUs(): number {
    return this.queue.nowUs;
  }

  /** Puts something that happened into the trace. */
  note(who: number, what: string, ...details: readonly (number | string | boolean | null)[]): void {
    this.trace.event(this.queue.nowUs, who, what, ...details);
  }

  /** Ends the run after the present event; the first failure counts. For what is found where nobody would hear an exception. */
  fail(failure: unknown): void {
    this.#failure ??= failure instanceof Error ? failure : new Error(String(failure), { cause: failure });
  }

  /** Until `endUs`, or until `isOver` says so after an event. Throws what an event threw. */
  runSync(endUs: number, isOver: () => boolean = () => false): void {
    const allow = forbidMachine((what) => this.fail(new Error(`${what} was called in a simulation`)));
    try {
      while (this.queue.runNext(endUs)) {
        if (this.#failure !== null) throw this.#failure;
        if (isOver()) return;
      }
      if (this.#failure !== null) throw this.#failure;
    } finally {
      allow();
    }
  }

  async run(endUs: number, isOver: () => boolean = () => false): Promise<void> {
    const allow = forbidMachine((what) => this.fail(new Error(`${what} was called in a simulation`)));
    const onRejection = (reason: unknown): void => this.fail(reason);
    process.on("unhandledRejection", onRejection);
    try {
      await this.#turns(endUs, isOver);
    } finally {
      process.off("unhandledRejection", onRejection);
      allow();
    }
  }

  #turns(endUs: number, isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let isDone = false;
      const turn = (): void => {
        if (isDone) return;
        try {
          if (this.#failure !== null) throw this.#failure;
          if (!isOver() && this.queue.runNext(endUs)) return;
          isDone = true;
          // One more turn: what the last event set off is over then, and its failure known.
          realSetImmediate(() => (this.#failure === null ? resolve() : reject(this.#failure)));
        } catch (reason) {
          isDone = true;
          reject(reason);
        }
      };
      const batch = (): void => {
        for (let count = 0; count < turnsPerBatch; count++) realSetImmediate(turn);
        realSetImmediate(() => {
          if (!isDone) batch();
        });
      };
      batch();
    });
  }
}
