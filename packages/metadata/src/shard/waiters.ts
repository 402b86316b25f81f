/**
 * Who waits for what in one group: proposals for their entry to be applied, reads for an index.
 *
 * Invariant: a proposal is answered with a result only when the entry that it became was committed and applied; in every other case
 * it is rejected, and the error says whether the command may still take effect.
 */
import { CfsError } from "@cfs/core";
import type { Entry } from "raft-ts";
import type { DriverRules } from "./driver-rules.ts";

export interface Applied<Result> {
  readonly index: number;
  readonly term: number;
  /** Null for a change of the configuration. */
  readonly result: Result | null;
}

interface Proposal<Result> {
  readonly term: number;
  readonly resolve: (applied: Applied<Result>) => void;
  readonly reject: (reason: CfsError) => void;
}

interface Read {
  readonly resolve: (index: number) => void;
  readonly reject: (reason: CfsError) => void;
  /** Null until Raft answered. */
  index: number | null;
  ticksLeft: number;
}

export class Waiters<Result> {
  readonly #rules: DriverRules;
  readonly #readTicks: number;
  readonly #proposals: Map<number, Proposal<Result>> = new Map();
  readonly #reads: Map<number, Read> = new Map();
  #nextContext = 1;

  /** A read that got no answer for `readTicks` ticks is given up. */
  constructor(rules: DriverRules, readTicks: number) {
    this.#rules = rules;
    this.#readTicks = readTicks;
  }

  get isEmpty(): boolean {
    return this.#proposals.size === 0 && this.#reads.size === 0;
  }

  get hasReads(): boolean {
    return this.#reads.size > 0;
  }

  proposed(index: number, term: number): Promise<Applied<Result>> {
    // Raft cut the entry that had this index: another leader's took its place, or will.
    this.#proposals.get(index)?.reject(unknownOutcome(index));
    return new Promise((resolve, reject) => this.#proposals.set(index, { term, resolve, reject }));
  }

  /** The entry was applied; null: no command. */
  applied(entry: Entry, result: Result | null): void {
    const proposal = this.#proposals.get(entry.index);
    if (proposal === undefined) return;
    this.#proposals.delete(entry.index);
    if (proposal.term === entry.term) proposal.resolve({ index: entry.index, term: entry.term, result });
    else proposal.reject(new CfsError("AGAIN", `entry ${entry.index} of term ${proposal.term} was not committed: there is a new leader`));
  }

  /** Everything up to `index` came as a snapshot, or leadership was lost: nobody here will learn the outcomes. */
  forget(upTo: number): void {
    for (const [index, proposal] of this.#proposals) {
      if (index > upTo) continue;
      this.#proposals.delete(index);
      proposal.reject(unknownOutcome(index));
    }
  }

  newContext(): number {
    return this.#nextContext++;
  }

  read(context: number): Promise<number> {
    return new Promise((resolve, reject) => this.#reads.set(context, { resolve, reject, index: null, ticksLeft: this.#readTicks }));
  }

  readAnswered(context: number, index: number, appliedIndex: number): void {
    const read = this.#reads.get(context);
    if (read === undefined) return;
    read.index = index;
    this.advanced(appliedIndex);
  }

  readRefused(context: number): void {
    this.#reads.get(context)?.reject(new CfsError("AGAIN", "the leader could not be confirmed: ask again"));
    this.#reads.delete(context);
  }

  /** The state has everything up to here. */
  advanced(appliedIndex: number): void {
    for (const [context, read] of this.#reads) {
      if (read.index === null || !this.#rules.mayAnswerRead(appliedIndex, read.index)) continue;
      this.#reads.delete(context);
      read.resolve(read.index);
    }
  }

  tick(): void {
    for (const [context, read] of this.#reads) {
      if (--read.ticksLeft > 0) continue;
      this.#reads.delete(context);
      read.reject(new CfsError("TIMED_OUT", `no leader answered a read in ${this.#readTicks} ticks`));
    }
  }

  fail(reason: CfsError): void {
    for (const { reject } of this.#proposals.values()) reject(reason);
    for (const { reject } of this.#reads.values()) reject(reason);
    this.#proposals.clear();
    this.#reads.clear();
  }
}

function unknownOutcome(index: number): CfsError {
  return new CfsError("TIMED_OUT", `leadership was lost before entry ${index} was committed: it may still take effect`, {
    details: { index },
  });
}

export interface CallOptions {
  /** Ends the wait with INTERRUPTED; what was proposed may still take effect. */
  readonly signal?: AbortSignal;
}

/** Waits for what `begin` gives, or until the signal says that nobody wants it any more. */
export async function interruptible<T>({ signal }: CallOptions, begin: () => Promise<T>): Promise<T> {
  if (signal === undefined) return begin();
  if (signal.aborted) throw new CfsError("INTERRUPTED", "the call was given up", { cause: signal.reason });
  const outcome = begin();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const leave = (): void => reject(new CfsError("INTERRUPTED", "the wait was given up", { cause: signal.reason }));
  signal.addEventListener("abort", leave, { once: true });
  try {
    return await Promise.race([outcome, aborted]);
  } finally {
    signal.removeEventListener("abort", leave);
  }
}
