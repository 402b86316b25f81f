/**
 * Everything this node knows about the members, itself and tombstones included.
 *
 * Invariant: `active` holds exactly the other members that are alive or suspect; a row with a suspicion is suspect.
 * The table is summed up in 64 buckets (by a hash of the name), so that two nodes find out what differs with one packet: a sum is the sum of one hash per
 * row, over name, incarnation and whether the member is active, dead or gone. Alive and suspect count as the same, because suspicion passes by itself.
 * Old tombstones do not count and are not told on: otherwise two nodes would keep each other's tombstones for ever.
 */
import type { Random } from "@cfs/core";
import { isActive, type Member, stateRanks } from "./member.ts";
import type { MemberRecord } from "./messages.ts";
import { limits } from "./options.ts";
import { bucketCount } from "./packet-format.ts";
import type { Suspicion } from "./suspicion.ts";

export interface Row {
  member: Member;
  /** While the member is suspect; null otherwise. */
  suspicion: Suspicion | null;
  /** For dead and left members: when they died, in steady time; may be before the start of this process. */
  goneMs: number;
  readonly bucket: number;
  hash: number;
  /** Index in `active`, or -1. */
  activeIndex: number;
}

/** FNV-1a over the char codes, then mixed, so that sums of hashes do not cancel out. */
export function hashOf(text: string, number: number, kind: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (number >>> 0), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ Math.floor(number / 0x1_0000_0000), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ kind, 0x27d4eb2f);
  return (hash ^ (hash >>> 15)) >>> 0;
}

export function bucketOf(name: string): number {
  return hashOf(name, 0, 0) % bucketCount;
}

export class MemberTable {
  readonly #self: string;
  readonly #rows = new Map<string, Row>();
  readonly #active: Row[] = [];
  readonly #suspects = new Map<string, Row>();
  readonly #gone = new Map<string, Row>();
  readonly #tombstoneMs: number;

  constructor(self: string, tombstoneMs: number) {
    this.#self = self;
    this.#tombstoneMs = tombstoneMs;
  }

  /** How many take part: this node and the active others. */
  get memberCount(): number {
    return this.#active.length + 1;
  }

  get isFull(): boolean {
    return this.#rows.size >= limits.membersMax;
  }

  get active(): readonly Row[] {
    return this.#active;
  }

  get suspects(): Iterable<Row> {
    return this.#suspects.values();
  }

  get gone(): ReadonlyMap<string, Row> {
    return this.#gone;
  }

  rows(): Iterable<Row> {
    return this.#rows.values();
  }

  row(name: string): Row | null {
    return this.#rows.get(name) ?? null;
  }

  /** Puts a member in its new state; `goneMs` matters for dead and left ones. */
  set(member: Member, suspicion: Suspicion | null, goneMs: number): void {
    let row = this.#rows.get(member.name);
    const kind = isActive(member.state) ? 0 : stateRanks[member.state];
    const hash = hashOf(member.name, member.incarnation, kind);
    if (row === undefined) {
      row = { member, suspicion, goneMs, bucket: bucketOf(member.name), hash, activeIndex: -1 };
      this.#rows.set(member.name, row);
    } else Object.assign(row, { member, suspicion, goneMs, hash });
    this.#index(row);
  }

  delete(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    this.#suspects.delete(name);
    this.#gone.delete(name);
    this.#deactivate(row);
  }

  #index(row: Row): void {
    const { name, state } = row.member;
    if (row.suspicion === null) this.#suspects.delete(name);
    else this.#suspects.set(name, row);
    if (isActive(state)) this.#gone.delete(name);
    else this.#gone.set(name, row);
    if (!isActive(state) || name === this.#self) this.#deactivate(row);
    else if (row.activeIndex < 0) {
      row.activeIndex = this.#active.length;
      this.#active.push(row);
    }
  }

  #deactivate(row: Row): void {
    if (row.activeIndex < 0) return;
    const last = this.#active.pop() as Row;
    if (last !== row) {
      this.#active[row.activeIndex] = last;
      last.activeIndex = row.activeIndex;
    }
    row.activeIndex = -1;
  }

  /** Up to `count` different active members for which `fits` holds, in random order. */
  pick(random: Random, count: number, fits: (row: Row) => boolean): Row[] {
    const picked: Row[] = [];
    const total = this.#active.length;
    // A few more draws than wanted find enough in a large table; in a small one everybody is looked at once.
    if (total > 8 * count) {
      for (let draws = 4 * count; draws > 0 && picked.length < count; draws--) {
        const row = this.#active[Math.floor(random.next() * total)] as Row;
        if (fits(row) && !picked.includes(row)) picked.push(row);
      }
      return picked;
    }
    const candidates = this.#active.filter((row) => fits(row));
    while (picked.length < count && candidates.length > 0) {
      const index = Math.floor(random.next() * candidates.length);
      picked.push(candidates[index] as Row);
      candidates[index] = candidates[candidates.length - 1] as Row;
      candidates.pop();
    }
    return picked;
  }

  #isTold(row: Row, nowMs: number): boolean {
    return isActive(row.member.state) || nowMs - row.goneMs < this.#tombstoneMs / 2;
  }

  addSums(sums: Uint32Array, nowMs: number): void {
    for (const row of this.#rows.values()) if (this.#isTold(row, nowMs)) sums[row.bucket] = ((sums[row.bucket] ?? 0) + row.hash) >>> 0;
  }

  recordsOf(buckets: ReadonlySet<number>, nowMs: number): MemberRecord[] {
    const records: MemberRecord[] = [];
    for (const row of this.#rows.values()) if (buckets.has(row.bucket) && this.#isTold(row, nowMs)) records.push(recordOf(row, nowMs));
    return records;
  }

  /** Tombstones that have run out. */
  expired(nowMs: number): Member[] {
    const found: Member[] = [];
    for (const row of this.#gone.values())
      if (row.member.name !== this.#self && nowMs - row.goneMs >= this.#tombstoneMs) found.push(row.member);
    return found;
  }
}

export function recordOf(row: Row, nowMs: number): MemberRecord {
  return { ...row.member, ageMs: isActive(row.member.state) ? 0 : Math.max(0, Math.floor(nowMs - row.goneMs)) };
}
