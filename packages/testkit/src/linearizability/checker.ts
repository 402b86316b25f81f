/**
 * Is a history linearizable? Could each operation have taken effect at one moment between its call and its answer, in an order that the model allows?
 *
 * The search of Wing and Gong with the memory of Lowe: operations are tried in the order of their calls; one that the model allows is taken out of
 * the list; reaching the answer of one that was not taken yet means a wrong turn. A turn that leads to the same set of taken operations and
 * the same state as an earlier one is not tried again. Locality (Herlihy and Wing): a history is linearizable if its part for each
 * object is, so a model that names the object of an operation is checked object by object (P-compositionality, Horn and Kroening).
 *
 * Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2017).
 */
import { assert } from "@cfs/core";

import type { Operation } from "./history.ts";

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the operation; null when it could not have had this output here. Output null: unknown, any will do. */
  step(state: State, input: Input, output: Output | null): State | null;
  /** Equal for equal states, different for different ones. */
  keyOf(state: State): string;
  /** The object that an operation concerns; operations on different ones do not touch each other. */
  objectOf(input: Input): string;
}

export type Verdict<Input, Output> =
  | { readonly kind: "linearizable"; readonly turns: number }
  /** `stuck`: operations of that object that no order could place after the longest part that one could; `placed` is that part, in its order. */
  | {
      readonly kind: "violation";
      readonly object: string;
      readonly placed: readonly Operation<Input, Output>[];
      readonly stuck: readonly Operation<Input, Output>[];
    }
  /** Given up after `turnsMax`. */
  | { readonly kind: "unknown"; readonly object: string; readonly turns: number };

export interface CheckOptions {
  /** Turns of the search per object before it gives up; default 10 million. */
  readonly turnsMax?: number;
}

export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  options: CheckOptions = {},
): Verdict<Input, Output> {
  const byObject = new Map<string, Operation<Input, Output>[]>();
  for (const operation of operations) {
    const object = model.objectOf(operation.input);
    const list = byObject.get(object);
    if (list === undefined) byObject.set(object, [operation]);
    else list.push(operation);
  }
  let turns = 0;
  for (const [object, list] of byObject) {
    const verdict = new Search(model, object, list).run(options.turnsMax ?? 10_000_000);
    if (verdict.kind !== "linearizable") return verdict;
    turns += verdict.turns;
  }
  return { kind: "linearizable", turns };
}

/** The list of calls and answers, doubly linked by position; position 0 is the head, `end` lies behind the last. */
class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #object: string;
  readonly #operations: readonly Operation<Input, Output>[];
  /** By position: number of the operation, for a call; -1 - number for an answer. */
  readonly #marks: number[];
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #answerOf: Int32Array;
  readonly #taken: Uint16Array;
  readonly #seen: Set<string> = new Set();
  readonly #turns: { readonly position: number; readonly state: State }[] = [];
  #deepest: readonly number[] = [];

  constructor(model: Model<State, Input, Output>, object: string, operations: readonly Operation<Input, Output>[]) {
    this.#model = model;
    this.#object = object;
    this.#operations = operations;
    const moments: { readonly moment: number; readonly mark: number }[] = [];
    for (const [number, operation] of operations.entries()) {
      moments.push({ moment: operation.calledAt, mark: number });
      if (operation.answeredAt === null) continue;
      assert(operation.answeredAt > operation.calledAt, "an answer comes after its call");
      moments.push({ moment: operation.answeredAt, mark: -1 - number });
    }
    moments.sort((one, other) => one.moment - other.moment);
    this.#marks = [0, ...moments.map(({ mark }) => mark)];
    this.#next = Int32Array.from(this.#marks, (_mark, position) => position + 1);
    this.#previous = Int32Array.from([...this.#marks, 0], (_mark, position) => position - 1);
    this.#answerOf = new Int32Array(operations.length);
    for (const [position, mark] of this.#marks.entries()) if (mark < 0) this.#answerOf[-1 - mark] = position;
    this.#taken = new Uint16Array(Math.ceil(operations.length / 16));
  }

  run(turnsMax: number): Verdict<Input, Output> {
    const end = this.#marks.length;
    let state = this.#model.initial;
    let open = this.#operations.filter((operation) => operation.answeredAt !== null).length;
    let position = this.#next[0] as number;
    let turns = 0;
    while (open > 0) {
      assert(position < end, "an open operation has its answer in the list");
      if (++turns > turnsMax) return { kind: "unknown", object: this.#object, turns };
      const mark = this.#marks[position] as number;
      if (mark >= 0) {
        const operation = this.#operations[mark] as Operation<Input, Output>;
        const after = this.#model.step(state, operation.input, operation.output);
        if (after !== null && this.#take(mark, after)) {
          this.#turns.push({ position, state });
          state = after;
          this.#lift(position);
          if (operation.answeredAt !== null) open--;
          position = this.#next[0] as number;
        } else {
          position = this.#next[position] as number;
        }
        continue;
      }
      if (this.#turns.length > this.#deepest.length) this.#deepest = this.#turns.map((turn) => turn.position);
      const wrong = this.#turns.pop();
      if (wrong === undefined) return this.#violation();
      state = wrong.state;
      const number = this.#marks[wrong.position] as number;
      this.#flip(number);
      this.#unlift(wrong.position);
      if (this.#operations[number]?.answeredAt !== null) open++;
      position = this.#next[wrong.position] as number;
    }
    return { kind: "linearizable", turns };
  }

  /** False when this set of operations with this state was reached before. */
  #take(number: number, after: State): boolean {
    this.#flip(number);
    const key = `${String.fromCharCode(...this.#taken)}${this.#model.keyOf(after)}`;
    if (!this.#seen.has(key)) {
      this.#seen.add(key);
      return true;
    }
    this.#flip(number);
    return false;
  }

  #flip(number: number): void {
    this.#taken[number >> 4] = (this.#taken[number >> 4] as number) ^ (1 << (number & 15));
  }

  #lift(position: number): void {
    this.#unlink(position);
    const answer = this.#answerOf[this.#marks[position] as number] as number;
    if (answer > 0) this.#unlink(answer);
  }

  #unlift(position: number): void {
    const answer = this.#answerOf[this.#marks[position] as number] as number;
    if (answer > 0) this.#link(answer);
    this.#link(position);
  }

  #unlink(position: number): void {
    const next = this.#next[position] as number;
    const previous = this.#previous[position] as number;
    this.#next[previous] = next;
    this.#previous[next] = previous;
  }

  #link(position: number): void {
    this.#next[this.#previous[position] as number] = position;
    this.#previous[this.#next[position] as number] = position;
  }

  #violation(): Verdict<Input, Output> {
    const numbers = this.#deepest.map((position) => this.#marks[position] as number);
    const placed = new Set(numbers);
    return {
      kind: "violation",
      object: this.#object,
      placed: numbers.map((number) => this.#operations[number] as Operation<Input, Output>),
      stuck: this.#operations.filter((operation, number) => operation.answeredAt !== null && !placed.has(number)).slice(0, 8),
    };
  }
}
