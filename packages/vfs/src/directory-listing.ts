/**
 * Listing directories: from memory when a directory is completely known, else from pages of the server corrected by what is known here.
 *
 * Cookies: "." 1, ".." 2, a name its hash + 3 (metadata/namespace/cookie.ts): stable over restarts and over other changes.
 * Invariant: an open directory holds at most two pages (the one being read and the next, which is fetched ahead), so memory stays
 * flat however large the directory is. A page is used only while the state still accepts what was asked when it was.
 * Names of equal cookie (one pair in some nine thousand directories of a million names) are never lost: all but the last carry the
 * cookie before theirs, so that a listing cut between them shows one twice rather than none.
 */
import type { InodeNumber } from "@cfs/core";
import { firstNameCookie } from "@cfs/metadata";
import type { Inode } from "@cfs/metadata";
import type { Attempts } from "./attempts.ts";
import type { CachedName } from "./directory-names.ts";
import type { Entries } from "./entries.ts";
import type { FetchedPage, Fetcher } from "./fetcher.ts";
import type { FileContent } from "./file-content.ts";
import type { PartialState } from "./partial-state.ts";
import { quickError } from "./quick-error.ts";
import type { References } from "./references.ts";
import type { ListedEntry } from "./remote.ts";
import type { Awaitable, Caller, DirectoryEntry } from "./vfs.ts";

interface HeldPage {
  /** The page holds every entry whose cookie is above this … */
  readonly after: number;
  /** … and at most this. */
  readonly upTo: number;
  readonly page: FetchedPage;
}

export interface DirectoryHandle {
  readonly handle: number;
  readonly ino: InodeNumber;
  readonly caller: Caller;
  errorsSeen: number;
  held: HeldPage | null;
  ahead: { readonly after: number; readonly page: Promise<HeldPage> } | null;
}

export interface DirectoryListingParts {
  readonly state: PartialState;
  readonly fetcher: Fetcher;
  readonly attempts: Attempts;
  readonly references: References;
  readonly content: FileContent;
  readonly entries: Entries;
}

type Take = (entry: DirectoryEntry) => boolean;

interface Listing {
  readonly directory: DirectoryHandle;
  readonly withAttributes: boolean;
  readonly take: Take;
  cookie: number;
}

const pageEntries = 1000;

export class DirectoryListing {
  readonly #state: PartialState;
  readonly #fetcher: Fetcher;
  readonly #attempts: Attempts;
  readonly #references: References;
  readonly #content: FileContent;
  readonly #entries: Entries;

  constructor(parts: DirectoryListingParts) {
    this.#state = parts.state;
    this.#fetcher = parts.fetcher;
    this.#attempts = parts.attempts;
    this.#references = parts.references;
    this.#content = parts.content;
    this.#entries = parts.entries;
  }

  read(directory: DirectoryHandle, cookie: number, withAttributes: boolean, take: Take): Awaitable<void> {
    const listing: Listing = { directory, withAttributes, take, cookie };
    const begun = this.#attempts.run(() => this.#begin(listing));
    return begun instanceof Promise ? begun.then((goesOn) => this.#goOn(listing, goesOn)) : this.#goOn(listing, begun);
  }

  #goOn(listing: Listing, goesOn: boolean): Awaitable<void> {
    if (!goesOn) return undefined;
    return this.#fromMemory(listing) ? undefined : this.#fromPages(listing);
  }

  /** "." and "..", and the access time. False when there is no more to list. */
  #begin(listing: Listing): boolean {
    const { ino } = listing.directory;
    const inode = this.#state.inode(ino);
    if (inode === null) throw quickError("STALE_HANDLE", `directory ${ino} is gone`);
    if (listing.cookie === 0) {
      this.#content.touchAtime(inode);
      this.#state.settle();
    }
    // A directory that was removed while open lists as empty.
    if (inode.nlink === 0) return false;
    return this.#giveSpecial(listing, 1, ".", ino) && this.#giveSpecial(listing, 2, "..", inode.parent === 0 ? ino : inode.parent);
  }

  #giveSpecial(listing: Listing, cookie: number, name: string, ino: InodeNumber): boolean {
    if (listing.cookie >= cookie) return true;
    if (!listing.take({ name: name as DirectoryEntry["name"], ino, kind: "directory", cookie, entry: null })) return false;
    listing.cookie = cookie;
    return true;
  }

  /** True when the listing is done; false when it must go on from pages, because something is not in memory. */
  #fromMemory(listing: Listing): boolean {
    const names = this.#state.directory(listing.directory.ino);
    if (names?.isComplete !== true) return false;
    const { entries, begin } = names.listFrom(listing.cookie);
    for (let at = begin; at < entries.length; at++) {
      const entry = entries[at] as CachedName;
      if (entry.ino === 0) continue;
      const inode = listing.withAttributes ? this.#state.peekInode(entry.ino)?.inode : null;
      if (inode === undefined) return false;
      if (!this.#give(listing, { ...entry, ino: entry.ino }, inode, entries[at + 1]?.cookie === entry.cookie)) return true;
    }
    return true;
  }

  async #fromPages(listing: Listing): Promise<void> {
    for (;;) {
      const held = await this.#page(listing.directory, listing.cookie);
      if (held === null) continue;
      if (!this.#givePage(listing, held)) return;
      if (held.page.isEnd) return;
      listing.cookie = held.upTo;
    }
  }

  /** False when the listener has had enough. */
  #givePage(listing: Listing, { page }: HeldPage): boolean {
    const { entries } = page;
    const names = this.#state.directory(listing.directory.ino);
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at] as ListedEntry;
      if (entry.cookie <= listing.cookie) continue;
      const known = names?.get(entry.name);
      if (known?.ino === 0 || (known === undefined && names?.isComplete === true)) continue;
      const ino = known?.ino ?? entry.ino;
      const cached = this.#state.peekInode(ino);
      const inode = cached === undefined && ino === entry.ino ? entry.inode : (cached?.inode ?? null);
      // A name that came here after the page was read leads to an inode that the page does not have: it is listed without attributes.
      const isPaired = entries[at + 1]?.cookie === entry.cookie;
      if (!this.#give(listing, { name: entry.name, cookie: entry.cookie, ino, kind: known?.kind ?? entry.kind }, inode, isPaired))
        return false;
    }
    return true;
  }

  #give(
    listing: Listing,
    entry: Pick<DirectoryEntry, "name" | "cookie" | "ino" | "kind">,
    inode: Inode | null,
    isPaired: boolean,
  ): boolean {
    const { name, ino, kind } = entry;
    const cookie = isPaired && entry.cookie > firstNameCookie ? entry.cookie - 1 : entry.cookie;
    const withEntry = listing.withAttributes && inode !== null;
    if (!listing.take({ name, ino, kind, cookie, entry: withEntry ? this.#entries.of(inode) : null })) return false;
    if (withEntry) this.#references.addLookup(ino);
    listing.cookie = entry.cookie;
    return true;
  }

  /** The page that begins at or covers `cookie`; null: ask again. */
  async #page(directory: DirectoryHandle, cookie: number): Promise<HeldPage | null> {
    const { held } = directory;
    if (held !== null && this.#covers(held, cookie)) return held;
    directory.held = null;
    const ahead = directory.ahead;
    directory.ahead = null;
    const page = await (ahead?.after === cookie ? ahead.page : this.#fetch(directory.ino, cookie));
    if (!this.#fetcher.mayTake(page.page.question)) return null;
    // Whoever lists a directory will use what is in it; the budgets of the cache decide how much of that stays.
    this.#fetcher.learnPage(directory.ino, page.page);
    directory.held = page;
    if (!page.page.isEnd) {
      const next = this.#fetch(directory.ino, page.upTo);
      // Whoever needs the page will meet the error; nobody may.
      next.catch(() => {});
      directory.ahead = { after: page.upTo, page: next };
    }
    return page;
  }

  #covers(held: HeldPage, cookie: number): boolean {
    return cookie >= held.after && cookie < held.upTo && this.#fetcher.mayTake(held.page.question);
  }

  async #fetch(ino: InodeNumber, after: number): Promise<HeldPage> {
    const page = await this.#fetcher.page(ino, after, pageEntries, false);
    const upTo = page.isEnd ? Number.MAX_SAFE_INTEGER : (page.entries.at(-1)?.cookie ?? after);
    return { after, upTo, page };
  }
}
