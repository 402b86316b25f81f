/**
 * Log lines of a program that is starting: held back until it runs, so that a start that fails prints its reason and nothing else.
 *
 * A start that takes long is watched by somebody: after `holdMs` everything is written as it comes. Warnings are written in any case.
 */
export class StartLog {
  readonly #write: (line: string) => void;
  #held: string[] | null = [];
  readonly #timer: NodeJS.Timeout;

  constructor(write: (line: string) => void, holdMs = 2_000) {
    this.#write = write;
    this.#timer = setTimeout(() => this.open(), holdMs).unref();
  }

  write(line: string): void {
    if (this.#held === null) this.#write(line);
    else this.#held.push(line);
  }

  /** From here on lines go out as they come. */
  open(): void {
    clearTimeout(this.#timer);
    const held = this.#held ?? [];
    this.#held = null;
    for (const line of held) this.#write(line);
  }

  /** The start failed: only what was worth a warning is written. */
  fail(): void {
    this.#held = (this.#held ?? []).filter((line) => /"level":"(?:warn|error)"/.test(line));
    this.open();
  }
}
