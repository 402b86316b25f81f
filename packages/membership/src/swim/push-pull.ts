/**
 * Anti-entropy: two nodes compare their tables and exchange what differs. Joining, healing after a partition, and repair of lost gossip are all this.
 *
 *   asker  ── digest: 64 sums ──────────────────────────────▶  answerer
 *   asker  ◀── records of the buckets that differ, sync(ask) ──
 *          ── its records of the buckets asked for ─────────▶
 *
 * Nothing is put together from several packets: each record stands for itself and may be lost, the next exchange finds it. An answer has at most 32
 * packets; when more would be needed it says so (isPartial), and the asker asks again. Equal tables cost one small packet each way;
 * while they differ the next exchange is a second away, so that a change that gossip missed, or half a cluster, arrives within seconds.
 */
import type { Random } from "@cfs/core";
import type { SwimOptions } from "./options.ts";
import { bucketCount } from "./packet-format.ts";
import { recordOf, type MemberTable } from "./member-table.ts";
import type { Message } from "./messages.ts";
import type { NamedValues } from "./named-values.ts";

export interface PushPullParts {
  readonly table: MemberTable;
  readonly values: NamedValues;
  readonly random: Random;
  readonly encode: (message: Message) => Uint8Array;
  readonly send: (address: string, frames: readonly Uint8Array[]) => void;
  readonly roomBytes: number;
}

export interface PushPullNames {
  readonly self: string;
  readonly address: string;
}

/** Whose digest is answered, and what is asked of it in turn. */
interface Answer {
  readonly asker: string | null;
  readonly ask: readonly number[] | null;
}

const answerPacketsMax = 32;
const seedsAtOnce = 3;
const unfinishedMax = 16;

export class PushPull {
  readonly #parts: PushPullParts;
  readonly #names: PushPullNames;
  readonly #options: SwimOptions;
  #seeds: readonly string[] = [];
  #isJoining = false;
  #nextJoinMs = 0;
  #nextSyncMs = 0;
  /** Short while tables differ, then doubled up to the configured interval. */
  #syncEveryMs: number;
  #nextReconnectMs: number;
  /** Peers whose last answer was not complete. */
  readonly #unfinished = new Set<string>();

  constructor(parts: PushPullParts, names: PushPullNames, options: SwimOptions) {
    this.#parts = parts;
    this.#names = names;
    this.#options = options;
    this.#syncEveryMs = options.joinIntervalMs;
    this.#nextReconnectMs = this.#jittered(options.reconnectIntervalMs);
  }

  /** Between half and one and a half times the interval, so that nodes that started together do not stay together. */
  #jittered(intervalMs: number): number {
    return intervalMs * (0.5 + this.#parts.random.next());
  }

  /** Asks seeds until `endJoin`; they are remembered as places to look at when the cluster seems to have gone. */
  join(seeds: readonly string[], nowMs: number): void {
    this.#seeds = seeds.filter((seed) => seed !== this.#names.address);
    this.#isJoining = true;
    this.#nextJoinMs = nowMs;
  }

  get isJoining(): boolean {
    return this.#isJoining;
  }

  endJoin(): void {
    this.#isJoining = false;
  }

  /** `isMember` false: nobody knows this node yet, and it asks only seeds. */
  tick(nowMs: number, isMember: boolean): void {
    if (this.#isJoining) this.#tickJoin(nowMs);
    if (!isMember) return;
    for (const address of this.#unfinished) this.#ask(address, nowMs);
    this.#unfinished.clear();
    const { table, random } = this.#parts;
    if (nowMs >= this.#nextSyncMs) {
      this.#nextSyncMs = nowMs + this.#jittered(this.#syncEveryMs);
      this.#syncEveryMs = Math.min(2 * this.#syncEveryMs, this.#options.syncIntervalMs);
      for (const { member } of table.pick(random, 1, () => true)) this.#ask(member.address, nowMs);
    }
    if (nowMs >= this.#nextReconnectMs) {
      this.#nextReconnectMs = nowMs + this.#jittered(this.#options.reconnectIntervalMs);
      const address = this.#someoneMissing();
      if (address !== null) this.#ask(address, nowMs);
    }
  }

  #tickJoin(nowMs: number): void {
    if (nowMs < this.#nextJoinMs) return;
    this.#nextJoinMs = nowMs + this.#options.joinIntervalMs;
    const seeds = [...this.#seeds];
    for (let asked = 0; asked < seedsAtOnce && seeds.length > 0; asked++) {
      const [seed] = seeds.splice(Math.floor(this.#parts.random.next() * seeds.length), 1);
      this.#ask(seed as string, nowMs);
    }
  }

  /** A dead member, or a seed that is nobody's address here: the other side of a partition, perhaps. */
  #someoneMissing(): string | null {
    const { table, random } = this.#parts;
    const known = new Set(table.active.map(({ member }) => member.address));
    const missing = this.#seeds.filter((seed) => !known.has(seed));
    for (const { member } of table.gone.values())
      if (member.state === "dead" && member.address !== "" && !known.has(member.address)) missing.push(member.address);
    return missing[Math.floor(random.next() * missing.length)] ?? null;
  }

  #sums(nowMs: number): Uint32Array {
    const sums = new Uint32Array(bucketCount);
    this.#parts.table.addSums(sums, nowMs);
    this.#parts.values.addSums(sums);
    return sums;
  }

  #ask(address: string, nowMs: number): void {
    const { encode, send } = this.#parts;
    send(address, [encode({ type: "digest", source: this.#names.self, sums: this.#sums(nowMs) })]);
  }

  onDigest(digest: Extract<Message, { type: "digest" }>, from: string, nowMs: number): void {
    const sums = this.#sums(nowMs);
    const buckets: number[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) if (sums[bucket] !== digest.sums[bucket]) buckets.push(bucket);
    this.#tell(from, new Set(buckets), { asker: digest.source, ask: buckets }, nowMs);
  }

  onSync(sync: Extract<Message, { type: "sync" }>, from: string, nowMs: number): void {
    if (sync.isPartial && this.#unfinished.size < unfinishedMax) this.#unfinished.add(from);
    if (sync.ask.length === 0) return;
    this.#syncEveryMs = this.#options.joinIntervalMs;
    this.#nextSyncMs = Math.min(this.#nextSyncMs, nowMs + this.#jittered(this.#syncEveryMs));
    this.#tell(from, new Set(sync.ask), { asker: null, ask: null }, nowMs);
  }

  /** Sends the records of these buckets; `ask` null: this is the third step, which asks for nothing. */
  #tell(address: string, buckets: ReadonlySet<number>, { asker, ask }: Answer, nowMs: number): void {
    const { table, values, encode, send, random, roomBytes } = this.#parts;
    const records = table.recordsOf(buckets, nowMs).filter(({ name }) => name !== asker);
    const frames = [...values.framesOf(buckets), ...records.map((record) => encode({ type: "record", record }))];
    // From a random place on, so that a partial answer is another part each time.
    const start = Math.floor(random.next() * frames.length);
    const ordered = [...frames.slice(start), ...frames.slice(0, start)];
    // What is remembered of the asker goes first: a node that comes back must know it before it speaks.
    const row = asker === null ? null : table.row(asker);
    const first = row === null ? [] : [encode({ type: "record", record: recordOf(row, nowMs) })];
    const head = ask === null ? [] : [...first, encode({ type: "sync", ask, isPartial: true })];
    const packets = packed(ordered, head, roomBytes);
    const isPartial = packets.length > answerPacketsMax;
    if (ask !== null && !isPartial) packets[0]?.splice(first.length, 1, encode({ type: "sync", ask, isPartial: false }));
    for (const packet of packets.slice(0, answerPacketsMax)) if (packet.length > 0) send(address, packet);
  }
}

/** Frames in packets, in their order; the first packet begins with `head`. */
function packed(frames: readonly Uint8Array[], head: readonly Uint8Array[], roomBytes: number): Uint8Array[][] {
  let packet = [...head];
  let leftBytes = roomBytes;
  for (const frame of head) leftBytes -= frame.length;
  const packets = [packet];
  for (const frame of frames) {
    if (frame.length > leftBytes) {
      packet = [];
      packets.push(packet);
      leftBytes = roomBytes;
    }
    packet.push(frame);
    leftBytes -= frame.length;
  }
  return packets;
}
