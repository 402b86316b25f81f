/** Histories of a register that is as it should be, or has a fault; whether the fault shows is for a checker to say. */
import type { Random } from "@cfs/core";

import { History } from "../history.ts";
import { loggedRegisterModel } from "../register-log.ts";
import type { LoggedInput, LoggedOperation, LoggedOutput } from "../register-log.ts";

/** `none`: all is well. The others are what replicas without a quorum, a lost write or a retry that is done twice look like. */
export const registerFaults = ["none", "staleRead", "lostWrite", "lateWrite"] as const;
export type RegisterFault = (typeof registerFaults)[number];

export interface RegisterRun {
  readonly fault: RegisterFault;
  /** 0 to 1: how often the fault happens where it can. */
  readonly faultRate: number;
  readonly processCount: number;
  readonly operationCount: number;
  /** Answers that never come. */
  readonly lostMax: number;
}

interface Doing {
  readonly operation: LoggedOperation;
  output: LoggedOutput | null;
}

const values = 5;

function drawInput(random: Random): LoggedInput {
  const value = Math.floor(random.next() * values);
  const luck = random.next();
  if (luck < 0.4) return { kind: "read" };
  return luck < 0.7 ? { kind: "write", value } : { kind: "cas", expected: Math.floor(random.next() * values), value };
}

export function registerHistory(random: Random, run: RegisterRun): readonly LoggedOperation[] {
  const history = new History<LoggedInput, LoggedOutput>();
  const past: number[] = [loggedRegisterModel.initial];
  const doing = new Map<number, Doing>();
  let processes = Array.from({ length: run.processCount }, (_, at) => at);
  let lost = 0;
  for (let called = 0; called < run.operationCount || doing.size > 0;) {
    const process = processes[Math.floor(random.next() * processes.length)] as number;
    const own = doing.get(process);
    if (own === undefined) {
      if (called === run.operationCount) continue;
      called++;
      doing.set(process, { operation: history.call(process, drawInput(random)), output: null });
    } else if (own.output === null) {
      own.output = happen(own.operation.input, past, run, random);
    } else {
      doing.delete(process);
      if (lost < run.lostMax && random.next() < 0.1) {
        lost++;
        processes = processes.map((other) => (other === process ? other + run.processCount : other));
      } else history.answer(own.operation, own.output);
    }
  }
  return history.operations;
}

/** `past`: every value that the register had, the newest last. */
function happen(input: LoggedInput, past: number[], { fault, faultRate }: RegisterRun, random: Random): LoggedOutput {
  const isFaulty = random.next() < faultRate;
  const state = past.at(-1) as number;
  if (input.kind === "read") return { seen: fault === "staleRead" && isFaulty ? (past.at(-2) ?? state) : state };
  const isDone = input.kind === "write" || state === input.expected;
  if (fault === "lostWrite" && isFaulty) return { isDone };
  if (isDone) past.push(input.value);
  // A write of before comes once more.
  if (fault === "lateWrite" && isFaulty && past.length > 2) past.push(past.at(-3) as number);
  return { isDone };
}
