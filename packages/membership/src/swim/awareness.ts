/**
 * Local health: how far this node trusts its own view of the others.
 *
 * 0 is well. Each sign that the trouble is here (own probes fail without anybody's nack, a suspicion about this node, a stall) adds to it, each answered
 * probe takes one away. Probe interval and timeout are stretched by (score + 1), so that a slow node accuses others later instead of wrongly.
 *
 * Source: Lifeguard, section 3.A (Local Health Aware Probe).
 */
export class Awareness {
  readonly #scoreMax: number;
  #score = 0;

  constructor(scoreMax: number) {
    this.#scoreMax = scoreMax;
  }

  get score(): number {
    return this.#score;
  }

  /** Positive when something went wrong here, negative when it went well. */
  change(by: number): void {
    this.#score = Math.min(Math.max(this.#score + by, 0), this.#scoreMax);
  }

  stretch(durationMs: number): number {
    return durationMs * (this.#score + 1);
  }
}
