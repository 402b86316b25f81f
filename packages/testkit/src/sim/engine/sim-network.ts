/**
 * The network between simulated processes: it delays, loses, doubles and reorders messages, and cuts links in one direction or both.
 *
 * Messages are values or bytes; what is sent must not change afterwards. Each message has its own delay, so they overtake each other.
 * A message that was under way when its receiver crashed does not reach the next life. Faults are data (`NetworkFaults`) and may change at any time.
 */
import type { EventQueue } from "./event-queue.ts";
import type { SimProcess } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";

export interface NetworkFaults {
  /** 0 to 1: messages that vanish. */
  lossRate: number;
  /** 0 to 1: messages that come twice. */
  duplicateRate: number;
  /** Least delay of every message, µs. */
  delayMinUs: number;
  /** Mean of the rest, exponential, µs. */
  delayMeanUs: number;
  /** 0 to 1: messages that take up to `lateMaxUs` more, and so come out of order. */
  lateRate: number;
  lateMaxUs: number;
}

export const calmNetwork: Readonly<NetworkFaults> = {
  lossRate: 0,
  duplicateRate: 0,
  delayMinUs: 50,
  delayMeanUs: 300,
  lateRate: 0,
  lateMaxUs: 0,
};

/** Turns a message into what travels, and that into what arrives: once for each copy. */
export type Wire<M> = (message: M) => () => M;

export interface NetworkParts<M> {
  readonly queue: EventQueue;
  readonly random: SimRandom;
  /** Through a codec, for example; default: the receiver gets the very message. */
  readonly wire?: Wire<M>;
}

export type Receiver<M> = (from: number, message: M) => void;

export class SimNetwork<M> {
  readonly faults: NetworkFaults = { ...calmNetwork };
  sentCount = 0;
  lostCount = 0;
  readonly #parts: NetworkParts<M>;
  readonly #ends: Map<number, { readonly process: SimProcess; receiver: Receiver<M> }> = new Map();
  /** Directed links that carry nothing, by `from * 65536 + to`. */
  readonly #cuts: Map<number, number> = new Map();

  constructor(parts: NetworkParts<M>) {
    this.#parts = parts;
  }

  /** Messages to `process.id` go to `receiver`, until another one takes its place. */
  attach(process: SimProcess, receiver: Receiver<M>): void {
    this.#ends.set(process.id, { process, receiver });
  }

  detach(id: number): void {
    this.#ends.delete(id);
  }

  send(from: number, to: number, message: M): void {
    const { random } = this.#parts;
    this.sentCount++;
    if (this.isCut(from, to) || random.chance(this.faults.lossRate)) {
      this.lostCount++;
      return;
    }
    const open = this.#parts.wire?.(message) ?? ((): M => message);
    this.#carry(from, to, open);
    if (random.chance(this.faults.duplicateRate)) this.#carry(from, to, open);
  }

  /** Cuts one direction. Cuts count: a link that was cut twice needs two repairs. */
  cut(from: number, to: number): void {
    const link = from * 65_536 + to;
    this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1);
  }

  repair(from: number, to: number): void {
    const link = from * 65_536 + to;
    const count = this.#cuts.get(link) ?? 0;
    if (count <= 1) this.#cuts.delete(link);
    else this.#cuts.set(link, count - 1);
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(from * 65_536 + to);
  }

  /** No faults and no cuts from now on. */
  calm(): void {
    Object.assign(this.faults, calmNetwork);
    this.#cuts.clear();
  }

  #carry(from: number, to: number, open: () => M): void {
    const { random, queue } = this.#parts;
    const end = this.#ends.get(to);
    if (end === undefined) return;
    const { delayMinUs, delayMeanUs, lateRate, lateMaxUs } = this.faults;
    const lateUs = random.chance(lateRate) ? random.next() * lateMaxUs : 0;
    const life = end.process.life;
    queue.schedule(delayMinUs + random.exponential(delayMeanUs) + lateUs, () => {
      const now = this.#ends.get(to);
      if (now === undefined || now.process.life !== life) return;
      // A link that was cut while the message was under way has lost it.
      if (this.isCut(from, to)) this.lostCount++;
      else now.process.arrive(() => now.receiver(from, open()));
    });
  }
}
