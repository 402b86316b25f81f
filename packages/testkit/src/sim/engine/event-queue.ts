/**
 * The one queue of a simulation: what happens next, by simulated time, and the only clock there is.
 *
 * Time is in whole microseconds and jumps from event to event. Events of the same moment run in the order in which they were scheduled.
 * Invariant: no event runs before `nowUs`, and none twice. A binary heap in an array; a cancelled event stays in it until its time comes.
 */
import { assert } from "@cfs/core";

export interface SimEvent {
  readonly atUs: number;
  readonly order: number;
  /** Null once it ran or was cancelled. */
  run: (() => void) | null;
}

export class EventQueue {
  nowUs = 0;
  runCount = 0;
  readonly #heap: SimEvent[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  /** Runs `run` after `delayUs` microseconds (0 or more; fractions are cut). */
  schedule(delayUs: number, run: () => void): SimEvent {
    assert(delayUs >= 0 && delayUs < Number.MAX_SAFE_INTEGER, "an event lies in the future");
    const event: SimEvent = { atUs: this.nowUs + Math.floor(delayUs), order: this.#order++, run };
    this.#push(event);
    return event;
  }

  cancel(event: SimEvent): void {
    event.run = null;
  }

  /** Moves the clock to the next event and runs it; false when none is left before `endUs`, where the clock then stands. */
  runNext(endUs: number): boolean {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.atUs > endUs) {
        this.nowUs = Math.max(this.nowUs, endUs);
        return false;
      }
      this.#pop();
      const run = first.run;
      if (run === null) continue;
      assert(first.atUs >= this.nowUs, "time does not run backwards");
      this.nowUs = first.atUs;
      first.run = null;
      this.runCount++;
      run();
      return true;
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as SimEvent;
      if (isBefore(other, event)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as SimEvent;
    const count = heap.length;
    if (count === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && isBefore(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++;
      const smaller = heap[child] as SimEvent;
      if (isBefore(last, smaller)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: SimEvent, other: SimEvent): boolean {
  return one.atUs < other.atUs || (one.atUs === other.atUs && one.order < other.order);
}
