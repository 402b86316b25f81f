/**
 * A process of the simulated cluster: it runs, stands still, or is down, and everything that reaches it comes through here.
 *
 *   down ──start──► up ◄──resume── paused      crash: from up or paused to down; what was due for that life never happens
 *                    └────pause──────┘         paused: what comes due waits, and happens at once on resume, as after SIGSTOP
 *
 * Timers and what arrives from outside (messages, answers of disks) are two queues to an event loop. Which of them it looks at first when it goes on is
 * drawn: as all came due, timers first, arrivals first, or one of either by chance. Each queue keeps its own order.
 *
 * Each start is a new life. Invariant: work that was scheduled in one life runs in no other, so a driver that was abandoned by
 * a crash hears of nothing any more.
 */
import { assert } from "@cfs/core";

import type { EventQueue } from "./event-queue.ts";
import type { SimRandom } from "./sim-random.ts";

/** Packets and timers that a paused process finds when it goes on; what comes later is lost, as in a full socket buffer. */
const waitingMax = 10_000;

/** Something that a process does when it is due. */
interface Work {
  readonly isTimer: boolean;
  /** Does nothing once a timer is cancelled. */
  run: () => void;
}

export interface Drift {
  /** Simulated microseconds that its clock counts for each true one: 1 ± a little. */
  rate: number;
  /** How far its wall clock is off, in milliseconds; jumps at will. */
  wallOffsetMs: number;
}

export class SimProcess {
  readonly id: number;
  readonly drift: Drift = { rate: 1, wallOffsetMs: 0 };
  readonly #queue: EventQueue;
  #state: "down" | "up" | "paused" = "down";
  #life = 0;
  readonly #random: SimRandom;
  #waiting: Work[] = [];

  /** `random`: for the order after a pause. */
  constructor(id: number, queue: EventQueue, random: SimRandom) {
    this.id = id;
    this.#queue = queue;
    this.#random = random;
  }

  get state(): "down" | "up" | "paused" {
    return this.#state;
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  /** Counts starts. */
  get life(): number {
    return this.#life;
  }

  start(): void {
    assert(this.#state === "down", "a process that starts was down");
    this.#state = "up";
    this.#life++;
  }

  crash(): void {
    assert(this.#state !== "down", "a process that crashes was there");
    this.#state = "down";
    this.#waiting = [];
  }

  pause(): void {
    assert(this.#state === "up", "a process that pauses was up");
    this.#state = "paused";
  }

  resume(): void {
    assert(this.#state === "paused", "a process that resumes was paused");
    this.#state = "up";
    const waiting = this.#waiting;
    this.#waiting = [];
    const life = this.#life;
    // One event each: the work of one must be over, with all its promises, before the next begins.
    for (const work of inDrawnOrder(waiting, this.#random)) this.#queue.schedule(0, () => this.#enter(life, work));
  }

  /** Something that this life asked for arrives after `delayUs` of true time. */
  after(delayUs: number, run: () => void): void {
    const life = this.#life;
    this.#queue.schedule(delayUs, () => this.#enter(life, { isTimer: false, run }));
  }

  /** A timer of this life, in true time; the result cancels it, also when it is due and waits for the process to go on. */
  timer(delayUs: number, run: () => void): () => void {
    const life = this.#life;
    const work: Work = { isTimer: true, run };
    const event = this.#queue.schedule(delayUs, () => this.#enter(life, work));
    return () => {
      this.#queue.cancel(event);
      work.run = nothing;
    };
  }

  /** Something from outside arrives now. Down: it is lost. */
  arrive(run: () => void): void {
    this.#enter(this.#life, { isTimer: false, run });
  }

  /** Something that this very life waited for. */
  arriveIn(life: number, run: () => void): void {
    this.#enter(life, { isTimer: false, run });
  }

  #enter(life: number, work: Work): void {
    if (this.#state === "down" || life !== this.#life) return;
    if (this.#state === "up") work.run();
    else if (this.#waiting.length < waitingMax) this.#waiting.push(work);
  }
}

function nothing(): void {}

function inDrawnOrder(waiting: readonly Work[], random: SimRandom): readonly Work[] {
  const timerRate = random.pick([null, 1, 0, 0.5]);
  if (timerRate === null) return waiting;
  const timers = waiting.filter(({ isTimer }) => isTimer);
  const arrivals = waiting.filter(({ isTimer }) => !isTimer);
  const mixed: Work[] = [];
  for (let [timer, arrival] = [timers.shift(), arrivals.shift()]; timer !== undefined || arrival !== undefined;) {
    const isTimerNext = arrival === undefined || (timer !== undefined && random.chance(timerRate));
    mixed.push((isTimerNext ? timer : arrival) as Work);
    if (isTimerNext) timer = timers.shift();
    else arrival = arrivals.shift();
  }
  return mixed;
}
