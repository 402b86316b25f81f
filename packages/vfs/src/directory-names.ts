/**
 * The names of one directory as far as this client knows them: present, known absent, and whether these are all.
 *
 * Invariant: what is here is true of the state after the last command of this client. In a complete directory every name that is not
 * here does not exist, so absent names need no record. `presentCount` counts the present ones; once it equals the entry count of
 * the directory's inode, the directory is complete (PartialState draws that conclusion).
 * The sorted list serves listings: removed entries stay in it until half of it is gone, added ones are merged when next asked for.
 */
import { assert } from "@cfs/core";
import type { InodeNumber, Name } from "@cfs/core";
import { nameCookie } from "@cfs/metadata";
import type { Dirent, FileKind } from "@cfs/metadata";
import { CookieSet } from "./cookie-set.ts";

/** A smaller directory is fetched again faster than its cookies are kept. */
const keptCookiesMin = 2000;

export interface CachedName {
  readonly name: Name;
  /** 0: known absent, or no longer the record of this name. */
  ino: InodeNumber | 0;
  kind: FileKind;
  /** The last command that changed it, 0 for what was only fetched. */
  seq: number;
  /** 0 until a listing needs it. */
  cookie: number;
}

export class DirectoryNames {
  readonly ino: InodeNumber;
  isComplete: boolean;
  /** For the clock of the cache. */
  isUsed = true;
  /** The last command that changed any name here. */
  changedSeq = 0;
  presentCount = 0;
  readonly #names: Map<Name, CachedName> = new Map();
  /** When it was complete and had to let names go: the cookies of all that may exist. */
  #cookies: CookieSet | null = null;
  #sorted: CachedName[] | null = null;
  #added: CachedName[] = [];
  #goneCount = 0;

  constructor(ino: InodeNumber, isComplete: boolean) {
    this.ino = ino;
    this.isComplete = isComplete;
  }

  /** Records held, absent ones too. */
  get size(): number {
    return this.#names.size;
  }

  get(name: Name): CachedName | undefined {
    return this.#names.get(name);
  }

  /** Is it certain that a name of which there is no record does not exist? */
  excludes(name: Name): boolean {
    return this.isComplete || (this.#cookies !== null && !this.#cookies.has(nameCookie(name)));
  }

  names(): IterableIterator<CachedName> {
    return this.#names.values();
  }

  /** A change by a command. */
  set(name: Name, dirent: Dirent | null, seq: number): void {
    this.changedSeq = seq;
    const known = this.#names.get(name);
    if (dirent !== null) {
      if (known === undefined || known.ino === 0) this.#add({ name, ino: dirent.ino, kind: dirent.kind, seq, cookie: 0 });
      else {
        known.ino = dirent.ino;
        known.kind = dirent.kind;
        known.seq = seq;
      }
      return;
    }
    if (known !== undefined && known.ino !== 0) this.#drop(known);
    if (!this.isComplete) this.#names.set(name, { name, ino: 0, kind: "file", seq, cookie: 0 });
  }

  /** What the server said; only where nothing is known. */
  learn(name: Name, dirent: Dirent | null, cookie: number): void {
    if (this.isComplete || this.#names.has(name)) return;
    if (dirent === null) this.#names.set(name, { name, ino: 0, kind: "file", seq: 0, cookie: 0 });
    else this.#add({ name, ino: dirent.ino, kind: dirent.kind, seq: 0, cookie });
  }

  /** Every name is here from now on; what was known absent needs no record any more. */
  markComplete(): void {
    this.isComplete = true;
    this.#cookies = null;
    for (const entry of this.#names.values()) if (entry.ino === 0) this.#names.delete(entry.name);
    assert(this.#names.size === this.presentCount, "a complete directory holds present names only");
  }

  /** Forgets up to `count` of the oldest names whose commands are durable. Returns how many, and the newest command among them. */
  evict(count: number, durableSeq: number): { readonly evicted: number; readonly newestSeq: number } {
    let evicted = 0;
    let newestSeq = 0;
    const cookies = this.isComplete && this.presentCount >= keptCookiesMin ? this.#allCookies() : null;
    for (const entry of this.#names.values()) {
      if (evicted >= count) break;
      if (entry.seq > durableSeq) continue;
      evicted++;
      newestSeq = Math.max(newestSeq, entry.seq);
      if (entry.ino === 0) this.#names.delete(entry.name);
      else this.#drop(entry);
    }
    if (evicted > 0 && this.isComplete) {
      // Names removed while it was complete left no record: what was asked before the last of them must not come back.
      newestSeq = Math.max(newestSeq, this.changedSeq);
      this.isComplete = false;
      this.#cookies = cookies;
    }
    return { evicted, newestSeq };
  }

  /**
   * Present entries in cookie order and the index of the first whose cookie is above `cookie`. Some may be gone meanwhile (ino 0):
   * skip them. Only for a complete directory; good until the next change.
   */
  listFrom(cookie: number): { readonly entries: readonly CachedName[]; readonly begin: number } {
    assert(this.isComplete, "only a complete directory is listed from memory");
    const entries = this.#sort();
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((entries[middle] as CachedName).cookie > cookie) high = middle;
      else low = middle + 1;
    }
    return { entries, begin: low };
  }

  #add(entry: CachedName): void {
    this.#names.set(entry.name, entry);
    this.presentCount++;
    if (this.#cookies !== null) this.#rememberCookie(entry);
    if (this.#sorted !== null) this.#added.push(entry);
  }

  #rememberCookie(entry: CachedName): void {
    if (entry.cookie === 0) entry.cookie = nameCookie(entry.name);
    if (this.#cookies?.add(entry.cookie) === false) this.#cookies = null;
  }

  #allCookies(): CookieSet | null {
    return CookieSet.of(
      withCookies([...this.#names.values()]).map((entry) => entry.cookie),
      this.presentCount,
    );
  }

  #drop(entry: CachedName): void {
    this.#names.delete(entry.name);
    entry.ino = 0;
    this.presentCount--;
    this.#goneCount++;
  }

  #sort(): CachedName[] {
    let sorted = this.#sorted;
    if (sorted === null || this.#goneCount * 2 > sorted.length) {
      sorted = withCookies([...this.#names.values()].filter((entry) => entry.ino !== 0)).toSorted(byCookie);
      this.#goneCount = 0;
    } else if (this.#added.length > 0) {
      sorted = merge(sorted, withCookies(this.#added.filter((entry) => entry.ino !== 0)).toSorted(byCookie));
    }
    this.#sorted = sorted;
    this.#added = [];
    return sorted;
  }
}

function withCookies(entries: CachedName[]): CachedName[] {
  for (const entry of entries) if (entry.cookie === 0) entry.cookie = nameCookie(entry.name);
  return entries;
}

function byCookie(a: CachedName, b: CachedName): number {
  return a.cookie - b.cookie;
}

function merge(a: readonly CachedName[], b: readonly CachedName[]): CachedName[] {
  const merged: CachedName[] = [];
  let other = 0;
  for (const entry of a) {
    if (entry.ino === 0) continue;
    for (let next = b[other]; next !== undefined && next.cookie < entry.cookie; next = b[++other]) merged.push(next);
    merged.push(entry);
  }
  for (; other < b.length; other++) merged.push(b[other] as CachedName);
  return merged;
}
