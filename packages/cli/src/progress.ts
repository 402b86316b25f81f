/**
 * Progress of anything long: a bar with rate and remaining time on a terminal, a line now and then elsewhere.
 *
 * The rate is that of the last seconds, not since the beginning, so that the remaining time follows what happens now.
 * Invariant: nothing is written with `--json`, and on a terminal the bar is gone when `end` returns.
 */
import { formatBytes, formatCount, formatDuration } from "./format.ts";
import type { Terminal, Ui } from "./output.ts";

export interface ProgressOptions {
  /** What is going on: "scrub", "writing". */
  readonly label: string;
  readonly unit: "bytes" | "items";
  /** Null when nobody knows how much there is. */
  readonly total: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly done: number;
}

const redrawMs = 100;
const lineMs = 10_000;
const windowMs = 10_000;
const barColumns = 24;

/** Units per second over the samples; null as long as they say nothing. */
export function rateOf(samples: readonly Sample[]): number | null {
  const first = samples[0];
  const last = samples.at(-1);
  if (first === undefined || last === undefined || last.atMs - first.atMs < 200) return null;
  return ((last.done - first.done) * 1000) / (last.atMs - first.atMs);
}

/** One line of text, without colours and line end. */
export function renderProgress(options: ProgressOptions, done: number, perSecond: number | null): string {
  const amount = options.unit === "bytes" ? formatBytes : formatCount;
  const parts = [options.label];
  if (options.total !== null) {
    const share = options.total === 0 ? 1 : Math.min(1, done / options.total);
    const filled = Math.floor(share * barColumns);
    parts.push(
      `[${"#".repeat(filled)}${"-".repeat(barColumns - filled)}] ${Math.floor(share * 100)} %`,
      `${amount(done)} of ${amount(options.total)}`,
    );
  } else parts.push(amount(done));
  if (perSecond !== null) parts.push(`${amount(perSecond)}/s`);
  if (perSecond !== null && perSecond > 0 && options.total !== null && done < options.total) {
    parts.push(`${formatDuration((options.total - done) / perSecond)} left`);
  }
  return parts.join("  ");
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #terminal: Terminal;
  readonly #isSilent: boolean;
  readonly #nowMs: () => number;
  #samples: Sample[] = [];
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isDrawn = false;

  constructor(ui: Ui, options: ProgressOptions) {
    this.#options = options;
    this.#terminal = ui.stderr;
    this.#isSilent = ui.isJson;
    this.#nowMs = ui.nowMs;
    this.#drawnMs = ui.stderr.isTerminal ? Number.NEGATIVE_INFINITY : ui.nowMs();
  }

  /** `done` counts from 0 to the total; call it as often as you like. */
  update(done: number): void {
    if (this.#isSilent) return;
    const atMs = this.#nowMs();
    if (atMs - this.#drawnMs < (this.#terminal.isTerminal ? redrawMs : lineMs)) return;
    this.#samples = [...this.#samples.filter((sample) => atMs - sample.atMs <= windowMs * 2), { atMs, done }];
    this.#drawnMs = atMs;
    const line = renderProgress(this.#options, done, rateOf(this.#samples));
    if (!this.#terminal.isTerminal) return this.#terminal.write(`${line}\n`);
    // Cut to the width, because a line that wraps cannot be drawn over.
    this.#terminal.write(`\r${line.slice(0, this.#terminal.columns - 1)}\u001B[K`);
    this.#isDrawn = true;
  }

  /** Takes the bar away; what the command says next starts on a clean line. Safe to call twice. */
  end(): void {
    if (this.#isDrawn) this.#terminal.write("\r\u001B[K");
    this.#isDrawn = false;
  }

  [Symbol.dispose](): void {
    this.end();
  }
}
