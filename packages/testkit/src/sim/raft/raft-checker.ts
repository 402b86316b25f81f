/**
 * The observer of one group: it sees what every replica does, and stops the run when a promise of Raft is broken.
 *
 * Election safety          at most one leader in a term
 * Log matching             an (index, term) names one entry, after one predecessor; checked as entries are stored, so by induction whole logs match
 * Leader completeness      who becomes leader has everything that was committed in earlier terms
 * State machine safety     one entry for each index, whoever applies it
 * Monotonic commit         a replica's commit index never goes back within a life, nor behind what its medium told before
 * Equal states             after the same index the same digest, also when a snapshot brought the state
 * Acknowledged commands    stay in the log at their place
 * Fresh reads              a read sees everything that anybody had applied when it was asked for
 * Commit gate              a leader commits nothing that its host holds back
 * Durable commit           what is committed is on the media of a quorum, not only in somebody's memory
 * Durable answers          a vote and an acknowledged entry are on the medium before others hear of them
 * Commit by own term       a leader counts replicas only for entries of its own term (section 3.6.2)
 * One change at a time     a leader changes the configuration only when the change before, and an entry of its term, are committed (4.1)
 *
 * Source: Ongaro's thesis, figure 3.2 (the guarantees), chapter 5 (snapshots). The cost of each fact is constant.
 */
import type { Entry } from "raft-ts";

import { SafetyViolation } from "../violation.ts";
import { hashOfBytes, mixWords } from "./register-machine.ts";

interface CommittedEntry {
  readonly term: number;
  readonly hash: number;
  /** A term in which it was known to be committed: leaders of later terms must have it. */
  readonly knownInTerm: number;
}

interface StoredEntry {
  readonly previousTerm: number;
  readonly hash: number;
}

/** What a leader's log is asked at its election; null: compacted away, or not there. */
export type TermOf = (index: number) => number | null;

function hashOfEntry(entry: Entry): number {
  return mixWords(hashOfBytes(entry.data), entry.kind);
}

export class RaftChecker {
  readonly #group: number;
  readonly #leaders: Map<number, number> = new Map();
  /** By index and term. */
  readonly #stored: Map<string, StoredEntry> = new Map();
  readonly #committed: (CommittedEntry | undefined)[] = [];
  readonly #digests: (number | undefined)[] = [];
  readonly #commitOf: Map<number, number> = new Map();
  #committedIndex = 0;
  checkCount = 0;

  constructor(group: number) {
    this.#group = group;
  }

  /** The last index that any replica knows to be committed. */
  get committedIndex(): number {
    return this.#committedIndex;
  }

  get highestTerm(): number {
    let highest = 0;
    for (const term of this.#leaders.keys()) highest = Math.max(highest, term);
    return highest;
  }

  elected(node: number, term: number, lastIndex: number, termOf: TermOf): void {
    this.checkCount++;
    const other = this.#leaders.get(term) ?? node;
    this.#claim(other === node, "election safety", `n${node} leads term ${term}, which n${other} leads`);
    this.#leaders.set(term, node);
    let index = this.#committedIndex;
    while (index > 0 && (this.#committed[index]?.knownInTerm ?? 0) >= term) index--;
    if (index === 0) return;
    const committed = this.#committed[index] as CommittedEntry;
    const own = termOf(index);
    this.#claim(
      own === committed.term || (own === null && index <= lastIndex),
      "leader completeness",
      `n${node} leads term ${term} without ${index}, committed with term ${committed.term} (it has ${own === null ? "nothing" : `term ${own}`} there)`,
    );
  }

  /** Entries that a replica has stored behind `previousTerm`. */
  stored(node: number, entries: readonly Entry[], previousTerm: number): void {
    let previous = previousTerm;
    for (const entry of entries) {
      this.checkCount++;
      const key = `${entry.index}.${entry.term}`;
      const hash = hashOfEntry(entry);
      const known = this.#stored.get(key);
      if (known === undefined) this.#stored.set(key, { previousTerm: previous, hash });
      else {
        this.#claim(
          known.hash === hash && known.previousTerm === previous,
          "log matching",
          `n${node} stored ${entry.index} of term ${entry.term} after term ${previous}, others after ${known.previousTerm}${known.hash === hash ? "" : ", with other contents"}`,
        );
      }
      previous = entry.term;
    }
  }

  /** A replica's commit index, as it tells it; null: a new life begins at `commit`. */
  commit(node: number, commit: number, isNewLife: boolean): void {
    const before = this.#commitOf.get(node) ?? 0;
    if (!isNewLife) this.#claim(commit >= before, "monotonic commit", `n${node} went from ${before} back to ${commit}`);
    this.#commitOf.set(node, commit);
  }

  /** A leader commits nothing that its host holds back. */
  gate(node: number, commit: number, gateIndex: number): void {
    this.#claim(commit <= gateIndex, "commit gate", `n${node} committed up to ${commit}, its gate was open up to ${gateIndex}`);
  }

  /** A read may be served at `index`; `knownIndex` was committed when it was asked for. */
  read(node: number, index: number, knownIndex: number): void {
    this.checkCount++;
    this.#claim(
      index >= knownIndex,
      "fresh reads",
      `n${node} serves a read at ${index} that was asked for when ${knownIndex} was committed`,
    );
  }

  /** An answer went out that `isDurable` says a power failure would not unmake. */
  answered(node: number, what: string, isDurable: boolean): void {
    this.checkCount++;
    this.#claim(isDurable, "durable answers", `n${node} told others of ${what}, which its medium does not hold`);
  }

  /** A leader's commit index moved to an entry of this term. */
  counted(node: number, commit: number, entryTerm: number | null, term: number): void {
    this.#claim(entryTerm === term, "commit by own term", `n${node} in term ${term} committed ${commit} of term ${entryTerm} by counting`);
  }

  /** A leader appended a configuration; `before` is the index of the one in force until then, `committedTerm` the term of its last committed entry. */
  changed(node: number, entry: Entry, before: number, commit: number, committedTerm: number | null): void {
    this.checkCount++;
    this.#claim(
      before <= commit && committedTerm === entry.term,
      "one change at a time",
      `n${node} in term ${entry.term} appended a configuration at ${entry.index}; the one before is at ${before}, committed is ${commit} of term ${committedTerm}`,
    );
  }

  /** Nobody applied this index before. */
  isNews(index: number): boolean {
    return this.#committed[index] === undefined;
  }

  durable(node: number, index: number, isOnQuorum: boolean): void {
    this.checkCount++;
    this.#claim(isOnQuorum, "durable commit", `n${node} takes ${index} for committed, which is on the media of no quorum`);
  }

  /** A replica in `term` applied an entry and has this digest afterwards. */
  applied(node: number, term: number, entry: Entry, digest: number): void {
    this.checkCount++;
    const { index } = entry;
    const hash = hashOfEntry(entry);
    const known = this.#committed[index];
    if (known === undefined) {
      this.#committed[index] = { term: entry.term, hash, knownInTerm: term };
      this.#committedIndex = Math.max(this.#committedIndex, index);
    } else {
      this.#claim(
        known.term === entry.term && known.hash === hash,
        "state machine safety",
        `n${node} applied ${index} of term ${entry.term}, others of term ${known.term}`,
      );
    }
    this.state(node, index, digest);
  }

  /** A replica's state at `index`, applied or installed. */
  state(node: number, index: number, digest: number): void {
    this.checkCount++;
    const known = this.#digests[index];
    if (known === undefined) this.#digests[index] = digest;
    else this.#claim(known === digest, "equal states", `n${node} has another state at ${index} than others`);
  }

  /** A client was told that its command is committed at this place. */
  acknowledged(node: number, index: number, term: number): void {
    this.checkCount++;
    const known = this.#committed[index];
    this.#claim(
      known?.term === term,
      "acknowledged commands",
      `n${node} acknowledged ${index} of term ${term}, which is not what is committed there`,
    );
  }

  /** After a run: whether the entry of this place and term was committed; null when nobody got that far. */
  wasCommitted(index: number, term: number): boolean | null {
    const known = this.#committed[index];
    return known === undefined ? null : known.term === term;
  }

  #claim(condition: boolean, promise: string, message: string): void {
    if (!condition) throw new SafetyViolation(promise, `group ${this.#group}: ${message}`);
  }
}
