/**
 * Fetches what a step found missing, takes the answers into the partial state, and never asks twice for the same at once.
 *
 * Invariant: an answer is taken in only when it was asked in this session and the state still accepts it (partial-state.ts);
 * a refused answer is no error, the step asks again.
 */
import type { InodeNumber, Name } from "@cfs/core";
import type { Missing } from "@cfs/metadata";
import type { Durability } from "./durability.ts";
import type { PartialState } from "./partial-state.ts";
import type { DirectoryPrefetch } from "./prefetch.ts";
import type { ListedEntry, Remote } from "./remote.ts";

/** When something was asked: after which command of which session. */
export interface Question {
  readonly seq: number;
  readonly epoch: number;
}

export interface FetchedPage {
  readonly question: Question;
  readonly entries: readonly ListedEntry[];
  readonly isEnd: boolean;
}

export interface FetcherParts {
  readonly remote: Remote;
  readonly state: PartialState;
  readonly durability: Durability;
}

export class Fetcher {
  readonly #remote: Remote;
  readonly #state: PartialState;
  readonly #durability: Durability;
  readonly #inFlight: Map<string, Promise<void>> = new Map();
  /** Set after construction, because prefetching fetches pages through here. */
  namePrefetch: DirectoryPrefetch | null = null;
  inlinePrefetch: DirectoryPrefetch | null = null;

  constructor(parts: FetcherParts) {
    this.#remote = parts.remote;
    this.#state = parts.state;
    this.#durability = parts.durability;
  }

  ask(): Question {
    return { seq: this.#durability.lastSeq, epoch: this.#durability.epoch };
  }

  mayTake(question: Question): boolean {
    return question.epoch === this.#durability.epoch && this.#state.accepts(question.seq);
  }

  fetch(missing: Missing): Promise<void> {
    const key = keyOf(missing);
    return this.#inFlight.get(key) ?? this.#prefetched(missing) ?? this.#start(key, missing);
  }

  /** One page of a listing; not taken into the state. */
  async page(parent: InodeNumber, cookie: number, limit: number, withInline: boolean): Promise<FetchedPage> {
    const question = this.ask();
    const { entries, isEnd } = await this.#remote.fetchDirectory(parent, cookie, limit, withInline);
    return { question, entries, isEnd };
  }

  /** False when the page may no longer be taken in. */
  learnPage(parent: InodeNumber, page: FetchedPage): boolean {
    if (!this.mayTake(page.question)) return false;
    for (const entry of page.entries) this.#state.learnEntry(parent, entry, page.question.seq);
    this.#state.settle();
    return true;
  }

  #prefetched(missing: Missing): Promise<void> | null {
    if (missing.kind === "dirent") return this.namePrefetch?.noteMiss(missing.parent, () => missing.name) ?? null;
    if (missing.kind !== "inode" || !missing.withInline) return null;
    const known = this.#state.peekInode(missing.ino);
    if (known === undefined || known.parent === 0 || this.inlinePrefetch === null) return null;
    return this.inlinePrefetch.noteMiss(known.parent, () => known.cookie);
  }

  #start(key: string, missing: Missing): Promise<void> {
    const fetching = this.#fetchOne(missing).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, fetching);
    return fetching;
  }

  async #fetchOne(missing: Missing): Promise<void> {
    const question = this.ask();
    switch (missing.kind) {
      case "inode": {
        const inode = await this.#remote.fetchInode(missing.ino, missing.withInline);
        if (this.mayTake(question)) this.#state.learnInode(missing.ino, inode, question.seq);
        break;
      }
      case "dirent": {
        const found = await this.#fetchDirent(missing.parent, missing.name);
        if (this.mayTake(question)) this.#state.learnDirent(missing.parent, missing.name, found, question.seq);
        break;
      }
      case "xattr": {
        const value = await this.#remote.fetchXattr(missing.ino, missing.name);
        if (this.mayTake(question)) this.#state.learnXattr(missing.ino, missing.name, value);
        break;
      }
    }
    this.#state.settle();
  }

  #fetchDirent(parent: InodeNumber, name: Name): ReturnType<Remote["fetchDirent"]> {
    return this.#remote.fetchDirent(parent, name, this.inlinePrefetch?.isWarm(parent) === true);
  }
}

function keyOf(missing: Missing): string {
  switch (missing.kind) {
    case "inode":
      return missing.withInline ? `inline ${missing.ino}` : `inode ${missing.ino}`;
    case "dirent":
      return `dirent ${missing.parent} ${missing.name}`;
    case "xattr":
      return `xattr ${missing.ino} ${missing.name}`;
  }
}
