/**
 * Payloads of one group on their way: which are at hand, who holds which, and how far the commit gate is open.
 *
 * The rule (architecture, section 6): an entry commits when a majority has the entry and two nodes have its payload durably. The leader sends
 * payloads beside the append to one follower, the mate, and to the others only appends whose payloads two nodes have ("the gate passed").
 * A follower takes an entry only together with its payload, or when the gate passed it. So wherever an entry is found after one node was lost,
 * its payload is found too, and a new leader never inherits an entry that it can neither commit nor drop.
 *
 * `held` of a replica: it has the payload of every entry up to there, not counting entries that are committed or that the gate passed: both
 * are facts about an entry (not an index) that stay true whoever leads. So a follower keeps the second only for entries that are known to be
 * those of the leader that said it, and forgets it with the entry. Messages that must wait are late for Raft, which takes them for delayed.
 */
import type { AppendMessage, Entry, Message } from "raft-ts";
import type { DriverRules } from "./driver-rules.ts";
import { hasPayload, payloadOf } from "./envelope-format.ts";
import type { GroupEntries } from "./group-entries.ts";
import type { GroupId, Payload } from "./group-log.ts";
import type { PeerItem } from "./peers.ts";

export interface PayloadDeskParts {
  readonly group: GroupId;
  /** This replica. */
  readonly self: number;
  /** What is durable. */
  readonly entries: GroupEntries;
  readonly rules: DriverRules;
  readonly crc32c: (bytes: Uint8Array) => number;
  readonly read: (index: number) => Promise<Uint8Array>;
  readonly send: (replica: number, item: PeerItem) => void;
  /** Something may go on that could not before. */
  readonly wake: () => void;
  /** Shared by all groups of the node. */
  readonly budget: PayloadBudget;
}

export interface PayloadDeskOptions {
  /** Payloads at hand, in bytes. */
  readonly nearBytesMax: number;
  /** A mate that does not answer for so many ticks is not the mate any more. */
  readonly mateTicks: number;
}

export interface PayloadBudget {
  usedBytes: number;
  readonly bytesMax: number;
}

interface Near {
  readonly payload: Payload;
  /** Its entry was given to Raft: it must not be dropped before both are durable. */
  isAdmitted: boolean;
}

/** Appends that wait for one follower; beyond it they are lost, and Raft sends them again. */
const queueMax = 256;
/** Payloads asked for at once. */
const wantMax = 16;

const keyOf = (index: number, term: number): string => `${index}/${term}`;

export class PayloadDesk {
  readonly #parts: PayloadDeskParts;
  readonly #options: PayloadDeskOptions;
  readonly #near: Map<string, Near> = new Map();
  #nearBytes = 0;
  /** As described above, of this replica; of the others while this one leads. */
  #held = 0;
  readonly #heldByOthers: Map<number, number> = new Map();
  /** While leading. */
  #gate = 0;
  #committed = 0;
  /** Entries of this log up to here passed some leader's gate. */
  #passed = 0;
  /** What the leader of the term said of its gate, and how far this log is known to match its own. */
  #told = { term: 0, gate: 0, match: 0, reported: 0 };
  #isLeader = false;
  #voters: readonly number[] = [];
  #mate = 0;
  #stuckTicks = 0;
  #stuckAt = 0;
  readonly #queues: Map<number, AppendMessage[]> = new Map();
  readonly #loading: Set<string> = new Set();

  constructor(parts: PayloadDeskParts, options: PayloadDeskOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  get heldIndex(): number {
    return this.#held;
  }

  get gateIndex(): number {
    return this.#gate;
  }

  /** The follower that gets payloads; 0 when this replica does not lead or there is none. */
  get mate(): number {
    return this.#isLeader ? this.#mate : 0;
  }

  get nearBytes(): number {
    return this.#nearBytes;
  }

  /** False: too much is on its way. */
  hasRoom(sizeBytes: number): boolean {
    const { budget } = this.#parts;
    const fits = this.#nearBytes + sizeBytes <= this.#options.nearBytesMax && budget.usedBytes + sizeBytes <= budget.bytesMax;
    return fits || this.#near.size === 0;
  }

  /** The payload of an entry that this leader just proposed. */
  propose(payload: Payload): void {
    this.#put(payload, true);
  }

  /** Payloads from another node. What finds no room is lost, the last ones first: the entries before them can be taken. */
  receive(payloads: readonly Payload[]): void {
    let sizeBytes = 0;
    for (const { bytes } of payloads) sizeBytes += bytes.length;
    if (!this.hasRoom(sizeBytes)) this.#dropStrays();
    for (const payload of payloads) {
      if (this.#near.has(keyOf(payload.index, payload.term))) continue;
      if (!this.hasRoom(payload.bytes.length)) break;
      this.#put(payload, false);
    }
    this.#parts.wake();
  }

  #put(payload: Payload, isAdmitted: boolean): void {
    this.#near.set(keyOf(payload.index, payload.term), { payload, isAdmitted });
    this.#nearBytes += payload.bytes.length;
    this.#parts.budget.usedBytes += payload.bytes.length;
  }

  #drop(key: string): void {
    const sizeBytes = this.#near.get(key)?.payload.bytes.length ?? 0;
    this.#nearBytes -= sizeBytes;
    this.#parts.budget.usedBytes -= sizeBytes;
    this.#near.delete(key);
  }

  /** The group goes: its share of the budget is given back. */
  close(): void {
    for (const key of this.#near.keys()) this.#drop(key);
    this.follow();
  }

  #dropStrays(): void {
    for (const [key, { isAdmitted }] of this.#near) if (!isAdmitted) this.#drop(key);
  }

  /** The part of an append that may be taken: entries from the first one without its payload on are cut off. */
  admit(message: AppendMessage, gate: number): AppendMessage {
    if (message.term > this.#told.term) this.#told = { term: message.term, gate, match: 0, reported: 0 };
    else if (message.term === this.#told.term) this.#told.gate = Math.max(this.#told.gate, gate);
    for (const [at, entry] of message.entries.entries()) {
      if (!hasPayload(entry) || this.#isHere(entry)) continue;
      if (!this.#parts.rules.mayTakeEntry(entry, false, Math.max(gate, this.#committed))) {
        return { ...message, entries: message.entries.slice(0, at) };
      }
    }
    return message;
  }

  /** At hand and the right one, or durable. */
  #isHere(entry: Entry): boolean {
    const near = this.#near.get(keyOf(entry.index, entry.term));
    if (near !== undefined && this.#fits(entry, near.payload)) {
      near.isAdmitted = true;
      return true;
    }
    return this.#parts.entries.hasPayload(entry.index, entry.term);
  }

  #fits(entry: Entry, payload: Payload): boolean {
    const head = payloadOf(entry);
    return head !== null && head.sizeBytes === payload.bytes.length && head.crc === this.#parts.crc32c(payload.bytes);
  }

  /** What is to be written with these entries, and what came for entries that are in the log already. */
  payloadsFor(entries: readonly Entry[]): readonly Payload[] {
    if (this.#near.size === 0) return [];
    const found: Payload[] = [];
    for (const entry of entries) {
      const near = this.#near.get(keyOf(entry.index, entry.term));
      if (near !== undefined) found.push(near.payload);
    }
    const begin = entries[0]?.index ?? Number.MAX_SAFE_INTEGER;
    for (const { payload, isAdmitted } of this.#near.values()) {
      if (isAdmitted || payload.index >= begin) continue;
      const entry = this.#parts.entries.at(payload.index);
      if (entry?.term !== payload.term || this.#parts.entries.hasPayload(payload.index, payload.term)) continue;
      if (this.#fits(entry, payload)) found.push(payload);
    }
    return found;
  }

  /** The log is about to be cut at `index`. */
  cut(index: number): void {
    this.#held = Math.min(this.#held, index - 1);
    this.#passed = Math.min(this.#passed, index - 1);
  }

  /** Entries and payloads were written, or `committed` rose. */
  advance(committed: number): void {
    this.#committed = committed;
    this.#count();
    this.#forget();
    if (!this.#isLeader) return;
    this.#gate = Math.max(this.#gate, committed);
    this.#moveGate();
  }

  #count(): void {
    const { entries } = this.#parts;
    let held = Math.max(this.#held, this.#committed, this.#passed, entries.snapshot.index);
    for (; held < entries.lastIndex; held++) {
      const entry = entries.at(held + 1) as Entry;
      if (hasPayload(entry) && !entries.hasPayload(entry.index, entry.term)) break;
    }
    this.#held = Math.min(held, entries.lastIndex);
  }

  #promisedIndex(): number {
    let last = 0;
    for (const { payload } of this.#near.values()) last = Math.max(last, payload.index);
    return last;
  }

  /** Drops payloads that nobody here needs in memory any more. */
  #forget(): void {
    for (const [key, { payload }] of this.#near) {
      const isDurable = this.#parts.entries.hasPayload(payload.index, payload.term);
      if (isDurable && (!this.#isLeader || payload.index <= this.#gate)) this.#drop(key);
    }
  }

  /** This replica leads now, from this commit index. */
  lead(voters: readonly number[], isUp: (replica: number) => boolean): void {
    this.#isLeader = true;
    this.#voters = voters;
    this.#gate = this.#committed;
    this.#heldByOthers.clear();
    this.#queues.clear();
    this.#chooseMate(isUp);
  }

  setVoters(voters: readonly number[]): void {
    this.#voters = voters;
  }

  follow(): void {
    this.#isLeader = false;
    this.#heldByOthers.clear();
    this.#queues.clear();
    this.#mate = 0;
  }

  /** A follower told, in this leader's term, how far it has payloads. */
  heldBy(replica: number, index: number): void {
    if (!this.#isLeader || index <= (this.#heldByOthers.get(replica) ?? 0)) return;
    this.#heldByOthers.set(replica, index);
    this.#moveGate();
  }

  #moveGate(): void {
    const own = this.#parts.rules.heldIndex(this.#held, () => Math.max(this.#held, this.#promisedIndex()));
    const others = this.#voters.filter((voter) => voter !== this.#parts.self).map((voter) => this.#heldByOthers.get(voter) ?? 0);
    const gate = this.#parts.rules.gateIndex([own, ...others]);
    if (gate <= this.#gate) return;
    this.#gate = gate;
    this.#forget();
    this.#flush();
    this.#parts.wake();
  }

  /** Sends a message of this replica, or keeps it until its payloads may go with it. */
  send(message: Message): void {
    if (message.type !== "append") return this.#sendNow(message);
    const queue = this.#queues.get(message.to);
    if (queue === undefined || queue.length === 0) {
      if (this.#trySend(message)) return;
      this.#queues.set(message.to, [message]);
      return;
    }
    queue.push(message);
    if (queue.length > queueMax) queue.length = 0;
  }

  #sendNow(message: Message): void {
    let held = 0;
    if (message.type === "appendReply" && !message.rejected) held = this.#accepted(message.term, message.index);
    this.#parts.send(message.to, { type: "raft", group: this.#parts.group, message, gate: this.#gate, held });
  }

  /** This log matches the leader's up to `match`, durably. Returns how far it has payloads of that. */
  #accepted(term: number, match: number): number {
    const told = this.#told;
    if (told.term !== term || this.#parts.entries.hardState.term !== term) return 0;
    told.match = Math.max(told.match, match);
    this.#passed = Math.max(this.#passed, Math.min(told.gate, told.match));
    this.#count();
    told.reported = Math.min(this.#held, told.match);
    return told.reported;
  }

  /** Payloads came later than their entries: the leader hears of it. */
  #report(leader: number): void {
    const told = this.#told;
    const index = Math.min(this.#held, told.match);
    if (leader === 0 || index <= told.reported || this.#parts.entries.hardState.term !== told.term) return;
    told.reported = index;
    this.#parts.send(leader, { type: "held", group: this.#parts.group, replica: this.#parts.self, term: told.term, index });
  }

  #flush(): void {
    for (const queue of this.#queues.values()) {
      let sent = 0;
      while (sent < queue.length && this.#trySend(queue[sent] as AppendMessage)) sent++;
      queue.splice(0, sent);
    }
  }

  #trySend(message: AppendMessage): boolean {
    const wanting = message.entries.filter((entry) => entry.index > this.#gate && hasPayload(entry));
    if (wanting.length > 0) {
      if (message.to !== this.#mate) return false;
      const payloads: Payload[] = [];
      for (const entry of wanting) {
        const near = this.#near.get(keyOf(entry.index, entry.term));
        if (near === undefined) this.#load(entry.index, entry.term);
        else payloads.push(near.payload);
      }
      if (payloads.length < wanting.length) return false;
      this.#parts.send(message.to, { type: "payloads", group: this.#parts.group, payloads });
    }
    this.#sendNow(message);
    return true;
  }

  /** Brings a payload from the log to hand. */
  #load(index: number, term: number): void {
    const key = keyOf(index, term);
    if (this.#loading.has(key) || !this.#parts.entries.hasPayload(index, term)) return;
    this.#loading.add(key);
    this.#parts.read(index).then(
      (bytes) => {
        this.#loading.delete(key);
        if (!this.#isLeader || !this.#parts.entries.hasPayload(index, term) || this.#near.has(key)) return;
        this.#put({ index, term, bytes }, true);
        this.#flush();
        this.#parts.wake();
      },
      () => {
        this.#loading.delete(key); // Asked again at a later tick, or had from the other holder.
      },
    );
  }

  /** Payloads that another node lacks, as far as they are here. */
  async *find(wanted: readonly { readonly index: number; readonly term: number }[]): AsyncGenerator<Payload> {
    for (const { index, term } of wanted.slice(0, wantMax)) {
      if (!this.#parts.entries.hasPayload(index, term)) continue;
      // One that cannot be read here is asked of another holder.
      const bytes = await this.#parts.read(index).catch(() => null);
      if (bytes !== null && this.#parts.entries.hasPayload(index, term)) yield { index, term, bytes };
    }
  }

  /**
   * Time passed: looks for another mate when this one does not answer, and asks for what is missing here. `isIdle`: Raft has nothing that is not
   * durable, so what waits for an entry waits in vain.
   */
  tick(leader: number, isIdle: boolean, isUp: (replica: number) => boolean): void {
    const { entries } = this.#parts;
    if (isIdle) for (const near of this.#near.values()) near.isAdmitted &&= this.#isLeader;
    if (this.#isLeader) {
      const isStuck = this.#gate < entries.lastIndex && this.#gate === this.#stuckAt;
      this.#stuckTicks = isStuck ? this.#stuckTicks + 1 : 0;
      this.#stuckAt = this.#gate;
      if (this.#mate === 0 || !isUp(this.#mate) || this.#stuckTicks >= this.#options.mateTicks) {
        this.#stuckTicks = 0;
        this.#chooseMate(isUp);
      }
      this.#flush();
    } else this.#report(leader);
    const missing = this.#missing();
    if (missing.length === 0) return;
    const holders = this.#isLeader ? this.#voters.filter((voter) => voter !== this.#parts.self) : leader === 0 ? [] : [leader];
    for (const holder of holders) this.#parts.send(holder, { type: "want", group: this.#parts.group, entries: missing });
  }

  #missing(): readonly { readonly index: number; readonly term: number }[] {
    const { entries } = this.#parts;
    const missing: { index: number; term: number }[] = [];
    for (let index = Math.max(this.#held, this.#committed) + 1; index <= entries.lastIndex && missing.length < wantMax; index++) {
      const entry = entries.at(index);
      if (entry === null || !hasPayload(entry) || entries.hasPayload(index, entry.term)) continue;
      missing.push({ index, term: entry.term });
    }
    return missing;
  }

  /** The next voter in a ring after the one before. */
  #chooseMate(isUp: (replica: number) => boolean): void {
    const others = this.#voters.filter((voter) => voter !== this.#parts.self);
    const usable = others.filter(isUp);
    const ring = (usable.length > 0 ? usable : others).toSorted((a, b) => a - b);
    this.#mate = ring.find((voter) => voter > (this.#mate === 0 ? this.#parts.self : this.#mate)) ?? ring[0] ?? 0;
    this.#flush();
  }
}
