/**
 * A process of the simulated cluster: it runs, stands still, or is down, and everything that reaches it comes through here.
 *
 *   down ──start──► up ◄──resume── paused      crash: from up or paused to down; what was due for that life never happens
 *                    └────pause──────┘         paused: what comes due waits, and happens at once on resume, as after SIGSTOP
 *
 * Each start is a new life. Invariant: work that was scheduled in one life runs in no other, so a driver that was abandoned by
 * a crash hears of nothing any more.
 */
import { assert } from "@cfs/core";

import type { EventQueue, SimEvent } from "./event-queue.ts";

/** Packets and timers that a paused process finds when it goes on; what comes later is lost, as in a full socket buffer. */
const waitingMax = 10_000;

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
  #waiting: (() => void)[] = [];

  constructor(id: number, queue: EventQueue) {
    this.id = id;
    this.#queue = queue;
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
    for (const work of waiting) this.#queue.schedule(0, () => this.#enter(life, work));
  }

  /** Runs `work` in this life after `delayUs` of true time. */
  after(delayUs: number, work: () => void): SimEvent {
    const life = this.#life;
    return this.#queue.schedule(delayUs, () => this.#enter(life, work));
  }

  /** Something from outside arrives now. Down: it is lost. */
  arrive(work: () => void): void {
    this.#enter(this.#life, work);
  }

  /** Something that this very life waited for. */
  arriveIn(life: number, work: () => void): void {
    this.#enter(life, work);
  }

  #enter(life: number, work: () => void): void {
    if (this.#state === "down" || life !== this.#life) return;
    if (this.#state === "up") work();
    else if (this.#waiting.length < waitingMax) this.#waiting.push(work);
  }
}
