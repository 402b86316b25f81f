/**
 * Histories of one register in the form that Jepsen wrote for etcd and that other checkers are tried with: a line for each call and each answer,
 * its fields separated by tabs.
 *
 *   INFO  jepsen.util - 3  :invoke  :cas    [2 4]        process 3 asks to write 4 if the register holds 2
 *   INFO  jepsen.util - 3  :fail    :cas    [2 4]        it held something else
 *   INFO  jepsen.util - 5  :ok      :read   nil          nothing was ever written
 *   INFO  jepsen.util - 6  :info    :write  :timed-out   nobody knows: it may happen at any time from its call on, or never
 *
 * A cas tells whether it wrote, not what it found: less than the registers of register-model.ts, so these have a model of their own.
 */
import { assert, unreachable } from "@cfs/core";

import type { Model } from "./checker.ts";
import { History } from "./history.ts";
import type { Operation } from "./history.ts";

export type LoggedInput =
  | { readonly kind: "read" }
  | { readonly kind: "write"; readonly value: number }
  | { readonly kind: "cas"; readonly expected: number; readonly value: number };

/** What a read saw, or whether a write or cas wrote. */
export type LoggedOutput = { readonly seen: number } | { readonly isDone: boolean };
export type LoggedOperation = Operation<LoggedInput, LoggedOutput>;

/** What a register holds before the first write: `nil`. */
export const nil = -1;

export const loggedRegisterModel: Model<number, LoggedInput, LoggedOutput> = {
  initial: nil,
  step(state: number, input: LoggedInput, output: LoggedOutput | null): number | null {
    switch (input.kind) {
      case "read":
        return output === null || ("seen" in output && output.seen === state) ? state : null;
      case "write":
        return input.value;
      case "cas": {
        const isDone = state === input.expected;
        if (output !== null && !("isDone" in output && output.isDone === isDone)) return null;
        return isDone ? input.value : state;
      }
      default:
        return unreachable(input, "an operation on a register");
    }
  },
  keyOf: (state: number): string => String(state),
  objectOf: (): string => "register",
};

function inputOf(verb: string, value: string): LoggedInput {
  if (verb === "read") return { kind: "read" };
  if (verb === "write") return { kind: "write", value: Number(value) };
  const pair = /^\[(\d+) (\d+)\]$/.exec(value);
  assert(verb === "cas" && pair !== null, "a cas has two values");
  return { kind: "cas", expected: Number(pair[1]), value: Number(pair[2]) };
}

function outputOf(outcome: string, verb: string, value: string): LoggedOutput {
  if (verb !== "read") return { isDone: outcome === "ok" };
  return { seen: value === "nil" ? nil : Number(value) };
}

/** Lines that are not of this form are passed over, as a log has others between them. */
export function parseRegisterLog(text: string): readonly LoggedOperation[] {
  const history = new History<LoggedInput, LoggedOutput>();
  const open = new Map<string, LoggedOperation>();
  for (const line of text.split("\n")) {
    const match = /^INFO\s+jepsen\.util - (\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.+)$/.exec(line);
    if (match === null) continue;
    const [, process, outcome, verb, value] = match as unknown as [string, string, string, string, string];
    if (outcome === "invoke") {
      assert(!open.has(process), "a process does one thing at a time");
      open.set(process, history.call(Number(process), inputOf(verb, value)));
      continue;
    }
    const operation = open.get(process);
    assert(operation !== undefined && operation.input.kind === verb, "an answer belongs to a call");
    open.delete(process);
    if (outcome !== "info" && value !== ":timed-out") history.answer(operation, outputOf(outcome, verb, value));
  }
  return history.operations;
}

function asText({ input, output }: LoggedOperation, isAnswer: boolean): string {
  if (input.kind === "write") return String(input.value);
  if (input.kind === "cas") return `[${input.expected} ${input.value}]`;
  const seen = isAnswer && output !== null && "seen" in output ? output.seen : nil;
  return seen === nil ? "nil" : String(seen);
}

/** The other way round. Operations without an answer are left open: their process does nothing any more. */
export function formatRegisterLog(operations: readonly LoggedOperation[]): string {
  const lines = operations.flatMap((operation) => {
    const { client, input, output, calledAt, answeredAt } = operation;
    const line = (outcome: string, isAnswer: boolean): string =>
      `INFO  jepsen.util - ${client}\t:${outcome}\t:${input.kind}\t${asText(operation, isAnswer)}\n`;
    const call = { at: calledAt, text: line("invoke", false) };
    if (answeredAt === null || output === null) return [call];
    const isDone = !("isDone" in output) || output.isDone;
    return [call, { at: answeredAt, text: line(isDone ? "ok" : "fail", true) }];
  });
  return lines
    .toSorted((one, other) => one.at - other.at)
    .map(({ text }) => text)
    .join("");
}
