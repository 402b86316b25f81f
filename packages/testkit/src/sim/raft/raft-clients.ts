/**
 * The clients of one group: each does one operation after the other, at whom it takes for the leader, and writes down what it saw.
 *
 * Keys are used for a while and then left for new ones: the check of a history costs more than its length when many operations
 * never got an answer. An operation that certainly never happened leaves the history; one whose answer did not come in time stays open, and its client
 * goes on as somebody else.
 */
import { History } from "../../linearizability/index.ts";
import type { Operation, RegisterInput, RegisterOutput } from "../../linearizability/index.ts";
import type { SimRandom } from "../engine/sim-random.ts";
import type { Simulation } from "../engine/simulation.ts";

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

/** How a request to a node ended: done, certainly not done, or (with whom to ask instead, 0: anybody) refused. */
export type Answer = { readonly output: RegisterOutput } | { readonly refusedFor: number } | "never";

/** Where an operation went into a log, to be told later whether it was committed. */
export interface Place {
  readonly index: number;
  readonly term: number;
}

export interface Service {
  /** Nodes that a client may ask. */
  nodes(): readonly number[];
  /** Sends the request; `answer` is called once, or never. `placed` hears where a command went. */
  request(node: number, input: RegisterInput, answer: (answer: Answer) => void, placed: (place: Place) => void): void;
}

export interface ClientOptions {
  readonly clientCount: number;
  readonly thinkMeanUs: number;
  readonly timeoutUs: number;
}

const keysAtOnce = 3;
const operationsPerKey = 40;
const attemptsMax = 8;
/** How often a client asks somebody else than who answered last. */
const wanderRate = 0.15;

export class Clients {
  readonly history: History<RegisterInput, RegisterOutput> = new History();
  /** Operations without an answer whose place in the log is known. */
  readonly placeOf: Map<RegisterOperation, Place> = new Map();
  answeredCount = 0;
  #lostCount = 0;
  readonly #sim: Simulation;
  readonly #random: SimRandom;
  readonly #service: Service;
  readonly #options: ClientOptions;
  #isRunning = true;
  #operationCount = 0;
  #clientCount = 0;
  #value = 0;
  /** What each key was last seen to hold: the swaps that expect it have a chance. */
  readonly #seen: Map<string, number> = new Map();

  constructor(sim: Simulation, random: SimRandom, service: Service, options: ClientOptions) {
    this.#sim = sim;
    this.#random = random;
    this.#service = service;
    this.#options = options;
    for (let count = 0; count < options.clientCount; count++) this.#think(this.#newClient(), 0, random.chance(0.4));
  }

  /** Operations that got no answer in time. */
  get lostCount(): number {
    return this.#lostCount;
  }

  stop(): void {
    this.#isRunning = false;
  }

  /** One more operation, of a client of its own, that goes on until it is answered. */
  insist(input: RegisterInput, done: () => void): void {
    const ask = (): void => {
      const operation = this.history.call(this.#newClient(), input);
      this.#attempt(operation, this.#random.pick(this.#service.nodes()), 0, (isAnswered) => (isAnswered ? done() : ask()));
    };
    ask();
  }

  /** The keys that were in use last, and some older ones. */
  recentKeys(): readonly string[] {
    const newest = Math.floor(this.#operationCount / (keysAtOnce * operationsPerKey)) * keysAtOnce;
    return [newest, newest + 1, newest + 2, newest - 1, newest - 2].flatMap((key) => (key >= 0 ? [`k${key}`] : []));
  }

  nextValue(): number {
    return ++this.#value;
  }

  #newClient(): number {
    return ++this.#clientCount;
  }

  #think(client: number, node: number, isReader: boolean): void {
    this.#sim.queue.schedule(this.#random.exponential(this.#options.thinkMeanUs), () => {
      if (!this.#isRunning) return;
      const nodes = this.#service.nodes();
      const isFaithful = node !== 0 && nodes.includes(node) && !this.#random.chance(wanderRate);
      const operation = this.history.call(client, this.#draw(isReader));
      const target = isFaithful ? node : this.#random.pick(nodes);
      this.#attempt(operation, target, 0, (isAnswered, next) => this.#think(isAnswered ? client : this.#newClient(), next, isReader));
    });
  }

  /** Readers read nearly always; the others mostly write. */
  #draw(isReader: boolean): RegisterInput {
    const round = Math.floor(this.#operationCount++ / (keysAtOnce * operationsPerKey));
    const key = `k${round * keysAtOnce + this.#random.below(keysAtOnce)}`;
    const choice = this.#random.next();
    if (choice < (isReader ? 0.95 : 0.25)) return { kind: "read", key };
    if (isReader || choice < 0.75) return { kind: "write", key, value: this.nextValue() };
    return { kind: "swap", key, expected: this.#seen.get(key) ?? 0, value: this.nextValue() };
  }

  /** Asks `node`, and where that one points to; `done` hears whether an answer came, and whom to ask next. */
  #attempt(operation: RegisterOperation, node: number, count: number, done: (isAnswered: boolean, next: number) => void): void {
    const { queue } = this.#sim;
    let isOver = false;
    const timeout = queue.schedule(this.#options.timeoutUs, () => {
      isOver = true;
      this.#lostCount++;
      done(false, 0);
    });
    const answer = (told: Answer): void => {
      if (isOver) return;
      isOver = true;
      queue.cancel(timeout);
      if (told === "never") {
        this.#give(operation, done);
      } else if ("output" in told) {
        this.#take(operation, told.output);
        done(true, node);
      } else if (count + 1 >= attemptsMax || !this.#isRunning) {
        this.#give(operation, done);
      } else {
        const next = told.refusedFor === 0 || told.refusedFor === node ? this.#random.pick(this.#service.nodes()) : told.refusedFor;
        queue.schedule(10_000 * (count + 1), () => this.#attempt(operation, next, count + 1, done));
      }
    };
    this.#service.request(node, operation.input, answer, (place) => this.placeOf.set(operation, place));
  }

  /** It certainly never happened. */
  #give(operation: RegisterOperation, done: (isAnswered: boolean, next: number) => void): void {
    this.placeOf.delete(operation);
    this.history.forget(operation);
    this.#sim.queue.schedule(100_000, () => done(false, 0));
  }

  #take(operation: RegisterOperation, output: RegisterOutput): void {
    this.placeOf.delete(operation);
    this.history.answer(operation, output);
    this.answeredCount++;
    const { input } = operation;
    if (output.kind === "value") this.#seen.set(input.key, output.value);
    else if (input.kind !== "read") this.#seen.set(input.key, input.value);
  }
}
