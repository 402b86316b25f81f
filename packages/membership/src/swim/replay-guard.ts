/**
 * Each packet is taken at most once, and only in the life of this process that it was sealed for.
 *
 * A packet names the session of its sender, its number in that session, and the session of its receiver (echo). The receiver drops what does not echo its
 * own session: it was made for an earlier life, perhaps recorded then. So within this session a window per sender's session is enough, and it is never
 * forgotten while the session lasts. When there would be too many windows, or the own counter is used up, the node takes a new session: old recordings
 * die with the old one, and memory stays bounded. What a restarted node does is the same: it draws a new session, answers the first packet of each peer
 * by a hello that shows it, and the peer sends again.
 *
 * Window: the highest counter seen and a bit for each of the 1,024 below it. Source: RFC 4303 (ESP), section 3.4.3, made wider for bursts of a
 * table in many packets.
 */
import type { Random } from "@cfs/core";
import type { SwimRules } from "./rules.ts";
import { limits } from "./options.ts";
import { counterMax, unknownSession } from "./packet-cipher.ts";

const windowBits = 1_024;
const wordBits = 32;

class Window {
  #highest = -1;
  readonly #bits = new Uint32Array(windowBits / wordBits);

  #bit(counter: number): { readonly word: number; readonly mask: number } {
    const position = counter % windowBits;
    return { word: Math.floor(position / wordBits), mask: 1 << (position % wordBits) };
  }

  /** Whether the counter was seen or is too old to tell; marks it as seen. */
  mark(counter: number): boolean {
    if (counter <= this.#highest - windowBits) return true;
    if (counter > this.#highest) {
      if (counter - this.#highest >= windowBits) this.#bits.fill(0);
      else
        for (let between = this.#highest + 1; between < counter; between++) {
          const { word, mask } = this.#bit(between);
          this.#bits[word] = (this.#bits[word] ?? 0) & ~mask;
        }
      this.#highest = counter;
    } else {
      const { word, mask } = this.#bit(counter);
      if (((this.#bits[word] ?? 0) & mask) !== 0) return true;
    }
    const { word, mask } = this.#bit(counter);
    this.#bits[word] = (this.#bits[word] ?? 0) | mask;
    return false;
  }
}

export class ReplayGuard {
  readonly #random: Random;
  readonly #rules: SwimRules;
  readonly #windowsMax: number;
  readonly #counterMax: number;
  readonly #windows = new Map<string, Window>();
  #session: string;
  #counter = 0;
  #isFull = false;

  constructor(parts: { readonly random: Random; readonly rules: SwimRules }, bounds: { windowsMax?: number; counterMax?: number } = {}) {
    this.#random = parts.random;
    this.#rules = parts.rules;
    this.#windowsMax = bounds.windowsMax ?? limits.windowsMax;
    this.#counterMax = bounds.counterMax ?? counterMax;
    this.#session = this.#draw();
  }

  #draw(): string {
    const session = Buffer.from(this.#random.bytes(new Uint8Array(8))).toString("hex");
    return session === unknownSession ? "0000000000000001" : session;
  }

  get session(): string {
    return this.#session;
  }

  /** True: nothing new can be taken or sent soon, unless `renew` is called. Half of the counters remain as reserve. */
  get needsRenewal(): boolean {
    return this.#isFull || this.#counter > this.#counterMax / 2;
  }

  renew(): void {
    this.#session = this.#draw();
    this.#windows.clear();
    this.#counter = 0;
    this.#isFull = false;
  }

  /** The number of the next packet of this session. */
  nextCounter(): number {
    return this.#counter++;
  }

  isForThisLife(echo: string): boolean {
    return echo === this.#session;
  }

  /** Whether a packet that was sealed for this life is taken. */
  admits(session: string, counter: number): boolean {
    let window = this.#windows.get(session);
    if (window === undefined) {
      if (this.#windows.size >= this.#windowsMax) {
        this.#isFull = true;
        return false;
      }
      window = new Window();
      this.#windows.set(session, window);
    }
    return !this.#rules.dropsReplay(window.mark(counter));
  }
}
