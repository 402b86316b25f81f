/**
 * What clients saw: operations with the moment each was called and the moment its answer came.
 *
 * Moments are counted, not measured: the order of calls and answers as one observer saw them is all that linearizability asks for.
 * An operation whose answer never came may have happened at any time after its call, or never.
 */
import { assert } from "@cfs/core";

export interface Operation<Input, Output> {
  readonly client: number;
  readonly input: Input;
  /** Null while, or when for ever, unanswered. */
  output: Output | null;
  readonly calledAt: number;
  /** Null while, or when for ever, unanswered. */
  answeredAt: number | null;
}

export class History<Input, Output> {
  readonly #operations: Operation<Input, Output>[] = [];
  #moment = 0;

  get operations(): readonly Operation<Input, Output>[] {
    return this.#operations;
  }

  call(client: number, input: Input): Operation<Input, Output> {
    const operation = { client, input, output: null, calledAt: this.#moment++, answeredAt: null };
    this.#operations.push(operation);
    return operation;
  }

  answer(operation: Operation<Input, Output>, output: Output): void {
    assert(operation.answeredAt === null, "an operation is answered once");
    operation.output = output;
    operation.answeredAt = this.#moment++;
  }

  /** The operation certainly never happened and never will: it was refused. */
  forget(operation: Operation<Input, Output>): void {
    assert(operation.answeredAt === null, "an operation that was answered has happened");
    const at = this.#operations.lastIndexOf(operation);
    assert(at >= 0, "the operation is part of this history");
    this.#operations.splice(at, 1);
  }
}
