/**
 * What the data path counts for metrics: operations by kind, bytes, and how long things took. Plain additions on the hot path; whoever is
 * interested reads the sums.
 */

/** Upper bounds in seconds: 50 µs to 10 s, about three per decade. */
export const latencyBounds: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]; // prettier-ignore

/** Counts of durations in fixed buckets. */
export class LatencyFigures {
  /** One more than bounds: the last counts what is above all of them. Not cumulative. */
  readonly counts: number[] = Array.from({ length: latencyBounds.length + 1 }, () => 0);
  count = 0;
  sumSeconds = 0;

  observeMs(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    let bucket = 0;
    while (bucket < latencyBounds.length && seconds > (latencyBounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.count++;
    this.sumSeconds += seconds;
  }
}

export class OperationFigures {
  /** By kind of request or command. */
  readonly operations: Map<string, number> = new Map();
  bytesRead = 0;
  bytesWritten = 0;
  /** From a read request to its reply. */
  readonly read: LatencyFigures = new LatencyFigures();
  /** From the submission of a batch of journal entries to its being on every copy. */
  readonly journalSync: LatencyFigures = new LatencyFigures();
  /** From the arrival of a command to its durability: one command of each connection is timed at a time. */
  readonly commit: LatencyFigures = new LatencyFigures();

  countOperation(kind: string): void {
    this.operations.set(kind, (this.operations.get(kind) ?? 0) + 1);
  }
}
