/**
 * Named values of the host that everybody shall have, such as the revocation list: the highest version of a name wins everywhere.
 *
 * One name has one writer at a time. Where that fails, two values may have one version: the one with the greater hash of its content wins, everywhere and in
 * any order of arrival. The hash goes with every announcement, pull and part, and a value that was pulled is held only when its bytes have that hash: what a
 * node holds is what somebody published, never parts of two.
 *
 * A value of up to 400 bytes rides in the gossip itself. Of a larger one only the announcement does; whoever lacks it pulls its parts of 1,024 bytes, eight
 * at a time, from the node that told it, or from any other when that one is silent, and announces it in turn once it is whole.
 * The bytes are not looked at: a host that must not trust every holder of the gossip key signs them.
 * Invariant: at most 16 names with at most 64 KiB each are held, and one more of each while it is pulled.
 */
import type { Random } from "@cfs/core";
import type { SwimCounters, SwimEvent } from "./events.ts";
import type { AnnounceMessage, ItemMessage, Message } from "./messages.ts";
import { bucketOf, hashOf, type MemberTable } from "./member-table.ts";
import { limits } from "./options.ts";
import type { SwimRules, ValueId } from "./rules.ts";

/** Names the content of a value: 32 hex digits, for the same bytes the same on every node, for others never. nodeHash is the real one. */
export type ContentHash = (bytes: Uint8Array) => string;

export interface NamedValueParts {
  readonly table: MemberTable;
  readonly random: Random;
  readonly rules: SwimRules;
  readonly hash: ContentHash;
  readonly counters: SwimCounters;
  readonly encode: (message: Message) => Uint8Array;
  readonly send: (address: string, frames: readonly Uint8Array[]) => void;
  readonly spread: (name: string, frame: Uint8Array) => void;
  readonly emit: (event: SwimEvent) => void;
}

export interface NamedValue {
  readonly version: number;
  readonly bytes: Uint8Array;
}

interface Held extends NamedValue, ValueId {}

/** A value that is on its way here. */
interface Pull extends ValueId {
  readonly bytes: Uint8Array;
  readonly missing: Set<number>;
  source: string;
  /** Parts asked for and not here yet. */
  awaited: number;
  retryMs: number;
  retries: number;
}

const pullRetryMs = 300;
/** Then the pull is dropped; the next exchange of tables begins it again. */
const retriesMax = 20;
/** Values and members share the buckets of the digest; the prefix keeps their hashes apart. */
const keyOf = (name: string): string => `value ${name}`;

export class NamedValues {
  readonly #parts: NamedValueParts;
  readonly #values = new Map<string, Held>();
  readonly #pulls = new Map<string, Pull>();

  constructor(parts: NamedValueParts) {
    this.#parts = parts;
  }

  get(name: string): NamedValue | null {
    const held = this.#values.get(name);
    return held === undefined ? null : { version: held.version, bytes: held.bytes };
  }

  /** The host's own new value; false when this version or a newer one is known. */
  publish(name: string, version: number, bytes: Uint8Array): boolean {
    if (version <= (this.#values.get(name)?.version ?? 0)) return false;
    const value = { version, bytes: Uint8Array.from(bytes), hash: this.#parts.hash(bytes) };
    if (!this.#isNews(name, value)) return false;
    this.#accept(name, value);
    return true;
  }

  #isNews(name: string, id: ValueId): boolean {
    const held = this.#values.get(name);
    if (held !== undefined) return this.#parts.rules.isNewerValue(id, held);
    if (this.#values.size < limits.itemsMax) return true;
    this.#parts.counters.refusedFull++;
    return false;
  }

  #accept(name: string, held: Held): void {
    this.#values.set(name, held);
    const pull = this.#pulls.get(name);
    if (pull !== undefined && !this.#parts.rules.isNewerValue(pull, held)) this.#pulls.delete(name);
    this.#parts.spread(name, this.#frameOf(name, held));
    this.#parts.emit({ type: "broadcast", name, version: held.version, bytes: held.bytes });
  }

  #frameOf(name: string, { version, hash, bytes }: Held): Uint8Array {
    return this.#parts.encode(
      bytes.length <= limits.itemInlineBytesMax
        ? { type: "item", name, version, bytes }
        : { type: "announce", name, version, hash, lengthBytes: bytes.length },
    );
  }

  onItem({ name, version, bytes }: ItemMessage): void {
    const value = { version, bytes: Uint8Array.from(bytes), hash: this.#parts.hash(bytes) };
    if (this.#isNews(name, value)) this.#accept(name, value);
  }

  onAnnounce(announce: AnnounceMessage, from: string, nowMs: number): void {
    const { name, version, hash, lengthBytes } = announce;
    if (!this.#isNews(name, announce)) return;
    const running = this.#pulls.get(name);
    if (running !== undefined && !this.#parts.rules.isNewerValue(announce, running)) return;
    if (running === undefined && this.#pulls.size >= limits.itemsMax) return void this.#parts.counters.refusedFull++;
    const partCount = Math.ceil(lengthBytes / limits.itemPartBytes);
    const missing = new Set(Array.from({ length: partCount }, (_, index) => index));
    const pull = { version, hash, bytes: new Uint8Array(lengthBytes), missing, source: from, awaited: 0, retryMs: 0, retries: 0 };
    this.#pulls.set(name, pull);
    this.#request(name, pull, nowMs);
  }

  #request(name: string, pull: Pull, nowMs: number): void {
    pull.retryMs = nowMs + pullRetryMs;
    const parts = [...pull.missing].slice(0, limits.itemPartsMax);
    pull.awaited = parts.length;
    this.#parts.send(pull.source, [this.#parts.encode({ type: "pull", name, version: pull.version, hash: pull.hash, parts })]);
  }

  onPull(pull: Extract<Message, { type: "pull" }>, from: string): void {
    const { name, version, hash, parts } = pull;
    const held = this.#values.get(name);
    if (held === undefined) return;
    // It asks for what is no longer the newest, or not here yet: tell what there is.
    if (!this.#parts.rules.isSameValue(pull, held)) return this.#parts.send(from, [this.#frameOf(name, held)]);
    const lengthBytes = held.bytes.length;
    for (const index of parts) {
      const begin = index * limits.itemPartBytes;
      if (begin >= lengthBytes) continue;
      const bytes = held.bytes.subarray(begin, Math.min(begin + limits.itemPartBytes, lengthBytes));
      this.#parts.send(from, [this.#parts.encode({ type: "part", name, version, hash, lengthBytes, index, bytes })]);
    }
  }

  onPart(part: Extract<Message, { type: "part" }>, from: string, nowMs: number): void {
    const pull = this.#pulls.get(part.name);
    if (pull === undefined || !this.#parts.rules.isSameValue(part, pull) || pull.bytes.length !== part.lengthBytes) return;
    if (!pull.missing.delete(part.index)) return;
    pull.bytes.set(part.bytes, part.index * limits.itemPartBytes);
    pull.source = from;
    pull.retries = 0;
    pull.retryMs = nowMs + pullRetryMs;
    pull.awaited--;
    if (pull.missing.size === 0) this.#finish(part.name, pull);
    else if (pull.awaited <= 0) this.#request(part.name, pull, nowMs);
  }

  /** The last part is here. Bytes that are not what was announced are dropped; the next exchange of tables begins a new pull. */
  #finish(name: string, { version, hash, bytes }: Pull): void {
    this.#pulls.delete(name);
    const value = { version, bytes, hash: this.#parts.hash(bytes) };
    if (!this.#parts.rules.isSameValue(value, { version, hash })) this.#parts.counters.valuesDamaged++;
    else if (this.#isNews(name, value)) this.#accept(name, value);
  }

  /** Asks again where parts are missing: another node, because the first may have died. */
  tick(nowMs: number): void {
    for (const [name, pull] of this.#pulls) {
      if (nowMs < pull.retryMs) continue;
      if (pull.retries++ >= retriesMax) {
        this.#pulls.delete(name);
        continue;
      }
      // A lost packet is likelier than a lost source: every third time somebody else is asked.
      if (pull.retries % 3 === 0) {
        const [other] = this.#parts.table.pick(this.#parts.random, 1, () => true);
        pull.source = other?.member.address ?? pull.source;
      }
      this.#request(name, pull, nowMs);
    }
  }

  addSums(sums: Uint32Array): void {
    for (const [name, { version, hash }] of this.#values) {
      const bucket = bucketOf(keyOf(name));
      sums[bucket] = ((sums[bucket] ?? 0) + hashOf(`${keyOf(name)} ${hash}`, version, 0)) >>> 0;
    }
  }

  framesOf(buckets: ReadonlySet<number>): Uint8Array[] {
    const told = [...this.#values].filter(([name]) => buckets.has(bucketOf(keyOf(name))));
    return told.map(([name, held]) => this.#frameOf(name, held));
  }
}
