/**
 * What becomes of a claim about a member: the state machine of SWIM.
 *
 *                  suspect@i≥k               timeout, dead@i≥k
 *      alive@k ──────────────▶ suspect@i ──────────────────────▶ dead@i ──(tombstone runs out)──▶ forgotten
 *         ▲  ◀── alive@i+1 ──────┘  │ left@j≥i        left@j≥i │   │
 *         └──── alive@i+1 ──────────┴────▶ left@j ◀────────────┘   │     (dead or left, and back with a higher incarnation)
 *         └──── alive@i+1 ─────────────────────────────────────────┘
 *
 * Every claim that changed the table is passed on (broadcast-queue.ts); one that did not is dropped, which ends its spreading.
 * Claims about this node go to self.ts. Source: SWIM 4.2; Lifeguard 3.B and 3.C.
 */
import type { Random } from "@cfs/core";
import type { SwimCounters, SwimEvent } from "./events.ts";
import { isActive, type Member, type MemberState, noMetadata, sameMetadata } from "./member.ts";
import type { MemberTable, Row } from "./member-table.ts";
import type { ClaimMessage, MemberRecord } from "./messages.ts";
import type { SwimOptions } from "./options.ts";
import type { SwimRules } from "./rules.ts";
import { hearsay, Suspicion } from "./suspicion.ts";

export interface ClaimParts {
  readonly table: MemberTable;
  readonly rules: SwimRules;
  readonly random: Random;
  readonly counters: SwimCounters;
  readonly emit: (event: SwimEvent) => void;
  /** Queues a claim for gossip. Suspicions of different accusers live side by side, anything else replaces all about the member. */
  readonly spread: (message: ClaimMessage) => void;
  /** Sends a claim to the suspect itself, at once: the sooner it knows, the sooner it answers (Lifeguard's buddy system). */
  readonly tell: (member: Member, message: ClaimMessage) => void;
  readonly learnSession: (member: Member) => void;
  /** A member appeared, or one is suspected by others: the prober wants to know. */
  readonly onActive: (name: string) => void;
  readonly onAccused: (name: string) => void;
}

/** Of all nodes that hear a rumour about this many verify it at once. */
const verifiers = 3;

export class Claims {
  readonly #parts: ClaimParts;
  readonly #self: string;
  readonly #options: SwimOptions;

  constructor(parts: ClaimParts, self: string, options: SwimOptions) {
    this.#parts = parts;
    this.#self = self;
    this.#options = options;
  }

  /** `isNews`: whether others may not know it either. */
  alive(record: MemberRecord, nowMs: number, isNews: boolean): void {
    const { table, rules, counters, emit } = this.#parts;
    const row = table.row(record.name);
    const claim = { incarnation: record.incarnation, state: "alive" } as const;
    if (row === null) {
      if (table.isFull) return void counters.refusedFull++;
      emit({ type: "joined", member: this.#enliven(record, nowMs, isNews) });
      return this.#parts.onActive(record.name);
    }
    const before = row.member;
    if (!isActive(before.state) ? !rules.comesBack(claim, before) : !rules.supersedes(claim, before)) return;
    const member = this.#enliven(record, nowMs, isNews);
    if (!isActive(before.state)) {
      emit({ type: "joined", member });
      return this.#parts.onActive(record.name);
    }
    if (before.state === "suspect") emit({ type: "refuted", member });
    if (before.address !== member.address || !sameMetadata(before.metadata, member.metadata)) emit({ type: "updated", member, before });
  }

  #enliven(record: MemberRecord, nowMs: number, isNews: boolean): Member {
    const { name, incarnation, session, address, metadata } = record;
    const member: Member = { name, state: "alive", incarnation, session, address, metadata };
    this.#parts.table.set(member, null, nowMs);
    this.#parts.learnSession(member);
    if (isNews) this.#parts.spread({ type: "alive", record: { ...member, ageMs: 0 } });
    return member;
  }

  suspect(name: string, incarnation: number, from: string, nowMs: number): void {
    const row = this.#parts.table.row(name);
    if (row === null) return;
    const { suspicion } = row;
    if (suspicion !== null && suspicion.incarnation === incarnation) {
      if (suspicion.confirm(from)) this.#parts.spread({ type: "suspect", name, incarnation, from });
      return;
    }
    if (isActive(row.member.state) && this.#parts.rules.supersedes({ incarnation, state: "suspect" }, row.member))
      this.#beginSuspicion(row, incarnation, from, nowMs);
  }

  #beginSuspicion(row: Row, incarnation: number, from: string, nowMs: number): void {
    const { table, rules, random, emit, spread, tell, onAccused } = this.#parts;
    const member: Member = { ...row.member, state: "suspect", incarnation };
    const { probeIntervalMs, suspicionMult, suspicionMaxMult, confirmations } = this.#options;
    const minMs = suspicionMult * Math.max(1, Math.log10(table.memberCount)) * probeIntervalMs;
    // This node and the suspect cannot confirm; with two members there is nobody else.
    const wanted = Math.max(0, Math.min(confirmations, table.memberCount - 2));
    const times = { minMs, maxMs: minMs * suspicionMaxMult, wanted };
    table.set(member, new Suspicion(incarnation, from, nowMs, times, rules), nowMs);
    const message = { type: "suspect", name: member.name, incarnation, from } as const;
    spread(message);
    if (from === this.#self) tell(member, message);
    else if (random.next() * table.memberCount < verifiers) onAccused(member.name);
    emit({ type: "suspected", member, from });
  }

  /** `ageMs`: how long the sender has known; 0 when it is news. */
  dead(name: string, incarnation: number, from: string, ageMs: number, nowMs: number): void {
    const before = this.#bury(name, "dead", incarnation, ageMs, nowMs);
    if (before === null) return;
    // In gossip a death is a verdict. Who found it in another table has none to give: there the member may be back by now, and a comparison of tables will tell.
    if (from !== hearsay) this.#parts.spread({ type: "dead", name, incarnation, from });
    const row = this.#parts.table.row(name);
    if (isActive(before) && row !== null) this.#parts.emit({ type: "failed", member: row.member, from });
  }

  left(name: string, incarnation: number, ageMs: number, nowMs: number): void {
    const before = this.#bury(name, "left", incarnation, ageMs, nowMs);
    if (before === null) return;
    this.#parts.spread({ type: "left", name, incarnation });
    const row = this.#parts.table.row(name);
    if (before !== "left" && row !== null) this.#parts.emit({ type: "left", member: row.member });
  }

  /** The state before, or null when the claim changed nothing that others should hear. */
  #bury(name: string, state: "dead" | "left", incarnation: number, ageMs: number, nowMs: number): MemberState | null {
    const { table, rules, counters } = this.#parts;
    const row = table.row(name);
    if (row !== null) {
      const { member } = row;
      if (!rules.supersedes({ incarnation, state }, member)) return null;
      table.set({ ...member, state, incarnation }, null, nowMs - ageMs);
      return member.state;
    }
    // The tombstone of somebody who was never met: it keeps an older claim that comes later from bringing the name back.
    if (table.isFull) counters.refusedFull++;
    else table.set({ name, state, incarnation, session: "", address: "", metadata: noMetadata }, null, nowMs - ageMs);
    return null;
  }

  /** A row of another node's table. */
  record(record: MemberRecord, nowMs: number, isNews: boolean): void {
    const { table, rules } = this.#parts;
    const { name, incarnation, ageMs } = record;
    const row = table.row(name);
    if (record.state === "left") return this.left(name, incarnation, ageMs, nowMs);
    if (record.state === "dead" && (row === null || !isActive(row.member.state) || rules.stateFromSync("dead") === "dead"))
      return this.dead(name, incarnation, hearsay, ageMs, nowMs);
    if (record.state !== "dead") this.alive(record, nowMs, isNews);
    if (record.state !== "alive") this.suspect(name, incarnation, hearsay, nowMs);
  }

  /** The prober got no answer. A member that has spoken meanwhile, by a higher incarnation, is not meant. */
  silence(name: string, incarnation: number, nowMs: number): void {
    const row = this.#parts.table.row(name);
    if (row === null || !isActive(row.member.state)) return;
    if (this.#parts.rules.verdictOfProbe() === "dead") this.dead(name, incarnation, this.#self, 0, nowMs);
    else this.suspect(name, incarnation, this.#self, nowMs);
  }

  /** Ends suspicions and tombstones that have run out. */
  tick(nowMs: number): void {
    const { table } = this.#parts;
    for (const { member, suspicion } of [...table.suspects])
      if (suspicion !== null && nowMs >= suspicion.deadlineMs) this.dead(member.name, suspicion.incarnation, this.#self, 0, nowMs);
    for (const member of table.expired(nowMs)) {
      table.delete(member.name);
      this.#parts.emit({ type: "reaped", member });
    }
  }

  /** After a stall every suspect gets its whole time again. */
  restartSuspicions(nowMs: number): void {
    for (const { suspicion } of this.#parts.table.suspects) suspicion?.restart(nowMs);
  }
}

/** What is held about a member that is not well, as a message to it; null when there is nothing to answer. */
export function accusation(row: Row, self: string): ClaimMessage | null {
  const { name, state, incarnation } = row.member;
  if (state === "alive") return null;
  return state === "left" ? { type: "left", name, incarnation } : { type: state, name, incarnation, from: self };
}
