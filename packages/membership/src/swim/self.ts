/**
 * This node as a member: its incarnation, what it says about itself, and what it answers to claims of others about it.
 *
 * Invariant: only this node raises its incarnation, and it says nothing new under an old one. Whatever is claimed about it at its own or a higher
 * incarnation is answered by a higher one; a claim at a lower one only shows that the sender has not heard, and it is told.
 *
 * A restarted node begins with incarnation 1 (or what its host kept) and learns from its first sync what is remembered of its earlier life: alive, suspect,
 * dead or left, in another session. It goes above that and is back. When that life is alive at another address, it may be somebody else with the same
 * name: a joining node then waits and says nothing until the cluster has declared the other one dead, and gives up when it does not.
 * Two nodes of one name that both have joined, on two sides of a partition, are told (`nameConflict`) and go on, the later word winning for ten seconds.
 */
import { assert } from "@cfs/core";
import type { Awareness } from "./awareness.ts";
import type { SwimCounters, SwimEvent } from "./events.ts";
import { isActive, type Member, type Metadata } from "./member.ts";
import type { MemberTable } from "./member-table.ts";
import type { ClaimMessage, MemberRecord } from "./messages.ts";
import { limits } from "./options.ts";
import type { SwimRules } from "./rules.ts";

export interface SelfParts {
  readonly table: MemberTable;
  readonly rules: SwimRules;
  readonly awareness: Awareness;
  readonly counters: SwimCounters;
  readonly emit: (event: SwimEvent) => void;
  readonly spread: (message: ClaimMessage) => void;
}

const rivalEveryMs = 10_000;

export class Self {
  readonly #parts: SelfParts;
  #member: Member;
  /** False while a joining node does not know yet whether its name is free: it is not spoken of. */
  #isAnnounced = true;
  /** Somebody else seems to live under this name at this address; set and cleared by what syncs say. */
  #rival: string | null = null;
  /** Before this moment another node with this name is not answered. */
  #nextRivalMs = 0;

  constructor(parts: SelfParts, member: Member) {
    this.#parts = parts;
    this.#member = member;
    parts.table.set(member, null, 0);
  }

  get member(): Member {
    return this.#member;
  }

  get rival(): string | null {
    return this.#rival;
  }

  get record(): MemberRecord {
    return { ...this.#member, ageMs: 0 };
  }

  /** Until `announce` nothing is said about this node, in gossip or in an exchange of tables. */
  hush(): void {
    this.#isAnnounced = false;
    this.#parts.table.delete(this.#member.name);
  }

  announce(): void {
    this.#isAnnounced = true;
    this.#parts.table.set(this.#member, null, 0);
    this.#spread();
  }

  #spread(): void {
    if (this.#isAnnounced) this.#parts.spread({ type: "alive", record: this.record });
  }

  #become(change: Partial<Member>, incarnation: number): void {
    assert(incarnation <= limits.incarnationMax, "an incarnation is in range");
    this.#member = { ...this.#member, ...change, incarnation };
    if (this.#isAnnounced) this.#parts.table.set(this.#member, null, 0);
  }

  setMetadata(metadata: Metadata): void {
    this.#become({ metadata }, this.#member.incarnation + 1);
    this.#spread();
  }

  /** The packet counters begin anew: peers must know the new session. */
  setSession(session: string): void {
    this.#become({ session }, this.#member.incarnation + 1);
    this.#spread();
  }

  leave(): void {
    this.#become({ state: "left" }, this.#member.incarnation + 1);
    this.#parts.spread(this.farewell());
  }

  /** What a leaving node says, more than once. */
  farewell(): ClaimMessage {
    const { name, incarnation } = this.#member;
    const state = this.#parts.rules.stateOfLeave();
    return state === "left" ? { type: state, name, incarnation } : { type: state, name, incarnation, from: name };
  }

  /** Somebody says that this node is suspect, dead or gone. True: the sender is behind and should be told what is true now. */
  accuse(claimed: number): boolean {
    if (this.#member.state === "left") return false;
    if (claimed < this.#member.incarnation) return true;
    this.#refute(claimed);
    return false;
  }

  #refute(claimed: number): void {
    const { rules, counters, awareness } = this.#parts;
    // A claim near the top would leave no room for own words; nobody honest makes it.
    if (claimed >= limits.incarnationAnsweredMax) return;
    counters.refutations++;
    awareness.change(1);
    this.#become({}, rules.refutation(this.#member.incarnation, claimed));
    this.#spread();
  }

  /** Somebody holds a record of this name: this life, an earlier one, or another node. True as for `accuse`. */
  recorded(record: MemberRecord, nowMs: number): boolean {
    if (record.session === this.#member.session && record.state === "alive") return false;
    if (!isActive(record.state)) {
      this.#rival = null;
      return this.accuse(record.incarnation);
    }
    const isElsewhere = record.session !== this.#member.session && record.address !== this.#member.address;
    if (isElsewhere && !this.#isAnnounced) {
      this.#rival = record.address;
      return false;
    }
    if (isElsewhere && record.incarnation >= this.#member.incarnation) {
      // Two that joined on two sides of a partition would answer each other for ever; so they do it slowly, and an operator is told.
      if (nowMs < this.#nextRivalMs) return false;
      this.#nextRivalMs = nowMs + rivalEveryMs;
      this.#parts.emit({ type: "nameConflict", address: record.address, isFinal: false });
    }
    return this.accuse(record.incarnation);
  }
}
