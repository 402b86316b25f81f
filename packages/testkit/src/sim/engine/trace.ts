/**
 * What a run leaves behind: a hash over everything that happened, and, when asked for, the story in readable lines.
 *
 * Two runs of one commit and seed must give the same hash in any process; the first difference of two stories is where determinism was lost.
 * The hash is two lanes of 32 bits (multiply and rotate, as in MurmurHash3): it tells runs apart, it is not meant to resist anybody.
 */
type Detail = number | string | boolean | null;

/** Lines of a story that are kept; older ones go, because a failure is explained by what came last. */
const linesMax = 200_000;

export class Trace {
  readonly isTold: boolean;
  #low = 0x1234_5678;
  #high = 0x9abc_def1;
  #lines: string[] = [];
  readonly #print: ((line: string) => void) | null;

  /** `print` hears every line at once. */
  constructor(options: { readonly isTold?: boolean; readonly print?: (line: string) => void } = {}) {
    this.isTold = options.isTold ?? false;
    this.#print = options.print ?? null;
  }

  /** Something happened at `atUs` to `who`; `what` and the details go into the hash and the story. */
  event(atUs: number, who: number, what: string, ...details: readonly Detail[]): void {
    this.#mix(atUs);
    this.#mix(who);
    this.#mixText(what);
    for (const detail of details) {
      if (typeof detail === "number") this.#mix(detail);
      else this.#mixText(String(detail));
    }
    if (this.isTold) this.#tell(atUs, who, what, details);
  }

  get hash(): string {
    return hex(this.#high) + hex(this.#low);
  }

  /** Kept lines, oldest first. */
  get story(): readonly string[] {
    return this.#lines;
  }

  #tell(atUs: number, who: number, what: string, details: readonly Detail[]): void {
    const line =
      `${(atUs / 1e6).toFixed(6).padStart(12)} ${who === 0 ? "*" : `n${who}`}`.padEnd(17) + ` ${what} ${details.join(" ")}`.trimEnd();
    this.#lines.push(line);
    if (this.#lines.length > linesMax) this.#lines = this.#lines.slice(linesMax / 2);
    this.#print?.(line);
  }

  #mix(value: number): void {
    const word = value | 0;
    const above = Math.floor(value / 0x1_0000_0000) | 0;
    this.#low = Math.imul(rotate(this.#low ^ Math.imul(word, 0xcc9e_2d51 | 0), 15) + 0x38495ab5, 0x1b87_3593);
    this.#high = Math.imul(rotate(this.#high ^ word ^ Math.imul(above, 0x85eb_ca6b | 0), 13) + this.#low, 0xc2b2_ae35 | 0);
  }

  #mixText(text: string): void {
    let word = text.length;
    for (let at = 0; at < text.length; at++) word = Math.imul(word ^ text.charCodeAt(at), 0x0100_0193);
    this.#mix(word);
  }
}

function rotate(word: number, count: number): number {
  return (word << count) | (word >>> (32 - count));
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}
