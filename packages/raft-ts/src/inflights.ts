/**
 * Appends that are on their way to one follower: how many, and how many bytes.
 *
 * Bounds what a leader sends ahead of answers (thesis, section 10.2.2), so that a slow follower costs bounded memory and a lost append little.
 */
import { assert } from "@cfs/core";

export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  /** A queue of (last index, bytes), its head at #head. */
  #ends: number[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#ends.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** One append may go over the limit of bytes: so the largest entry can be sent at all. */
  get isFull(): boolean {
    return this.count >= this.#countMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: number, bytes: number): void {
    assert(!this.isFull, "there is room in the window");
    assert(this.count === 0 || lastIndex > (this.#ends[this.#ends.length - 1] as number), "appends go out in order");
    this.#ends.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** The follower has everything up to `index`: so an answer that got lost is made up by the next. */
  freeTo(index: number): void {
    while (this.#head < this.#ends.length && (this.#ends[this.#head] as number) <= index) {
      this.#bytes -= this.#sizes[this.#head] as number;
      this.#head++;
    }
    if (this.#head === this.#ends.length) this.clear();
    else if (this.#head > 64) {
      this.#ends = this.#ends.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    if (this.#ends.length > 0) {
      this.#ends = [];
      this.#sizes = [];
    }
    this.#head = 0;
    this.#bytes = 0;
  }
}
